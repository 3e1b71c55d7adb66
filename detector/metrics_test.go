package detector

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write the golden files")

// The names, helps and labels are an API.
func TestMetricsGolden(t *testing.T) {
	b := newBench(t, nil)
	b.offend(noon, someone, offence.AuthFail)
	b.d.Observe(&Line{Sender: "10.0.0.1", Host: "mx1", Tag: "cron", Received: noon})
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
		"uppercut_sendmail_lines_total":      len(offence.LineKinds()),
		"uppercut_program_lines_total":       len(programs) * len(offence.LineKinds()),
	} {
		if got, err := testutil.GatherAndCount(b.registry, name); err != nil || got != want {
			t.Errorf("%s has %d series (%v), want %d", name, got, err, want)
		}
	}
	b.offend(noon, someone, offence.DNSBL)
	if got, err := testutil.GatherAndCount(b.registry, "uppercut_rejections_total"); err != nil || got != len(offence.Reasons()) {
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
	b.feed(event{at: noon, addr: someone, Event: offence.Event{Reason: offence.AuthFail, Count: 7}})
	b.feed(event{at: noon, addr: someone, host: "mx2", Event: offence.Event{Reason: offence.AuthFail}})
	b.accept(noon, "203.0.113.1", 3)
	want := `
# HELP uppercut_auth_failures_total Failed logins, of SMTP AUTH and other programs.
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

// What a ruleset answered is counted once, however the client was told and
// however often the line came; a discard is no answer.
func TestRulesetReplies(t *testing.T) {
	registry := prometheus.NewRegistry()
	d, err := New(DefaultConfig(), Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	const refused = "2026-03-04T05:06:07Z mx1 sm-mta[100]: 62456700000100: ruleset=check_rcpt, arg1=<a@example.com>, relay=[203.0.113.9], reject=550 5.7.1 <a@example.com>... Relaying denied"
	for i, text := range []string{
		refused, refused,
		"2026-03-04T05:06:08Z mx1 sm-mta[101]: 62456800000101: ruleset=check_rcpt, arg1=<b@example.com>, relay=[203.0.113.9], reject=451 4.7.1 <b@example.com>... try later",
		"2026-03-04T05:06:09Z mx1 sm-mta[102]: ruleset=check_relay, arg1=[203.0.113.9], arg2=203.0.113.9, relay=[203.0.113.9], reject=550 5.7.1 Access denied",
		"2026-03-04T05:06:10Z mx1 sm-mta[103]: 6245670A000103: ruleset=check_mail, arg1=<c@example.org>, relay=[203.0.113.9], discard",
		"2026-03-04T05:06:11Z mx1 sm-mta[104]: 6245670B000104: ruleset=check_from_ours, arg1=<d@example.org>, relay=[203.0.113.9], reject=553 5.0.0 no",
		// a session's envelope, and a line that is longer than any of these
		"2026-03-04T05:06:12Z mx1 sm-mta[101]: 62456800000101: from=<" + strings.Repeat("a", 180) + "@example.org>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=[203.0.113.9]",
	} {
		var l Line
		parseLine(t, parser, text, &l)
		l.Number = uint64(i + 1)
		d.Observe(&l)
	}
	for _, want := range []struct {
		labels []string
		n      float64
	}{
		{[]string{"check_rcpt", "5xx"}, 1},
		{[]string{"check_rcpt", "4xx"}, 1},
		{[]string{"check_relay", "5xx"}, 1},
		{[]string{"check_mail", "5xx"}, 0},
		{[]string{"other", "5xx"}, 1},
		{[]string{"check_compat", "4xx"}, 0},
	} {
		counter := d.metrics.counters("uppercut_ruleset_rejections_total", "SMTP rejections by sendmail ruleset and reply class.", "ruleset", "reply_class")
		if got := testutil.ToFloat64(counter.WithLabelValues(want.labels...)); got != want.n {
			t.Errorf("%v: %v, want %v", want.labels, got, want.n)
		}
	}
}

func TestLags(t *testing.T) {
	l := newLags()
	for _, lag := range []time.Duration{-time.Hour, 0, time.Second, time.Second + 1, time.Hour, 1000 * time.Hour} {
		l.observe(lag)
	}
	want := `
# HELP uppercut_message_lag_seconds Time of arrival minus the time in the header, for lines whose time is known; 0 for those dated ahead.
# TYPE uppercut_message_lag_seconds histogram
uppercut_message_lag_seconds_bucket{le="1"} 3
uppercut_message_lag_seconds_bucket{le="2"} 4
uppercut_message_lag_seconds_bucket{le="5"} 4
uppercut_message_lag_seconds_bucket{le="15"} 4
uppercut_message_lag_seconds_bucket{le="60"} 4
uppercut_message_lag_seconds_bucket{le="300"} 4
uppercut_message_lag_seconds_bucket{le="1800"} 4
uppercut_message_lag_seconds_bucket{le="7200"} 5
uppercut_message_lag_seconds_bucket{le="43200"} 5
uppercut_message_lag_seconds_bucket{le="172800"} 5
uppercut_message_lag_seconds_bucket{le="+Inf"} 6
uppercut_message_lag_seconds_sum 3.603602e+06
uppercut_message_lag_seconds_count 6
`
	if err := testutil.CollectAndCompare(l, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
