package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// everything returns a registry with all that this package can register.
func everything(t *testing.T) (*prometheus.Registry, *Mode, *Reload, *Health, *slog.Logger) {
	t.Helper()
	r := NewRegistry(Build{Version: "v1.2.3", Revision: "abc", Tags: "netgo"})
	h := new(Health)
	r.MustRegister(h)
	log := slog.New(CountLogs(slog.DiscardHandler, r))
	return r, NewMode(r), NewReload(r), h, log
}

func TestNamesAreCleanAndKnown(t *testing.T) {
	r, _, _, h, _ := everything(t)
	h.Add("listeners", func() error { return nil })
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "uppercut_") {
			own = append(own, f.GetName())
		}
	}
	want := []string{
		"uppercut_build_info",
		"uppercut_check_ok",
		"uppercut_config_last_reload_success_timestamp_seconds",
		"uppercut_config_last_reload_successful",
		"uppercut_dry_run",
		"uppercut_log_messages_total",
	}
	if diff := cmp.Diff(want, own); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestHandlerSpeaksBothFormats(t *testing.T) {
	r, _, _, _, _ := everything(t)
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "uppercut_x_seconds", Help: "x", Buckets: []float64{1}})
	r.MustRegister(latency)
	latency.(prometheus.ExemplarObserver).ObserveWithExemplar(0.5, prometheus.Labels{"block_id": "42"})
	for _, tc := range []struct{ accept, contentType, text string }{
		{"", "text/plain", `uppercut_build_info{`},
		{"application/openmetrics-text; version=1.0.0", "application/openmetrics-text", `# {block_id="42"} 0.5`},
	} {
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Header.Set("Accept", tc.accept)
		rec := httptest.NewRecorder()
		Handler(r, nil).ServeHTTP(rec, req)
		if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), tc.contentType) {
			t.Errorf("Accept %q: status %d, Content-Type %q", tc.accept, rec.Code, rec.Header().Get("Content-Type"))
		}
		if !strings.Contains(rec.Body.String(), tc.text) {
			t.Errorf("Accept %q: no %q in the answer", tc.accept, tc.text)
		}
	}
}

func TestHandlerServesWhatWorksBesideAFailingCollector(t *testing.T) {
	r, _, _, _, _ := everything(t)
	r.MustRegister(failing{})
	rec := httptest.NewRecorder()
	Handler(r, r).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "uppercut_dry_run 0") {
		t.Errorf("status %d, want 200 with the other metrics", rec.Code)
	}
	if _, err := r.Gather(); err == nil {
		t.Error("the collector does not fail: this test shows nothing")
	}
}

type failing struct{}

func (failing) Describe(ch chan<- *prometheus.Desc) {
	ch <- prometheus.NewDesc("broken", "x", nil, nil)
}

func (failing) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "x", nil, nil), errors.New("kernel does not answer"))
}

func TestModeSaysWhetherDecisionsReachTheFirewall(t *testing.T) {
	m := NewMode(nil)
	for _, tc := range []struct {
		observe bool
		want    float64
	}{{true, 1}, {false, 0}} {
		m.Observe(tc.observe)
		if got := testutil.ToFloat64(m.dryRun); got != tc.want {
			t.Errorf("observe %t: uppercut_dry_run %v, want %v", tc.observe, got, tc.want)
		}
	}
}

func TestReloadKeepsTheLastSuccess(t *testing.T) {
	r := NewReload(nil)
	start := time.Unix(1_700_000_000, 0)
	broken := errors.New("rules[1].window: too short")
	r.Done(start, nil)
	r.Done(start.Add(time.Hour), broken)
	if got := testutil.ToFloat64(r.successful); got != 0 {
		t.Errorf("after a bad file: successful %v, want 0", got)
	}
	if got := testutil.ToFloat64(r.successTime); got != 1_700_000_000 {
		t.Errorf("after a bad file: success time %v, want the start's", got)
	}
	want := Outcome{At: start.Add(time.Hour), Success: start, Err: broken}
	if got := r.Last(); got != want {
		t.Errorf("Last() = %v, want %v", got, want)
	}
	r.Done(start.Add(2*time.Hour), nil)
	if got := testutil.ToFloat64(r.successful); got != 1 {
		t.Errorf("after a good file: successful %v, want 1", got)
	}
}

