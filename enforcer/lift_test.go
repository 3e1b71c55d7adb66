package enforcer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLift: what a rule decided ends when the judge takes it back, after what
// was asked for before; what an operator said stays.
func TestLift(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	var ends []Unblock
	o.OnUnblock = func(u Unblock) { ends = append(ends, u) }
	a := start(t, DefaultConfig(), o)
	if _, err := a.BlockNow(t.Context(), "op", "", time.Now().Add(time.Hour), prefix("192.0.2.3/32")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"192.0.2.1/32", "192.0.2.2/32", "198.51.100.0/24"} {
		a.Block(verdict(p, time.Hour))
	}
	a.Lift("mx1 refuses everybody", prefix("192.0.2.1/32"), prefix("192.0.2.3/32"), prefix("198.51.100.0/24"), prefix("203.0.113.1/32"))
	a.flush()
	if diff := cmp.Diff([]string{"192.0.2.2/32", "192.0.2.3/32"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	for entry, err := range a.AuditLog() {
		if err != nil || entry.Action != ActionUnblock || entry.Author != BreakerAuthor || entry.Note != "mx1 refuses everybody" || entry.Count != 2 {
			t.Errorf("%+v, %v", entry, err)
		}
		break
	}
	a.Lift("again", prefix("192.0.2.1/32"))
	a.flush()
	a.stop()
	if len(ends) != 2 {
		t.Errorf("%d ends", len(ends))
	}
	for _, u := range ends {
		if u.Cause != causeBreaker || u.Why != "mx1 refuses everybody" {
			t.Errorf("%+v", u)
		}
	}
}
