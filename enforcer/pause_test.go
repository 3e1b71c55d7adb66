package enforcer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"uppercut/enforcer/nft"
)

// A pause ends by itself, and a restart does not end it.
func TestPause(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	o := options(t, ns)
	a := start(t, DefaultConfig(), o)
	ctx := t.Context()
	if _, err := a.BlockNow(ctx, "op", "", time.Now().Add(time.Hour), prefix("192.0.2.1/32")); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(2 * time.Second)
	if err := a.Flush(ctx, "op", "lunch", until, false); err != nil {
		t.Fatal(err)
	}
	a.stop()

	a = start(t, DefaultConfig(), o)
	if s := a.Show(); !s.Suspended || !s.PausedUntil.Equal(until) {
		t.Errorf("after a restart: suspended %v until %v, want until %v", s.Suspended, s.PausedUntil, until)
	}
	if tables, err := ns.Run("nft", "list", "tables"); err != nil || tables != "" {
		t.Errorf("the kernel has %q during the pause, %v", tables, err)
	}
	eventually(t, 10*time.Second, "the pause is over", func() bool { return !a.Suspended() })
	if time.Now().Before(until) {
		t.Error("it ended too early")
	}
	a.flush()
	if found := inKernel(t, ns); !slices.Equal(found, []string{"192.0.2.1/32"}) {
		t.Errorf("after the pause the kernel has %v", found)
	}
	if s := a.Show(); s.Suspended || !s.PausedUntil.IsZero() || a.Healthy() != nil {
		t.Errorf("after the pause: %+v, %v", s, a.Healthy())
	}
	a.stop()

	// A pause that was resumed from, and a flush without an end, are over then.
	a = start(t, DefaultConfig(), o)
	if a.Suspended() {
		t.Error("suspended after a pause that is over")
	}
	if err := a.Flush(ctx, "op", "", time.Now().Add(time.Hour), false); err != nil {
		t.Fatal(err)
	}
	if err := a.Resume(ctx, "op", ""); err != nil {
		t.Fatal(err)
	}
	a.stop()
	a = start(t, DefaultConfig(), o)
	if a.Suspended() {
		t.Error("suspended after a resume")
	}
	if err := a.Flush(ctx, "op", "", time.Time{}, false); err != nil {
		t.Fatal(err)
	}
	a.stop()
	if a = start(t, DefaultConfig(), o); a.Suspended() {
		t.Error("a flush without an end has outlived the restart")
	}
}

// A block forever has no timeout in the kernel, and outlives a restart, a flush
// and whatever a verdict says.
func TestPermanentBlock(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	a := start(t, DefaultConfig(), o)
	ctx := t.Context()
	all := []string{"192.0.2.1/32", "198.51.100.0/24", "2001:db8::/64"}
	for _, p := range all {
		if _, err := a.BlockNow(ctx, "op", "", time.Now().Add(time.Hour), prefix(p)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.BlockNow(ctx, "op", "", Forever, prefix(p)); err != nil {
			t.Fatal(err)
		}
		a.Block(verdict(p, time.Hour))
	}
	a.flush()
	check := func(when string) {
		t.Helper()
		for _, p := range all {
			b, ok := a.Current(prefix(p))
			if !ok || !b.Permanent() {
				t.Errorf("%s: %s is %+v", when, p, b)
			}
			if set, left, err := a.InKernel(prefix(p).Addr()); err != nil || set == "" || left != nft.Forever {
				t.Errorf("%s: %s is in set %q with %v left, %v", when, p, set, left, err)
			}
		}
		if r, err := a.Verify(ctx); err != nil || len(r.Found) > 0 {
			t.Errorf("%s: verified %+v, %v", when, r, err)
		}
	}
	check("blocked")
	if err := a.Flush(ctx, "op", "", time.Time{}, false); err != nil {
		t.Fatal(err)
	}
	if err := a.Resume(ctx, "op", ""); err != nil {
		t.Fatal(err)
	}
	check("resumed")
	a.stop()
	a = start(t, DefaultConfig(), o)
	check("restarted")

	// It can be given an end, and lifted.
	if _, err := a.BlockNow(ctx, "op", "", time.Now().Add(time.Hour), prefix(all[0])); err != nil {
		t.Fatal(err)
	}
	if _, left, _ := a.InKernel(netip.MustParseAddr("192.0.2.1")); left > time.Hour {
		t.Errorf("%v left, want an hour", left)
	}
	if lifted, err := a.Unblock(ctx, "op", "", prefix(all[0]), prefix(all[1]), prefix(all[2])); err != nil || len(lifted) != 3 {
		t.Errorf("lifted %v, %v", lifted, err)
	}
	if found := inKernel(t, ns); len(found) > 0 {
		t.Errorf("the kernel still has %v", found)
	}
}
