package enforcer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHowABlockEndedIsKept: the ledger has when each block ended, how, by whom and
// why, also after a restart, and nothing that is ordered later changes it.
func TestHowABlockEndedIsKept(t *testing.T) {
	const network, addr = "203.0.113.0/24", "203.0.113.9/32"
	unblock := func(t *testing.T, a *appliance, p string) {
		t.Helper()
		if _, err := a.Unblock(t.Context(), "op", "mistake", prefix(p)); err != nil {
			t.Error(err)
		}
	}
	type end struct{ Cause, By, Why string }
	for _, test := range []struct {
		name string
		do   func(t *testing.T, a *appliance, exempt *string)
		want end
	}{
		{"in force", func(*testing.T, *appliance, *string) {}, end{}},
		{"unblocked", func(t *testing.T, a *appliance, _ *string) { unblock(t, a, addr) }, end{"manual", "op", "mistake"}},
		{"unblocked with its network", func(t *testing.T, a *appliance, _ *string) { unblock(t, a, network) }, end{"manual", "op", "mistake"}},
		{"expired", func(t *testing.T, a *appliance, _ *string) { a.runOut(t, prefix(addr)) }, end{Cause: "expired"}},
		{"allowed", func(t *testing.T, a *appliance, _ *string) {
			if _, err := a.Allow(t.Context(), AllowEntry{Prefix: prefix(network), Author: "op", Note: "partner"}); err != nil {
				t.Error(err)
			}
		}, end{"allowlisted", "op", "partner"}},
		{"allowed by the configuration", func(t *testing.T, a *appliance, exempt *string) {
			a.nowExempt(t, exempt, "allowlist")
		}, end{Cause: "allowlisted"}},
		{"connected by SSH", func(t *testing.T, a *appliance, exempt *string) { a.nowExempt(t, exempt, "ssh_peer") }, end{Cause: "ssh_peer"}},
		{"a sender", func(t *testing.T, a *appliance, exempt *string) { a.nowExempt(t, exempt, "sender") }, end{Cause: "sender"}},
		{"forgotten", func(t *testing.T, a *appliance, _ *string) {
			if err := a.Flush(t.Context(), "op", "start over", time.Time{}, true); err != nil {
				t.Error(err)
			}
		}, end{"flushed", "op", "start over"}},
		{"replaced", func(t *testing.T, a *appliance, _ *string) {
			a.Block(verdict(addr, 2*time.Hour))
			a.flush()
		}, end{Cause: "replaced"}},
		{"had to make room", func(t *testing.T, a *appliance, _ *string) {
			for i := range 100 {
				b := verdict(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32).String(), time.Hour)
				b.Score = 20
				a.Block(b)
			}
			a.flush()
		}, end{Cause: "capacity"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			exempt := ""
			o := options(t, nil)
			o.Observe, o.Exempt = true, func(netip.Prefix) string { return exempt }
			c := DefaultConfig()
			c.MaxAddresses = 50
			a := start(t, c, o)
			a.Block(verdict(addr, time.Hour))
			a.flush()
			began := time.Now()
			test.do(t, a, &exempt)
			check := func(when string) {
				t.Helper()
				var oldest Unblock
				for u, err := range a.HistoryOf(prefix(addr)) {
					if err != nil {
						t.Fatal(when, err)
					}
					oldest = u
				}
				if diff := cmp.Diff(test.want, end{oldest.Cause, oldest.By, oldest.Why}); diff != "" {
					t.Errorf("%s (-want +got):\n%s", when, diff)
				}
				if test.want.Cause != "" && test.want.Cause != "expired" && (oldest.Ended.Before(began) || oldest.Ended.After(began.Add(time.Minute))) {
					t.Errorf("%s: ended %v, not at about %v", when, oldest.Ended, began)
				}
			}
			check("at once")
			if test.want.Cause != "" && test.want.Cause != "replaced" {
				exempt = ""
				unblock(t, a, addr) // lifts nothing
				unblock(t, a, network)
				check("after an unblock that lifts nothing")
			}
			a.stop()
			a = start(t, c, o)
			check("after a restart")
		})
	}
}

// TestABlockThatEndsWhileWeAreAway has its end in the ledger, too.
func TestABlockThatEndsWhileWeAreAway(t *testing.T) {
	o := options(t, nil)
	o.Observe = true
	a := start(t, DefaultConfig(), o)
	for _, p := range []string{"203.0.113.1/32", "203.0.113.2/32"} {
		a.Block(verdict(p, time.Hour))
	}
	a.flush()
	a.stop()
	o.Exempt = func(p netip.Prefix) string {
		if p == prefix("203.0.113.1/32") {
			return "ssh_peer"
		}
		return ""
	}
	o.Observe = false
	o.NetNS = newKernel(t).FD()
	a = start(t, DefaultConfig(), o)
	if err := a.do(t.Context(), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for u, err := range a.HistoryOf(prefix("203.0.113.0/24")) {
		if err != nil {
			t.Fatal(err)
		}
		got[u.Prefix.String()] = u.Cause
	}
	want := map[string]string{"203.0.113.1/32": "replaced", "203.0.113.2/32": "replaced"} // observed only
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// nowExempt makes everybody exempt and lets the enforcer look again.
func (a *appliance) nowExempt(t *testing.T, exempt *string, cause string) {
	t.Helper()
	if err := a.do(t.Context(), func() error { *exempt = cause; return nil }); err != nil {
		t.Error(err)
	}
	if err := a.Recheck(t.Context(), prefix("203.0.113.9/32")); err != nil {
		t.Error(err)
	}
}

// runOut lets the time of p's block be up.
func (a *appliance) runOut(t *testing.T, p netip.Prefix) {
	t.Helper()
	if err := a.do(t.Context(), func() error {
		a.end([]netip.Prefix{p}, time.Now())
		return nil
	}); err != nil {
		t.Error(err)
	}
}
