package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// eachDashboard runs a test on every committed dashboard.
func eachDashboard(t *testing.T, check func(t *testing.T, name string, text []byte, d dashboard.Dashboard)) {
	plugins.RegisterDefaultPlugins()
	for name := range dashboards {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("dashboards", name))
			if err != nil {
				t.Fatal(err)
			}
			var d dashboard.Dashboard
			if err := json.Unmarshal(text, &d); err != nil {
				t.Fatal(err)
			}
			check(t, name, text, d)
		})
	}
}

func TestCommittedDashboardsAreCurrent(t *testing.T) {
	eachDashboard(t, func(t *testing.T, name string, committed []byte, _ dashboard.Dashboard) {
		made, err := render(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, committed) {
			t.Errorf("%s is not what the code makes: go run .", name)
		}
	})
}

func TestSchemaIsStrict(t *testing.T) {
	eachDashboard(t, func(t *testing.T, _ string, text []byte, _ dashboard.Dashboard) {
		var d dashboard.Dashboard
		if err := d.UnmarshalJSONStrict(text); err != nil {
			t.Error(err)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		for _, asks := range []string{"__inputs", "__requires", "${DS_"} {
			if bytes.Contains(text, []byte(asks)) {
				t.Errorf("%s: importing it would ask somebody a question", asks)
			}
		}
	})
}

// TestLintRules holds the rules of Grafana's dashboard-linter.
func TestLintRules(t *testing.T) {
	eachDashboard(t, func(t *testing.T, _ string, _ []byte, d dashboard.Dashboard) {
		if d.Editable == nil || *d.Editable {
			t.Error("uneditable-dashboard: what is provisioned from a file must not be edited")
		}
		lintVariables(t, d)
		for _, p := range panels(d) {
			lintPanel(t, p)
		}
	})
}

func lintVariables(t *testing.T, d dashboard.Dashboard) {
	vars := map[string]dashboard.VariableModel{}
	for _, v := range d.Templating.List {
		vars[v.Name] = v
	}
	if v := vars["datasource"]; v.Type != "datasource" || v.Label == nil || *v.Label != "Data source" || *v.Query.String != "prometheus" {
		t.Errorf("template-datasource: %+v", v)
	}
	for name, label := range map[string]string{"job": "Job", "instance": "Instance"} {
		v := vars[name]
		switch {
		case v.Type != "query" || v.Label == nil || *v.Label != label:
			t.Errorf("template-%s: %+v", name, v)
		case v.Datasource == nil || *v.Datasource.Uid != "${datasource}":
			t.Errorf("template-%s: data source %+v", name, v.Datasource)
		case !*v.Multi || v.AllValue == nil || *v.AllValue != ".+":
			t.Errorf("template-%s: must take several values and .+ for all", name)
		}
	}
}

func panels(d dashboard.Dashboard) (ps []dashboard.Panel) {
	for _, p := range d.Panels {
		if p.Panel != nil {
			ps = append(ps, *p.Panel)
		}
	}
	return ps
}

func lintPanel(t *testing.T, p dashboard.Panel) {
	switch {
	case p.Title == nil || *p.Title == "" || p.Description == nil || *p.Description == "":
		t.Errorf("panel-title-description: %+v", p.Title)
		return
	case p.Datasource == nil || *p.Datasource.Uid != "${datasource}":
		t.Errorf("panel-datasource: %s: %+v", *p.Title, p.Datasource)
	case p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == nil || *p.FieldConfig.Defaults.Unit == "":
		t.Errorf("panel-units: %s", *p.Title)
	case len(p.Targets) == 0:
		t.Errorf("%s asks for nothing", *p.Title)
	}
	for _, q := range queries(t, p) {
		if q.Datasource == nil || *q.Datasource.Uid != "${datasource}" {
			t.Errorf("%s: target's data source %+v", *p.Title, q.Datasource)
		}
		if err := lintQuery(q.Expr); err != nil {
			t.Errorf("%s: %s: %v", *p.Title, q.Expr, err)
		}
	}
}

func queries(t *testing.T, p dashboard.Panel) (qs []prometheus.Dataquery) {
	t.Helper()
	for _, target := range p.Targets {
		q, ok := target.(*prometheus.Dataquery)
		if !ok {
			t.Fatalf("%s: a target is a %T", *p.Title, target)
		}
		qs = append(qs, *q)
	}
	return qs
}

// variables replaces what Grafana replaces.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+")

var fixedInterval = regexp.MustCompile(`\[\d+[smhd]\]`)

// lintQuery holds the target rules: it parses, each selector takes the
// variables, counters are asked for their growth and over $__rate_interval, and
// gauges are not.
func lintQuery(expr string) error {
	if fixedInterval.MatchString(expr) {
		return fmt.Errorf("target-rate-interval: a fixed interval")
	}
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(variables.Replace(expr))
	if err != nil {
		return fmt.Errorf("target-promql: %w", err)
	}
	var found error
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && found == nil {
			found = lintSelector(s, path)
		}
		return nil
	})
	return found
}

func lintSelector(s *parser.VectorSelector, path []parser.Node) error {
	for _, name := range []string{"job", "instance"} {
		if !matches(s.LabelMatchers, name) {
			return fmt.Errorf("target-%s: %s does not take $%s", name, s.Name, name)
		}
	}
	counter := strings.HasSuffix(s.Name, "_total") || strings.HasSuffix(s.Name, "_bucket") || isQuantile(path)
	if grown := isGrowth(path); counter != grown {
		return fmt.Errorf("target-counter: %s is a counter: %t, asked for its growth: %t", s.Name, counter, grown)
	}
	return nil
}

func matches(ms []*labels.Matcher, name string) bool {
	for _, m := range ms {
		if m.Name == name && m.Type == labels.MatchRegexp && m.Value == ".+" {
			return true
		}
	}
	return false
}

// isQuantile: what a quantile is asked of is a histogram, which counts.
func isQuantile(path []parser.Node) bool {
	for _, n := range path {
		if c, ok := n.(*parser.Call); ok && c.Func.Name == "histogram_quantile" {
			return true
		}
	}
	return false
}

func isGrowth(path []parser.Node) bool {
	for _, n := range path {
		if c, ok := n.(*parser.Call); ok && (c.Func.Name == "rate" || c.Func.Name == "increase") {
			return true
		}
	}
	return false
}

func TestLintQueryFindsMistakes(t *testing.T) {
	const chosen = `{job=~"$job",instance=~"$instance"}`
	for expr, want := range map[string]string{
		"sum(": "target-promql", "uppercut_blocks_active": "target-job", `uppercut_blocks_active{job=~"$job"}`: "target-instance",
		"uppercut_blocks_total" + chosen: "target-counter", "rate(uppercut_blocks_active" + chosen + "[$__rate_interval])": "target-counter",
		"rate(uppercut_blocks_total" + chosen + "[5m])":               "target-rate-interval",
		"rate(uppercut_blocks_total" + chosen + "[$__rate_interval])": "", "uppercut_blocks_active" + chosen: "",
	} {
		err := lintQuery(expr)
		if (want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expr, err, want)
		}
	}
}
