package enforcer

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/enforcer/nft"
)

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// elementsOf are changes that remove.
func elementsOf(ps ...string) (elems []nft.Element) {
	for _, p := range ps {
		elems = append(elems, nft.Element{Prefix: prefix(p)})
	}
	return elems
}

// audit is the actions in the audit log, oldest first.
func (a *appliance) audit(t testing.TB) (actions []string) {
	t.Helper()
	for entry, err := range a.AuditLog() {
		if err != nil {
			t.Fatal(err)
		}
		actions = append(actions, entry.Action)
	}
	slices.Reverse(actions)
	return actions
}

// A block that is over is not lifted, though the next sweep is still to come.
func TestUnblockAfterTheEnd(t *testing.T) {
	o := options(t, newKernel(t))
	var ends []Unblock
	o.OnUnblock = func(u Unblock) { ends = append(ends, u) }
	a := start(t, DefaultConfig(), o)
	for _, unblock := range []func(context.Context, string, string, ...netip.Prefix) ([]netip.Prefix, error){a.Unblock, a.UnblockExactly} {
		until := time.Now().Add(50 * time.Millisecond)
		if _, err := a.BlockNow(t.Context(), "op", "", until, prefix("192.0.2.1/32")); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Until(until))
		if lifted, err := unblock(t.Context(), "op", "", prefix("192.0.2.1/32")); err != nil || len(lifted) > 0 {
			t.Errorf("lifted %v, %v: it was over", lifted, err)
		}
	}
	a.stop()
	for _, u := range ends {
		if u.Cause != causeExpired {
			t.Errorf("ended by %s", u.Cause)
		}
	}
	if len(ends) != 2 {
		t.Errorf("%d ends", len(ends))
	}
}

