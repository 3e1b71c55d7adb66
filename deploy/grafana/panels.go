package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// A dashboard is 24 columns wide.
const (
	full    = 24
	half    = 12
	third   = 8
	quarter = 6
	eighth  = 3

	tall  = 8
	small = 4
)

// page starts a dashboard with the variables that all have.
func page(uid, title, description string) *dashboard.DashboardBuilder {
	return dashboard.NewDashboardBuilder(title).
		Uid(uid).Description(description).Tags([]string{"uppercut"}).
		Readonly().Refresh("30s").Time("now-6h", "now").Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("uppercut").Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{"uppercut"}).AsDropdown(true).KeepTime(true).IncludeVars(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(choose("job", "Job", "label_values(uppercut_build_info, job)")).
		WithVariable(choose("instance", "Instance", `label_values(uppercut_build_info{job=~"$job"}, instance)`))
}

func choose(name, label, query string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).
		Datasource(datasource()).Query(dashboard.StringOrMap{String: &query}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".+").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
}

func datasource() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// query is one expression of a panel, and the legend of what it gives.
type query struct{ expr, legend string }

// series selects a metric of the chosen instances, narrowed by matchers.
func series(name string, matchers ...string) string {
	return name + "{" + strings.Join(append([]string{`job=~"$job"`, `instance=~"$instance"`}, matchers...), ",") + "}"
}

// rate is the growth a second of a counter.
func rate(name string, matchers ...string) string {
	return "rate(" + series(name, matchers...) + "[$__rate_interval])"
}

// quantile is one of a histogram, by some labels, whichever form Prometheus keeps
// it in: native, native with our bounds (nhcb), or classic with its _bucket.
func quantile(q, name string, by ...string) string {
	classic := strings.Join(append([]string{"le"}, by...), ", ")
	return "histogram_quantile(" + q + ", sum by (" + strings.Join(by, ", ") + ") (" + rate(name) + ")) or " +
		"histogram_quantile(" + q + ", sum by (" + classic + ") (" + rate(name+"_bucket") + "))"
}

func target(q query, id int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().
		Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + id))).Datasource(datasource())
}

func targets(qs []query) (ts []cog.Builder[variants.Dataquery]) {
	for i, q := range qs {
		ts = append(ts, target(q, i).Range())
	}
	return ts
}

// graph draws queries over time.
func graph(title, description, unit string, qs ...query) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().
		Title(title).Description(description).Unit(unit).Datasource(datasource()).Targets(targets(qs)).
		Span(half).Height(tall).Min(0).LineWidth(1).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).Calcs([]string{})).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
}

// stack is a graph whose series add up.
func stack(title, description, unit string, qs ...query) *timeseries.PanelBuilder {
	return graph(title, description, unit, qs...).FillOpacity(60).LineWidth(0).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

// number shows what a query gives now.
func number(title, description, unit string, q query, steps ...dashboard.Threshold) *stat.PanelBuilder {
	return stat.NewPanelBuilder().
		Title(title).Description(description).Unit(unit).Datasource(datasource()).WithTarget(target(q, 0).Range()).
		Span(eighth).Height(small).ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeArea).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Fields("").Values(false)).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps))
}

// The colours of a number.
func from(value float64, color string) dashboard.Threshold {
	return dashboard.Threshold{Value: &value, Color: color}
}

func otherwise(color string) dashboard.Threshold { return dashboard.Threshold{Color: color} }

// column is a query of a table whose rows are hosts.
type column struct{ title, unit, expr string }

// hostTable has a row for each mail host.
func hostTable(title, description string, columns ...column) *table.PanelBuilder {
	t := table.NewPanelBuilder().Title(title).Description(description).Unit("short").Datasource(datasource()).
		Span(full).Height(2 * tall)
	rename := map[string]string{"host": "Host"}
	for i, c := range columns {
		t.WithTarget(target(query{c.expr, ""}, i).Instant().Format(prometheus.PromQueryFormatTable))
		rename["Value #"+string(rune('A'+i))] = c.title
		t.OverrideByName(c.title, []dashboard.DynamicConfigValue{{Id: "unit", Value: c.unit}})
	}
	return t.
		WithTransformation(dashboard.DataTransformerConfig{Id: "joinByField", Options: map[string]any{"byField": "host", "mode": "outer"}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "filterFieldsByName", Options: map[string]any{"include": map[string]any{"pattern": "host|Value.*"}}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{"renameByName": rename}})
}
