package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"go.yaml.in/yaml/v2"
)

// forms are the ways in which a Prometheus keeps a histogram whose observations
// lie between 2 and 4 seconds: as it always did, native
// (scrape_native_histograms), and with custom bounds
// (convert_classic_histograms_to_nhcb).
var forms = map[string]string{
	"classic": `
  NAME_bucket{LABELS,le="2.0"} 0x100
  NAME_bucket{LABELS,le="4.0"} 0+10x100
  NAME_bucket{LABELS,le="+Inf"} 0+10x100
  NAME_count{LABELS} 0+10x100
  NAME_sum{LABELS} 0+30x100`,
	"native": `
  NAME{LABELS} {{schema:0 offset:2 buckets:[0]}}+{{schema:0 count:10 sum:30 offset:2 buckets:[10]}}x100`,
	"nhcb": `
  NAME{LABELS} {{schema:-53 custom_values:[2 4] buckets:[0 0]}}+{{schema:-53 count:10 sum:30 custom_values:[2 4] buckets:[0 10]}}x100`,
}

// quantilesIn returns the expressions of the dashboards and of the rules that ask
// for a quantile.
func quantilesIn(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels []struct{ Targets []struct{ Expr string } }
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all = append(all, target.Expr)
			}
		}
	}
	text, err := os.ReadFile("../prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct{ Rules []struct{ Expr string } }
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			all = append(all, r.Expr)
		}
	}
	kept := all[:0]
	for _, expr := range all {
		if strings.Contains(expr, "_bucket") || strings.Contains(expr, "histogram_") {
			kept = append(kept, expr)
		}
	}
	return kept
}

// TestQuantilesSurviveEveryForm asks Prometheus 3's own engine for each quantile
// of the dashboards and alerts, over each form of histogram.
func TestQuantilesSurviveEveryForm(t *testing.T) {
	exprs := quantilesIn(t)
	if len(exprs) < 8 {
		t.Fatalf("only %d quantiles", len(exprs))
	}
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+")
	for form, series := range forms {
		var load strings.Builder
		load.WriteString("load 1m")
		for _, name := range []string{
			"uppercut_block_duration_seconds", "uppercut_block_event_age_seconds",
			"uppercut_firewall_operation_duration_seconds", "uppercut_message_lag_seconds",
		} {
			load.WriteString(strings.NewReplacer("NAME", name, "LABELS", `job="uppercut",instance="a",operation="add"`).Replace(series))
		}
		storage := promqltest.LoadedStorage(t, load.String()+"\n")
		for _, expr := range exprs {
			query, err := engine.NewInstantQuery(context.Background(), storage, nil, variables.Replace(expr), time.Unix(0, 0).Add(time.Hour))
			if err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
			result := query.Exec(context.Background())
			vector, ok := result.Value.(promql.Vector)
			if result.Err != nil || !ok || len(vector) != 1 || vector[0].F < 2 || vector[0].F > 4 {
				t.Errorf("%s: %s gives %v, %v; want one value between 2 and 4", form, expr, result.Value, result.Err)
			}
		}
	}
}