func TestByHand(t *testing.T) {
	ns := newKernel(t)
	a := start(t, DefaultConfig(), options(t, ns))
	ctx := t.Context()
	until := time.Now().Add(time.Hour)
	refused, err := a.BlockNow(ctx, "op", "ticket 7", until, prefix("192.0.2.1/32"), prefix("198.51.100.77/24"))
	if err != nil || refused != nil {
		t.Fatalf("refused %v, %v", refused, err)
	}
	if diff := cmp.Diff([]string{"192.0.2.1/32", "198.51.100.0/24"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	b, _ := a.Lookup(netip.MustParseAddr("198.51.100.1"))
	if b.Rule != Manual || b.Author != "op" || b.Note != "ticket 7" || !b.Until.Equal(until) {
		t.Errorf("%+v", b)
	}
	// By hand a block also becomes shorter; a verdict never shortens one.
	shorter := time.Now().Add(10 * time.Minute)
	if _, err := a.BlockNow(ctx, "op", "", shorter, prefix("192.0.2.1/32")); err != nil {
		t.Fatal(err)
	}
	a.Block(verdict("192.0.2.1/32", time.Minute))
	a.flush()
	if left := ns.elements(t, nft.Set4)[prefix("192.0.2.1/32")]; left < 590 || left > 600 {
		t.Errorf("%d s left, want 600", left)
	}
	a.Block(verdict("192.0.2.1/32", 2*time.Hour))
	a.flush()
	if left := ns.elements(t, nft.Set4)[prefix("192.0.2.1/32")]; left < 7190 {
		t.Errorf("%d s left, want 7200", left)
	}

	lifted, err := a.Allow(ctx, AllowEntry{Prefix: prefix("192.0.2.0/28"), Author: "op", Note: "customer"})
	if err != nil || len(lifted) != 1 {
		t.Fatalf("lifted %v, %v", lifted, err)
	}
	if refused, err = a.BlockNow(ctx, "op", "", until, prefix("192.0.2.1/32"), prefix("192.0.2.99/32")); err != nil || len(refused) != 1 || refused[0].Cause != "allowlist" {
		t.Errorf("refused %v, %v", refused, err)
	}
	removed, err := a.Disallow(ctx, "op", "", prefix("192.0.2.0/28"), prefix("10.0.0.0/8"))
	if err != nil || len(removed) != 1 || len(slices.Collect(a.Allowed())) != 0 {
		t.Errorf("removed %v, %v", removed, err)
	}
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	if _, ok := a.Lookup(netip.MustParseAddr("192.0.2.1")); !ok {
		t.Error("not blocked after it was disallowed")
	}
	if diff := cmp.Diff([]string{"block", "block", "allow", "block", "disallow"}, a.audit(t)); diff != "" {
		t.Error(diff)
	}
}

func TestAllowWithinABlockedNetwork(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	a := start(t, DefaultConfig(), o)
	ctx := t.Context()
	a.Block(verdict("192.0.2.0/30", time.Hour))
	a.Block(verdict("2001:db8::/64", time.Hour))
	a.flush()
	if _, err := a.Allow(ctx, AllowEntry{Prefix: prefix("192.0.2.1/32")}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Allow(ctx, AllowEntry{Prefix: prefix("2001:db8::/66")}); err != nil {
		t.Fatal(err)
	}
	want := []string{"192.0.2.0/32", "192.0.2.2/31", "2001:db8:0:0:4000::/66", "2001:db8:0:0:8000::/65"}
	if diff := cmp.Diff(want, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	a.stop()
	a = start(t, DefaultConfig(), o)
	if diff := cmp.Diff(want, inKernel(t, ns)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	if _, err := a.Disallow(ctx, "op", "", prefix("192.0.2.1/32"), prefix("2001:db8::/66")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"192.0.2.0/30", "2001:db8::/64"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	if _, err := a.Unblock(ctx, "op", "", prefix("192.0.2.0/30"), prefix("2001:db8::/64")); err != nil {
		t.Fatal(err)
	}
	if got := inKernel(t, ns); len(got) != 0 {
		t.Errorf("left in the kernel: %v", got)
	}
}

// Who unblocks an address or a network wants its packets to pass: whatever
// drops them goes, and the audit log tells what was asked.
func TestUnblockLiftsWhatOverlaps(t *testing.T) {
	blocked := []string{"192.0.2.1/32", "192.0.2.200/32", "192.0.2.0/24", "198.51.100.7/32", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/48"}
	for asked, want := range map[string]struct {
		left   []string
		undone int
	}{
		"192.0.2.1/32":      {[]string{"192.0.2.200/32", "198.51.100.7/32", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/48"}, 0},
		"192.0.2.128/25":    {[]string{"192.0.2.1/32", "198.51.100.7/32", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/48"}, 0},
		"192.0.0.0/16":      {[]string{"198.51.100.7/32", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/48"}, 0},
		"2001:db8:1::9/128": {[]string{"192.0.2.0/24", "192.0.2.1/32", "192.0.2.200/32", "198.51.100.7/32", "2001:db8:2::/64", "2001:db8::/48"}, 0},
		"2001:db8:0:9::/64": {[]string{"192.0.2.0/24", "192.0.2.1/32", "192.0.2.200/32", "198.51.100.7/32", "2001:db8:1::/64", "2001:db8:2::/64"}, 0},
		"2001:db8::/32":     {[]string{"192.0.2.0/24", "192.0.2.1/32", "192.0.2.200/32", "198.51.100.7/32"}, 0},
		"203.0.113.5/32":    {[]string{"192.0.2.0/24", "192.0.2.1/32", "192.0.2.200/32", "198.51.100.7/32", "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/48"}, 1},
	} {
		t.Run(asked, func(t *testing.T) {
			ns := newKernel(t)
			a := start(t, DefaultConfig(), options(t, ns))
			for _, p := range blocked {
				a.Block(verdict(p, time.Hour))
			}
			a.flush()
			lifted, err := a.Unblock(t.Context(), "op", "", prefix(asked))
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for b := range a.Blocks() {
				left = append(left, b.Prefix.String())
			}
			slices.Sort(left)
			if diff := cmp.Diff(want.left, left); diff != "" {
				t.Errorf("left: %s", diff)
			}
			if len(lifted)+len(left) != len(blocked) {
				t.Errorf("lifted %v", lifted)
			}
			for _, p := range inKernel(t, ns) {
				if prefix(p).Overlaps(prefix(asked)) {
					t.Errorf("the kernel still drops %s", p)
				}
			}
			for entry, err := range a.AuditLog() {
				if err != nil || entry.Action != ActionUnblock || entry.Count != 1 || entry.Prefixes[0] != prefix(asked) || entry.Undone != want.undone {
					t.Errorf("audit log: %+v %v", entry, err)
				}
				break
			}
		})
	}
}

func TestUnblockExactly(t *testing.T) {
	ns := newKernel(t)
	a := start(t, DefaultConfig(), options(t, ns))
	for _, p := range []string{"192.0.2.1/32", "192.0.2.0/24", "2001:db8:1::/64"} {
		a.Block(verdict(p, time.Hour))
	}
	a.flush()
	lifted, err := a.UnblockExactly(t.Context(), "op", "", prefix("192.0.2.1/32"), prefix("2001:db8::/32"))
	if err != nil || len(lifted) != 1 || lifted[0] != prefix("192.0.2.1/32") {
		t.Errorf("lifted %v, %v", lifted, err)
	}
	if diff := cmp.Diff([]string{"192.0.2.0/24", "2001:db8:1::/64"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	for entry, err := range a.AuditLog() {
		if err != nil || entry.Count != 2 || entry.Undone != 1 {
			t.Errorf("audit log: %+v %v", entry, err)
		}
		break
	}
}

func TestAllowEndsByItself(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	o := options(t, ns)
	a := start(t, DefaultConfig(), o)
	entry := AllowEntry{Prefix: prefix("192.0.2.1/32"), Until: time.Now().Add(50 * time.Millisecond)}
	if _, err := a.Allow(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if got := slices.Collect(a.Allowed()); len(got) != 1 {
		t.Errorf("allowed: %v", got)
	}
	eventually(t, 5*time.Second, "the entry ends", func() bool {
		return len(slices.Collect(a.Allowed())) == 0
	})
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	if _, ok := a.Lookup(netip.MustParseAddr("192.0.2.1")); !ok {
		t.Error("still exempt")
	}
}

func TestGuardIsAskedForEveryBlock(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	var exempt, holes []netip.Prefix
	o.Exempt = func(p netip.Prefix) string {
		if slices.Contains(exempt, p) {
			return "own_address"
		}
		return ""
	}
	o.Holes = func(p netip.Prefix) (inside []netip.Prefix, cause string) {
		for _, h := range holes {
			if p.Overlaps(h) {
				inside = append(inside, h)
			}
		}
		return inside, o.Exempt(p)
	}
	exempt = []netip.Prefix{prefix("192.0.2.1/32")}
	a := start(t, DefaultConfig(), o)
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.Block(verdict("192.0.2.2/32", time.Hour))
	a.flush()
	refused, err := a.BlockNow(t.Context(), "op", "", time.Now().Add(time.Hour), prefix("192.0.2.1/32"), prefix("198.51.100.0/30"))
	if err != nil || len(refused) != 1 || refused[0].Cause != "own_address" {
		t.Errorf("by hand: %v, %v", refused, err)
	}
	if n := testutil.ToFloat64(a.metrics.suppressed.WithLabelValues("own_address")); n != 2 {
		t.Errorf("%v suppressed, want 2", n)
	}
	// The guard's view changes.
	exempt = append(exempt, prefix("192.0.2.2/32"))
	holes = []netip.Prefix{prefix("198.51.100.1/32")}
	if err := a.Recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"198.51.100.0/32", "198.51.100.2/31"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	holes = nil
	if err := a.Recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"198.51.100.0/30"}, inKernel(t, ns)); diff != "" {
		t.Error(diff)
	}
	exempt = exempt[:1]
	a.Block(verdict("192.0.2.2/32", time.Hour))
	a.flush()
	a.stop()
	exempt = append(exempt, prefix("192.0.2.2/32"))
	holes = []netip.Prefix{prefix("198.51.100.0/31")}
	start(t, DefaultConfig(), o)
	if diff := cmp.Diff([]string{"198.51.100.2/31"}, inKernel(t, ns)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
}

func TestRecheckOfWhatWasAdded(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	asked := 0
	exempt := netip.Prefix{}
	o.Exempt = func(p netip.Prefix) string {
		asked++
		if exempt.IsValid() && exempt.Overlaps(p) {
			return "ssh_peer"
		}
		return ""
	}
	a := start(t, DefaultConfig(), o)
	a.fill(100)
	a.Block(verdict("192.0.2.0/24", time.Hour))
	a.flush()
	asked, exempt = 0, prefix("100.0.0.7/32")
	if err := a.Recheck(t.Context(), exempt); err != nil {
		t.Fatal(err)
	}
	if asked != 1 || a.Count() != 100 {
		t.Errorf("asked %d times for one change, %d blocks", asked, a.Count())
	}
	exempt = prefix("192.0.2.9/32") // within a network, and nobody names holes
	if err := a.Recheck(t.Context(), exempt); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Lookup(netip.MustParseAddr("192.0.2.1")); ok || !a.whole(99) {
		t.Error("a network around an exempt address is still blocked")
	}
	a.Block(verdict("192.0.2.9/32", time.Hour))
	a.flush()
	if n := testutil.ToFloat64(a.metrics.suppressed.WithLabelValues("own_address")); n != 1 {
		t.Errorf("a cause that only the guard knows is counted %v times as the gateway's own", n)
	}
}

func TestFlushSuspendsUntilResume(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.CheckInterval = 50 * time.Millisecond
	a := start(t, c, options(t, ns))
	ctx := t.Context()
	a.fill(10)
	if err := a.Flush(ctx, "op", "debugging", time.Time{}, false); err != nil {
		t.Fatal(err)
	}
	if got := ns.nft(t, "list", "tables"); got != "" {
		t.Errorf("tables after a flush: %s", got)
	}
	if !errors.Is(a.Healthy(), ErrSuspended) || testutil.ToFloat64(a.metrics.suspended) != 1 || a.Count() != 10 {
		t.Errorf("healthy: %v, %d blocks", a.Healthy(), a.Count())
	}
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	checks := time.After(5 * c.CheckInterval)
	<-checks
	if got := ns.nft(t, "list", "tables"); got != "" {
		t.Errorf("the table came back by itself: %s", got)
	}
	if _, err := a.Repair(ctx, "op", ""); !errors.Is(err, ErrSuspended) {
		t.Errorf("repair while suspended: %v", err)
	}
	if err := a.Resume(ctx, "op", ""); err != nil {
		t.Fatal(err)
	}
	if !a.whole(11) || a.Healthy() != nil {
		t.Errorf("after resuming: %v, healthy: %v", inKernel(t, ns), a.Healthy())
	}
	if err := a.Flush(ctx, "op", "start over", time.Time{}, true); err != nil {
		t.Fatal(err)
	}
	if err := a.Resume(ctx, "op", ""); err != nil {
		t.Fatal(err)
	}
	if a.Count() != 0 || !a.whole(0) {
		t.Errorf("%d blocks after forgetting", a.Count())
	}
	if diff := cmp.Diff([]string{"flush", "resume", "flush", "resume"}, a.audit(t)); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryKeepsEvidence(t *testing.T) {
	ns := newKernel(t)
	a := start(t, DefaultConfig(), options(t, ns))
	b := verdict("192.0.2.1/32", time.Hour)
	b.Evidence = []Evidence{{Time: time.Now().UTC().Truncate(time.Second), Sender: "10.0.0.1", Host: "mx1", Transport: "tcp", Reason: "check_relay", Text: "ruleset=check_relay"}}
	a.Block(b)
	a.flush()
	if _, err := a.Unblock(t.Context(), "op", "", b.Prefix); err != nil {
		t.Fatal(err)
	}
	found := 0
	for old, err := range a.HistoryOf(b.Prefix) {
		found++
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b.Evidence, old.Evidence); diff != "" || old.Prefix != b.Prefix || old.ID == 0 {
			t.Errorf("%+v: %s", old, diff)
		}
		again, err := a.WithEvidence(Block{ID: old.ID})
		if err != nil || len(again.Evidence) != 1 {
			t.Errorf("%+v, %v", again, err)
		}
	}
	if found != 1 {
		t.Errorf("%d blocks in the history, want 1", found)
	}
}

func TestSeenAfterBlock(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	a := start(t, c, options(t, ns))
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	addr := netip.MustParseAddr("192.0.2.1")
	b, _ := a.Lookup(addr)
	a.SeenAfterBlock(addr, b.At.Add(c.SeenGrace-time.Second))
	a.SeenAfterBlock(netip.MustParseAddr("192.0.2.2"), b.At.Add(2*c.SeenGrace))
	a.flush()
	if n := testutil.ToFloat64(a.metrics.seen); n != 0 {
		t.Errorf("%v seen within the grace period", n)
	}
	for range 3 {
		a.SeenAfterBlock(addr, time.Now().Add(c.SeenGrace+time.Second))
	}
	a.flush()
	b, _ = a.Lookup(addr)
	if n := testutil.ToFloat64(a.metrics.seen); n != 1 || !b.Seen {
		t.Errorf("%v seen, mark %v", n, b.Seen)
	}
}

func TestStoppedTakesNoOrders(t *testing.T) {
	ns := newKernel(t)
	a := start(t, DefaultConfig(), options(t, ns))
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.stop()
	if got := inKernel(t, ns); len(got) != 1 {
		t.Errorf("what was asked for before the end is not in the kernel: %v", got)
	}
	if _, err := a.Unblock(context.Background(), "op", "", prefix("192.0.2.1/32")); !errors.Is(err, ErrStopped) {
		t.Errorf("unblock after the end: %v", err)
	}
	a.Block(verdict("192.0.2.2/32", time.Hour)) // is turned away
	a.flush()                                   // and nobody waits for it
}

func TestObserveTouchesNoFirewall(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	o.Observe = true
	a := start(t, DefaultConfig(), o)
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	b, ok := a.Lookup(netip.MustParseAddr("192.0.2.1"))
	if !ok || !b.Observed || testutil.ToFloat64(a.metrics.suppressed.WithLabelValues("dry_run")) != 1 {
		t.Errorf("%+v, %v", b, ok)
	}
	if got := ns.nft(t, "list", "ruleset"); strings.TrimSpace(got) != "" {
		t.Errorf("ruleset: %s", got)
	}
	if _, err := a.Verify(t.Context()); !errors.Is(err, ErrObserving) {
		t.Errorf("verify: %v", err)
	}
	if err := a.Flush(t.Context(), "op", "", time.Time{}, false); err != nil {
		t.Errorf("flush: %v", err)
	}
	if err := a.Resume(t.Context(), "op", ""); err != nil {
		t.Errorf("resume: %v", err)
	}
	a.stop()
	o.Observe = false
	e := start(t, DefaultConfig(), o)
	if e.Count() != 0 {
		t.Error("what was only observed is enforced after a restart")
	}
}

func TestInKernelAsksTheKernel(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.CheckInterval = time.Minute
	a := start(t, c, options(t, ns))
	for _, p := range []string{"192.0.2.1/32", "198.51.100.0/24", "2001:db8::/64", "64:ff9b::1/128"} {
		a.Block(verdict(p, time.Hour))
	}
	a.flush()
	if _, err := a.Allow(t.Context(), AllowEntry{Prefix: prefix("198.51.100.7/32")}); err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"192.0.2.1": nft.Set4, "::ffff:192.0.2.1": nft.Set4, "192.0.2.2": "",
		"198.51.100.6": nft.Set4, // a piece of one address beside the hole
		"198.51.100.7": "", "198.51.100.200": nft.SetNet4,
		"2001:db8::7": nft.Set6, "2001:db8:1::": "", "64:ff9b::1": nft.SetNet6, "64:ff9b::2": "",
	} {
		set, left, err := a.InKernel(netip.MustParseAddr(addr))
		if err != nil || set != want || (left > 0) != (want != "") {
			t.Errorf("%s: in %q for %v, %v, want %q", addr, set, left, err, want)
		}
	}
	// The list still has it; the kernel, behind everybody's back, has not.
	if _, err := a.firewall.Apply(elementsOf("192.0.2.1/32")); err != nil {
		t.Fatal(err)
	}
	if set, _, err := a.InKernel(netip.MustParseAddr("192.0.2.1")); err != nil || set != "" {
		t.Errorf("deleted, but in %q, %v", set, err)
	}
	if set, _, err := a.InKernel(netip.Addr{}); err != nil || set != "" {
		t.Errorf("no address: %q, %v", set, err)
	}
}

func TestBlocksWhileTheListChanges(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	o.Logger = nil
	a := start(t, DefaultConfig(), o)
	a.fill(5000)
	seen := map[netip.Prefix]bool{}
	n := 0
	for b := range a.Blocks() {
		if seen[b.Prefix] {
			t.Errorf("%v comes twice", b.Prefix)
		}
		seen[b.Prefix] = true
		if n++; n%1000 == 0 { // no lock is held: this would wait for ever
			if _, err := a.Unblock(t.Context(), "op", "", prefix("100.0.0.1/32")); err != nil {
				t.Fatal(err)
			}
			a.Block(verdict("100.0.0.1/32", time.Hour))
			a.flush()
		}
	}
	if n < 4999 || n > 5001 {
		t.Errorf("%d blocks", n)
	}
	for range a.Blocks() {
		break // and it stops where it is told
	}
}
