package console

import (
	"strings"
	"testing"

	"uppercut/metrics"
)

// TestPagesTellOfWhatIsNotHeard: who is refused, who is not understood, and who
// drops lines.
func TestPagesTellOfWhatIsNotHeard(t *testing.T) {
	f := fleet()
	f.status.Refused = []RefusedCount{{"not in receiver.senders", 3}}
	f.status.SendersNotUnderstood, f.status.HostsLosing = 1, 1
	f.status.Totals.NotUnderstood = 669
	f.samples = append(f.samples, Sample{f.now, "syslog", "timestamp", "192.0.2.77", "mx9", 5, "<22>when?"})
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	for path, wanted := range map[string][]string{
		"/": {
			"3 addresses are refused: not in receiver.senders.", "Nothing is understood of what 1 sender sends: see Mail hosts.",
			"1 mail host has dropped lines within the last hour: see Mail hosts.", "669 not understood",
		},
		"/senders": {
			"nothing understood", "3f2a1b4c5d6e", "drops lines", "Suppressed 45100 messages from sendmail.service",
			"<h2>Refused", "203.0.113.40", "not in receiver.senders", "812",
		},
		"/samples": {"timestamp", "192.0.2.77", "mx9", "× 5", "&lt;22&gt;when?"},
	} {
		body := draw(t, c, get(path)).Body.String()
		for _, want := range wanted {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
	}
	f.senders = nil
	if body := draw(t, c, get("/senders")).Body.String(); strings.Contains(body, "<h2>Refused") || !strings.Contains(body, "No host has sent a line yet.") {
		t.Error("a page without senders")
	}
}

// A warning is told and does not make the appliance unready.
func TestHealthWarns(t *testing.T) {
	f := newFake()
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	c.ready.Add("senders", func() error { return metrics.Warning("one of two") })
	h := c.currentHealth()
	if !h.Ready || len(h.Checks) != 1 || !h.Checks[0].OK || h.Checks[0].Warning != "one of two" || h.Checks[0].Problem != "" {
		t.Errorf("%+v", h)
	}
}
