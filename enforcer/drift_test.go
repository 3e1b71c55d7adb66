package enforcer

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/enforcer/nft"
)

// repairWithin is how long others' changes may last, also at a size: a second,
// on a machine that has nothing else to do. The log says how long it was.
const repairWithin = slack * time.Second

// whole reports whether the kernel has n elements in block4 and nothing to
// find fault with.
func (a *appliance) whole(n int) bool {
	elements, err := a.firewall.Elements()
	if elements[0] < 0 { // before Linux 6.16, or as if
		elems, whole, listing := a.firewall.List(nft.Set4, 2*large)
		if elements[0], err = len(elems), errors.Join(err, listing); !whole {
			return false
		}
	}
	if err != nil || elements[0] != n {
		return false
	}
	_, kinds, err := a.firewall.Check()
	return err == nil && kinds == nil
}

func (a *appliance) fill(n int) {
	now := time.Now()
	for i := range n {
		a.Block(Block{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 32),
			At:     now, Until: now.Add(time.Hour), Rule: "burst", Score: float64(i),
		})
	}
	a.flush()
}

func TestOthersChangesAreRepaired(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	o := options(t, ns)
	o.Registerer = prometheus.NewPedanticRegistry()
	o.Logger = nil // 100,000 lines
	a := start(t, DefaultConfig(), o)
	const n = large
	a.fill(n)
	for _, tt := range []struct {
		name string
		kind string
		nft  []string
	}{
		{"flush ruleset", "table", []string{"flush", "ruleset"}},
		{"delete table", "table", []string{"delete", "table", "inet", "uppercut"}},
		{"flush chain", "rules", []string{"flush", "chain", "inet", "uppercut", "prerouting"}},
		{"flush set", "missing", []string{"flush", "set", "inet", "uppercut", "block4"}},
		{"delete element", "missing", []string{"delete", "element", "inet", "uppercut", "block4", "{ 100.0.0.7, 100.0.1.8 }"}},
		{"foreign element", "unexpected", []string{"add", "element", "inet", "uppercut", "block4", "{ 192.0.2.1 }"}},
		{"foreign network", "unexpected", []string{"add", "element", "inet", "uppercut", "block4_net", "{ 192.0.2.0/24 }"}},
		{"chain in our table", "table", []string{"add", "chain", "inet", "uppercut", "more"}},
	} {
		before := testutil.ToFloat64(a.metrics.drift.WithLabelValues(tt.kind))
		ns.nft(t, tt.nft...)
		took := eventually(t, repairWithin, tt.name+" is repaired", func() bool {
			// elements first, so that what is counted is also in place
			return a.whole(n) && testutil.ToFloat64(a.metrics.drift.WithLabelValues(tt.kind)) > before
		})
		t.Logf("%s: repaired within %v", tt.name, took)
	}
	if got := ns.elements(t, "block4_net"); len(got) != 0 {
		t.Errorf("foreign networks are left: %v", got)
	}
	state := a.Show()
	if len(state.Drifts) == 0 || state.Drifts[0].Process != "nft" || state.Drifts[0].PID == 0 {
		t.Errorf("who did it is not known: %+v", state.Drifts)
	}
	if !state.Enforcing || a.Healthy() != nil {
		t.Errorf("not enforcing after all repairs: %+v, %v", state, a.Healthy())
	}
}

