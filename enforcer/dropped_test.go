package enforcer

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestDropped: what is exempt is left out, each address has its longest time, and
// nothing is dropped in observe mode or while blocking is suspended.
func TestDropped(t *testing.T) {
	o := options(t, newKernel(t))
	o.Holes = func(netip.Prefix) ([]netip.Prefix, string) {
		return []netip.Prefix{prefix("198.51.100.128/26")}, ""
	}
	e := start(t, DefaultConfig(), o)
	now := time.Now()
	short, long := now.Add(time.Hour), now.Add(2*time.Hour)
	for _, b := range []struct {
		prefix string
		until  time.Time
	}{{"192.0.2.1/32", short}, {"198.51.100.0/24", long}, {"198.51.100.7/32", short}, {"2001:db8:1:2::/64", Forever}} {
		if _, err := e.BlockNow(t.Context(), "anna", "", b.until, prefix(b.prefix)); err != nil {
			t.Fatal(err)
		}
	}
	ends := map[int64]string{short.UnixNano(): " short", long.UnixNano(): " long", Forever.UnixNano(): " forever"}
	dropped := func(e *appliance) (out []string) {
		for b := range e.Dropped() {
			if b.ID == 0 || b.Rule != Manual {
				t.Errorf("%+v", b)
			}
			out = append(out, b.Prefix.String()+ends[b.Until.UnixNano()])
		}
		slices.Sort(out)
		return out
	}
	want := []string{"192.0.2.1/32 short", "198.51.100.0/25 long", "198.51.100.192/26 long", "198.51.100.7/32 short", "2001:db8:1:2::/64 forever"}
	if got := dropped(e); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := e.Flush(t.Context(), "anna", "", time.Time{}, false); err != nil {
		t.Fatal(err)
	}
	if got := dropped(e); got != nil {
		t.Errorf("%q while suspended", got)
	}
	if err := e.Resume(t.Context(), "anna", ""); err != nil {
		t.Fatal(err)
	}
	if got := dropped(e); len(got) != len(want) {
		t.Errorf("%q after resume", got)
	}
	e.stop()
	o.Observe = true
	if got := dropped(start(t, DefaultConfig(), o)); got != nil {
		t.Errorf("%q in observe mode", got)
	}
}
