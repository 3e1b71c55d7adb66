package detector

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"uppercut/detector/sendmail"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write the golden files")

// The names, helps and labels are an API.
func TestMetricsGolden(t *testing.T) {
	b := newBench(t, nil)
	b.offend(noon, someone, sendmail.AuthFail)
	if problems, err := testutil.GatherAndLint(b.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		labels := ""
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels += " " + l.GetName()
		}
		text.WriteString(f.GetName() + labels + ": " + f.GetHelp() + "\n")
	}
	const golden = "testdata/metrics.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("the metrics are\n%s", text.String())
	}
}

// What is known beforehand starts at 0.
func TestMetricsStartAtZero(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string]int{
		"uppercut_verdicts_total":            3, // two rules and the neighbourhood
		"uppercut_verdicts_suppressed_total": len(exemptions),
		"uppercut_tracked_sources":           2,
		"uppercut_sendmail_lines_total":      len(sendmail.LineKinds()),
	} {
		if got, err := testutil.GatherAndCount(b.registry, name); err != nil || got != want {
			t.Errorf("%s has %d series (%v), want %d", name, got, err, want)
		}
	}
	b.offend(noon, someone, sendmail.DNSBL)
	if got, err := testutil.GatherAndCount(b.registry, "uppercut_rejections_total"); err != nil || got != len(sendmail.Reasons()) {
		t.Errorf("a host has %d reasons (%v)", got, err)
	}
}

// Hosts have the label that the caller gives them, and repeated lines count as
// often as they happened.
func TestHostLabels(t *testing.T) {
	b := newBench(t, func(_ *Config, o *Options) {
		o.HostLabel = func(sender, host string) string {
			if sender != "192.0.2.1" {
				t.Errorf("sender %s", sender)
			}
			if host == "mx1" {
				return "first"
			}
			return "other"
		}
	})
	b.feed(event{at: noon, addr: someone, Event: sendmail.Event{Reason: sendmail.AuthFail, Count: 7}})
	b.feed(event{at: noon, addr: someone, host: "mx2", Event: sendmail.Event{Reason: sendmail.AuthFail}})
	b.accept(noon, "203.0.113.1", 3)
	want := `
# HELP uppercut_auth_failures_total Failed SMTP AUTH attempts.
# TYPE uppercut_auth_failures_total counter
uppercut_auth_failures_total{host="first"} 7
uppercut_auth_failures_total{host="other"} 1
# HELP uppercut_mail_accepted_total Messages accepted for delivery (sendmail from= lines).
# TYPE uppercut_mail_accepted_total counter
uppercut_mail_accepted_total{host="first"} 3
uppercut_mail_accepted_total{host="other"} 0
`
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "uppercut_auth_failures_total", "uppercut_mail_accepted_total"); err != nil {
		t.Error(err)
	}
}

// A Detector that replaces another goes on with its counters, and one without
// a registry works.
func TestRegistererTwiceAndNever(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		d, err := New(DefaultConfig(), Options{Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		d.Observe(&Line{Received: noon, Tag: "cron"})
	}
	if got := total(t, registry, "uppercut_foreign_lines_total"); got != 2 {
		t.Errorf("%v lines", got)
	}
	d, err := New(DefaultConfig(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Observe(&Line{Received: noon, Tag: "sendmail"})
	d.Tick(noon.Add(time.Second))
}