// TestVanishedTableIsTold: a question that fails for want of the table may come
// before the kernel's announcement. Who deleted it must be told all the same.
func TestVanishedTableIsTold(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	o.Registerer = prometheus.NewPedanticRegistry()
	a := start(t, DefaultConfig(), o)
	a.fill(10)
	tables := a.metrics.drift.WithLabelValues("table")
	for name, notice := range map[string]func(){
		"the announcement comes next": func() { a.changed(nft.Change{Layout: true, Process: "nft", PID: 1}) },
		"the regular look comes next": func() { a.kernel.retryAt = time.Now(); a.check() },
	} {
		before := testutil.ToFloat64(tables)
		err := a.do(t.Context(), func() error {
			ns.nft(t, "delete", "table", "inet", "uppercut")
			a.sample()
			if !a.vanished() {
				t.Errorf("%s: the question did not fail: %v", name, a.kernel.broken)
			}
			notice()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := testutil.ToFloat64(tables) - before; got != 1 || !a.whole(10) || a.Healthy() != nil {
			t.Errorf("%s: %v tables told of, whole %v, %v", name, got, a.whole(10), a.Healthy())
		}
	}
}

func TestElementsAreVerifiedInTurn(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.CheckInterval = 50 * time.Millisecond
	c.VerifyRate = 1000
	a := start(t, c, options(t, ns))
	a.fill(200)
	start := testutil.ToFloat64(a.metrics.verified)
	eventually(t, 5*time.Second, "all elements were asked for twice", func() bool {
		return testutil.ToFloat64(a.metrics.verified) >= start+400
	})
	if n := testutil.ToFloat64(a.metrics.drift.WithLabelValues("timeout")) + testutil.ToFloat64(a.metrics.drift.WithLabelValues("missing")); n != 0 {
		t.Errorf("%v differences where nobody touched anything", n)
	}
}

func TestForeignElementsAreAdopted(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.Foreign = ForeignAdopt
	o := options(t, ns)
	o.Exempt = func(p netip.Prefix) string {
		if p == prefix("192.0.2.66/32") {
			return "own_address"
		}
		return ""
	}
	a := start(t, c, o)
	a.fill(3)
	ns.nft(t, "add", "element", "inet", "uppercut", "block4", "{ 192.0.2.1 timeout 1h, 192.0.2.66 timeout 1h }")
	eventually(t, repairWithin, "a foreign address is adopted", func() bool {
		b, ok := a.Lookup(netip.MustParseAddr("192.0.2.1"))
		return ok && b.Author == "nft" && a.whole(4)
	})
	ns.nft(t, "add", "element", "inet", "uppercut", "block4_net", "{ 198.51.100.0/24 timeout 1h }")
	eventually(t, repairWithin, "a foreign network is adopted", func() bool {
		_, ok := a.Lookup(netip.MustParseAddr("198.51.100.9"))
		return ok
	})
	a.stop()
	// What was put there while nobody looked.
	ns.nft(t, "add", "element", "inet", "uppercut", "block4", "{ 192.0.2.2 timeout 1h }")
	b := start(t, c, o)
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "198.51.100.9"} {
		if _, ok := b.Lookup(netip.MustParseAddr(addr)); !ok {
			t.Errorf("%s is not in the list after a restart", addr)
		}
	}
}

// TestNothingElseIsTouched puts rulesets as other tools write them beside ours.
func TestNothingElseIsTouched(t *testing.T) {
	for name, ruleset := range map[string]string{
		"firewalld": `table inet firewalld {
			chain mangle_PREROUTING { type filter hook prerouting priority mangle + 10; policy accept; jump mangle_PREROUTING_ZONES; }
			chain mangle_PREROUTING_ZONES { return; }
			chain filter_INPUT { type filter hook input priority filter + 10; policy accept; ct state established,related accept; iifname "lo" accept; reject with icmpx admin-prohibited; }
		}`,
		"ufw": `table ip filter {
			chain INPUT { type filter hook input priority filter; policy drop; jump ufw-before-input; }
			chain ufw-before-input { iifname "lo" accept; ct state related,established accept; ip protocol icmp accept; }
			chain FORWARD { type filter hook forward priority filter; policy drop; }
		}`,
		"docker": `table ip nat {
			chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump DOCKER; }
			chain DOCKER { iifname != "docker0" tcp dport 8080 counter dnat to 172.17.0.2:80; }
			chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade; }
		}`,
		"another set of the same name": `table inet other {
			set block4 {
				type ipv4_addr
				elements = { 192.0.2.9 }
			}
		}`,
	} {
		t.Run(name, func(t *testing.T) {
			ns := newKernel(t)
			path := t.TempDir() + "/ruleset"
			writeFile(t, path, ruleset)
			ns.nft(t, "-f", path)
			before := ns.nft(t, "list", "ruleset")
			a := start(t, DefaultConfig(), options(t, ns))
			a.fill(10)
			ns.nft(t, "delete", "table", "inet", "uppercut")
			eventually(t, repairWithin, "our table is back", func() bool { return a.whole(10) })
			if err := a.Flush(t.Context(), "op", "", time.Time{}, false); err != nil {
				t.Fatal(err)
			}
			if after := ns.nft(t, "list", "ruleset"); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

func TestVerifyFindsAndRepairMends(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.CheckInterval = time.Minute // so that it is Verify that finds it
	a := start(t, c, options(t, ns))
	a.fill(2000)
	a.Block(verdict("198.51.100.0/24", time.Hour))
	a.flush()
	r, err := a.Verify(t.Context())
	if err != nil || !r.Sound() || r.Checked != 2001 {
		t.Fatalf("a sound firewall: %+v, %v", r, err)
	}
	// Behind the watcher's back: as an own transaction, through its socket.
	if _, err := a.firewall.Apply(elementsOf("100.0.0.1/32", "100.0.0.2/32", "198.51.100.0/24")); err != nil {
		t.Fatal(err)
	}
	r, err = a.Verify(t.Context())
	if err != nil || r.Sound() || r.Found["missing"] != 3 || len(r.Prefixes) != 3 {
		t.Errorf("three missing: %+v, %v", r, err)
	}
	if _, err := a.Repair(t.Context(), "op", "as verify said"); err != nil {
		t.Fatal(err)
	}
	if r, err := a.Verify(t.Context()); err != nil || !r.Sound() {
		t.Errorf("after the repair: %+v, %v", r, err)
	}
	if fmt.Sprint(a.audit(t)) != "[repair]" {
		t.Errorf("audit log: %v", a.audit(t))
	}
}