func TestCountLogsByLevel(t *testing.T) {
	r := prometheus.NewRegistry()
	var out strings.Builder
	log := slog.New(CountLogs(slog.NewTextHandler(&out, nil), r))
	log.Debug("not enabled")
	log.Info("a")
	log.With("k", 1).WithGroup("g").Warn("b", "x", 2)
	log.Error("c")
	log.Log(context.Background(), slog.LevelError+4, "d")
	want := `
		# HELP uppercut_log_messages_total Log lines written by the appliance itself.
		# TYPE uppercut_log_messages_total counter
		uppercut_log_messages_total{level="debug"} 0
		uppercut_log_messages_total{level="error"} 2
		uppercut_log_messages_total{level="info"} 1
		uppercut_log_messages_total{level="warn"} 1
	`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "k=1 g.x=2") {
		t.Errorf("attributes lost: %s", out.String())
	}
}

func TestReady(t *testing.T) {
	var down error
	var h Health
	h.Add("listeners", func() error { return nil })
	h.Add("firewall", func() error { return down })
	ask := func(serve http.HandlerFunc) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		serve(rec, httptest.NewRequest("GET", "/", nil))
		return rec
	}
	if rec := ask(h.ServeReady); rec.Code != 200 || rec.Body.String() != "uppercut is ready.\nlisteners: ok\nfirewall: ok\n" {
		t.Errorf("all well: %d %q", rec.Code, rec.Body)
	}
	down = Warning("one set is nearly full")
	if rec := ask(h.ServeReady); rec.Code != 200 ||
		rec.Body.String() != "uppercut is ready.\nlisteners: ok\nfirewall: warning: one set is nearly full\n" {
		t.Errorf("warned: %d %q", rec.Code, rec.Body)
	}
	for _, c := range h.Checks() {
		if !c.OK() {
			t.Errorf("%s is not OK for a warning", c.Name)
		}
	}
	down = errors.New("table inet uppercut is missing")
	if rec := ask(h.ServeReady); rec.Code != 503 ||
		rec.Body.String() != "uppercut is not ready.\nlisteners: ok\nfirewall: table inet uppercut is missing\n" {
		t.Errorf("firewall down: %d %q", rec.Code, rec.Body)
	}
	if rec := ask(h.ServeHealthy); rec.Code != 200 {
		t.Errorf("firewall down: /-/healthy %d, want 200: the process is alive", rec.Code)
	}
	want := `
		# HELP uppercut_check_ok 1 when this readiness check passes; /-/ready says why one does not.
		# TYPE uppercut_check_ok gauge
		uppercut_check_ok{check="firewall"} 0
		uppercut_check_ok{check="listeners"} 1
	`
	if err := testutil.CollectAndCompare(&h, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestBuildOf(t *testing.T) {
	setting := func(kv ...string) (s []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			s = append(s, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return s
	}
	for _, tc := range []struct {
		name string
		info debug.BuildInfo
		want Build
	}{
		{"released", debug.BuildInfo{
			Main:     debug.Module{Version: "v1.0.0"},
			Settings: setting("vcs.revision", "abc", "vcs.modified", "false", "-tags", "netgo"),
		}, Build{"v1.0.0", "abc", "netgo"}},
		{"changed tree", debug.BuildInfo{
			Main:     debug.Module{Version: "v1.0.1-0.2026+dirty"},
			Settings: setting("vcs.revision", "abc", "vcs.modified", "true"),
		}, Build{"v1.0.1-0.2026+dirty", "abc-modified", ""}},
		{"no version control", debug.BuildInfo{}, Build{"(devel)", "unknown", ""}},
	} {
		if got := buildOf(&tc.info); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	if got := ReadBuild("v9").Version; got != "v9" {
		t.Errorf("linker's version: %q, want v9", got)
	}
}

func TestDocument(t *testing.T) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uppercut_x_total", Help: "a | b"}, []string{"host", "reason"})
	c.WithLabelValues("mx1", "dnsbl")
	c.WithLabelValues("mx2", "dnsbl")
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_x", Help: "not ours"})
	r.MustRegister(c, other)
	var out strings.Builder
	if err := Document(&out, r); err != nil {
		t.Fatal(err)
	}
	want := "| metric | type | labels | help |\n|---|---|---|---|\n" +
		"| `uppercut_x_total` | counter | `host`, `reason` | a \\| b |\n"
	if out.String() != want {
		t.Errorf("document:\n%s\nwant:\n%s", out.String(), want)
	}
}
