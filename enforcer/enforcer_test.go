package enforcer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uppercut/enforcer/nft"
)

func comparePrefix(a, b netip.Prefix) int { return a.Compare(b) }

// inKernel is what nft lists in all four sets.
func inKernel(t testing.TB, ns *kernel) []string {
	t.Helper()
	var all []netip.Prefix
	for _, set := range nft.Sets {
		for p := range ns.elements(t, set) {
			if set == nft.Set6 {
				p = netip.PrefixFrom(p.Addr(), 64)
			}
			all = append(all, p)
		}
	}
	slices.SortFunc(all, comparePrefix)
	out := []string{}
	for _, p := range all {
		out = append(out, p.String())
	}
	return out
}

func TestBlocksReachTheKernelAndSurvive(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	a := start(t, DefaultConfig(), o)
	for _, p := range []string{"198.51.100.7/32", "::ffff:198.51.100.8/128", "203.0.113.0/24", "2001:db8:1:2::/64", "64:ff9b::c000:201/128", "2001:db8:5::/48"} {
		a.Block(verdict(p, time.Hour))
	}
	a.flush()
	want := []string{"198.51.100.7/32", "198.51.100.8/32", "203.0.113.0/24", "64:ff9b::c000:201/128", "2001:db8:1:2::/64", "2001:db8:5::/48"}
	if diff := cmp.Diff(want, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	for _, addr := range []string{"198.51.100.7", "::ffff:198.51.100.8", "203.0.113.99", "2001:db8:1:2::5", "2001:db8:5:1::1"} {
		if _, ok := a.Lookup(netip.MustParseAddr(addr)); !ok {
			t.Errorf("%s is not blocked", addr)
		}
	}
	a.stop()
	if diff := cmp.Diff(want, inKernel(t, ns)); diff != "" {
		t.Errorf("after the end: %s", diff)
	}

	ns.nft(t, "flush", "ruleset") // a reboot
	b := start(t, DefaultConfig(), o)
	if diff := cmp.Diff(want, inKernel(t, ns)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	lifted, err := b.Unblock(t.Context(), "op", "mistake", prefix("198.51.100.7/32"), prefix("203.0.113.0/24"), prefix("192.0.2.1/32"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(lifted, comparePrefix)
	if diff := cmp.Diff([]netip.Prefix{prefix("198.51.100.7/32"), prefix("203.0.113.0/24")}, lifted, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"198.51.100.8/32", "64:ff9b::c000:201/128", "2001:db8:1:2::/64", "2001:db8:5::/48"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	if n := len(slices.Collect(b.Blocks())); n != 4 || b.Count() != 4 {
		t.Errorf("%d blocks, count %d, want 4", n, b.Count())
	}
}
