package enforcer

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/enforcer/nft"
)

// onEachKernel runs f on this kernel as it is, and as if it did not count elements.
func onEachKernel(t *testing.T, f func(t *testing.T, ns *kernel, o Options)) {
	for name, noCounts := range map[string]bool{"as it is": false, "before Linux 6.16": true} {
		t.Run(name, func(t *testing.T) {
			ns := newKernel(t)
			o := options(t, ns)
			o.noCounts = noCounts
			f(t, ns, o)
		})
	}
}

// blind is a configuration in which single elements are not asked for.
func blind() Config {
	c := DefaultConfig()
	c.VerifyRate = 0
	return c
}

// drifted is what was counted of a kind of drift.
func (a *appliance) drifted(kind string) float64 {
	return testutil.ToFloat64(a.metrics.drift.WithLabelValues(kind))
}

// manyElements writes a file for nft -f that does something to n elements at once:
// more than one announcement is followed for.
func manyElements(t *testing.T, verb string, n int) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s element inet uppercut block4 { 192.0.2.1", verb)
	for i := range n {
		fmt.Fprintf(&b, ", 192.%d.%d.%d", 100+i>>16, i>>8&255, i&255)
	}
	b.WriteString(" }\n")
	path := t.TempDir() + "/elements"
	writeFile(t, path, b.String())
	return path
}

// An announcement that was not followed to its end is no silence: what is foreign
// goes, what is missing comes back, and it is told.
func TestLostAnnouncements(t *testing.T) {
	for _, size := range []int{50, listLimit + 2000} {
		onEachKernel(t, func(t *testing.T, ns *kernel, o Options) {
			o.Logger = nil
			c := blind()
			c.CheckInterval = time.Minute // a check that comes first does not know who it was
			a := start(t, c, o)
			a.fill(size)
			ns.nft(t, "-f", manyElements(t, "add", 12_000))
			eventually(t, repairWithin, "foreign elements are removed", func() bool {
				return a.whole(size) && a.drifted("unexpected") > 0
			})
			ns.nft(t, "flush set inet uppercut block4")
			eventually(t, repairWithin, "a flushed set is filled again", func() bool {
				return a.whole(size) && a.drifted("missing") > 0
			})
			last := a.Show().Drifts[len(a.Show().Drifts)-1]
			if last.Process != "nft" || !slices.Equal(last.Kinds, []string{"missing"}) {
				t.Errorf("%+v", last)
			}
			if r, err := a.Verify(t.Context()); err != nil || !r.Sound() {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// Without announcements, any change of the ruleset may be one of our sets.
func TestNothingIsAnnounced(t *testing.T) {
	onEachKernel(t, func(t *testing.T, ns *kernel, o Options) {
		e, err := New(t.Context(), blind(), o)
		if err != nil {
			t.Fatal(err)
		}
		// Between New and Run nobody listens.
		ns.nft(t, "add element inet uppercut block4 { 192.0.2.1 timeout 1h }")
		a := runEnforcer(t, e)
		eventually(t, repairWithin, "what came before the watch is removed", func() bool { return a.whole(0) })
		a.deaf.Store(true)
		eventually(t, repairWithin, "the next look is for all", func() bool {
			unheard, err := order(t.Context(), a.Enforcer, func() (bool, error) { return a.kernel.unheard, nil })
			return err == nil && unheard
		})
		// Behind the watcher's back: by the port that it leaves out.
		if _, err := a.firewall.Apply([]nft.Element{{Prefix: prefix("192.0.2.2/32"), Timeout: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		ns.nft(t, "add table inet other")
		eventually(t, repairWithin, "what nobody announced is removed", func() bool { return a.whole(0) })
	})
}

// Networks that others add or delete are put right, and it is told who did it.
func TestOthersChangesOfNetworksAreTold(t *testing.T) {
	onEachKernel(t, func(t *testing.T, ns *kernel, o Options) {
		a := start(t, blind(), o)
		a.Block(verdict("198.51.100.0/24", time.Hour))
		a.flush()
		for kind, change := range map[string]string{
			"missing":    "delete element inet uppercut block4_net { 198.51.100.0/24 }",
			"unexpected": "add element inet uppercut block4_net { 203.0.113.0/24 timeout 1h }",
		} {
			before := len(a.Show().Drifts)
			ns.nft(t, change)
			eventually(t, repairWithin, kind+" is told", func() bool { return len(a.Show().Drifts) > before })
			if d := a.Show().Drifts[before]; !slices.Equal(d.Kinds, []string{kind}) || d.Process != "nft" {
				t.Errorf("%s: %+v", kind, d)
			}
			eventually(t, repairWithin, kind+" is repaired", func() bool {
				got := ns.elements(t, nft.SetNet4)
				return len(got) == 1 && got[prefix("198.51.100.0/24")] > 0
			})
		}
	})
}

func TestNetworksAreAdopted(t *testing.T) {
	onEachKernel(t, func(t *testing.T, ns *kernel, o Options) {
		c := blind()
		c.Foreign = ForeignAdopt
		a := start(t, c, o)
		ns.nft(t, "add element inet uppercut block4_net { 198.51.100.0/24 timeout 1h }")
		eventually(t, repairWithin, "a foreign network is adopted", func() bool {
			b, ok := a.Lookup(netip.MustParseAddr("198.51.100.9"))
			return ok && b.Author == "nft"
		})
		if got := ns.elements(t, nft.SetNet4); got[prefix("198.51.100.0/24")] == 0 {
			t.Errorf("in the kernel: %v", got)
		}
	})
}

// What has run out is nobody's doing, however long the kernel keeps it.
func TestWhatRanOutIsNobodysDoing(t *testing.T) {
	onEachKernel(t, func(t *testing.T, ns *kernel, o Options) {
		a := start(t, blind(), o)
		for _, p := range []string{"203.0.113.0/29", "198.51.100.0/24", "2001:db8:7::/48"} {
			a.Block(verdict(p, time.Second))
		}
		for i := range 300 {
			a.Block(verdict(fmt.Sprintf("192.0.2.%d/32", i%256), time.Second))
		}
		a.flush()
		eventually(t, 10*time.Second, "all have ended", func() bool { return a.Count() == 0 })
		for i := range 3 {
			before := testutil.ToFloat64(a.metrics.reconciles)
			ns.nft(t, fmt.Sprintf("add table inet other%d", i))
			eventually(t, repairWithin, "the change is looked at", func() bool {
				return testutil.ToFloat64(a.metrics.reconciles) > before
			})
		}
		if n := a.drifted("unexpected"); n != 0 || len(a.Show().Drifts) > 0 || a.Show().Repairs > 0 {
			t.Errorf("%v unexpected, %+v", n, a.Show())
		}
		if r, err := a.Verify(t.Context()); err != nil || !r.Sound() {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// The gauges say what differs, not what once did.
func TestDifferencesGoBackToZero(t *testing.T) {
	onEachKernel(t, func(t *testing.T, ns *kernel, o Options) {
		a := start(t, DefaultConfig(), o)
		a.fill(100)
		ns.nft(t, "add element inet uppercut block4 { 192.0.2.1 }")
		ns.nft(t, "flush set inet uppercut block4")
		eventually(t, repairWithin, "both are found", func() bool {
			return a.drifted("unexpected") > 0 && a.drifted("missing") > 0
		})
		eventually(t, repairWithin, "nothing differs", func() bool {
			return testutil.ToFloat64(a.metrics.driftElements.WithLabelValues("unexpected")) == 0 &&
				testutil.ToFloat64(a.metrics.driftElements.WithLabelValues("missing")) == 0
		})
	})
}

// A write that takes long starts the elements' times late: that is no difference,
// and where it is one, nobody is accused.
func TestSlowWritesAccuseNobody(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	var e ear
	o.Logger = slog.New(slog.NewTextHandler(&e, nil))
	o.Registerer = prometheus.NewPedanticRegistry()
	c := DefaultConfig()
	c.CheckInterval = time.Minute
	a := start(t, c, o)
	a.fill(10)
	err := a.do(t.Context(), func() error {
		if err := a.rebuild(); err != nil || a.lag.Load() == 0 {
			t.Errorf("a write that took no time: %v", err)
		}
		if got := a.judge(time.Hour, time.Hour+5*time.Second); got != "timeout" {
			t.Errorf("5 s too long are %q", got)
		}
		a.lag.Store(int64(9 * time.Second))
		if got := a.judge(time.Hour, time.Hour+10*time.Second); got != "" {
			t.Errorf("10 s too long after a write of 9 s are %q", got)
		}
		a.lag.Store(0)
		_, err := a.firewall.Apply([]nft.Element{{Prefix: prefix("100.0.0.1/32"), Timeout: 10 * time.Minute}})
		a.metrics.differ(a.sample())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, log := e.said(); strings.Contains(log, "another process") || !strings.Contains(log, "another time left") {
		t.Errorf("the log says\n%s", log)
	}
	if a.drifted("timeout") != 1 || a.Show().Repairs != 0 || len(a.Show().Drifts) != 0 {
		t.Errorf("%v, %+v", a.drifted("timeout"), a.Show())
	}
	if left := ns.elements(t, nft.Set4)[prefix("100.0.0.1/32")]; left < 3000 {
		t.Errorf("%d s left, want an hour", left)
	}
}

// A set of networks that was full of what has run out takes new ones: from Linux
// 6.12 on the kernel collects them only when a transaction changes the set.
func TestSetFullOfWhatRanOut(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.MaxNetworks = 10
	a := start(t, c, options(t, ns))
	size := 2 * int(a.firewall.Config().NetSize)
	err := a.do(t.Context(), func() error {
		var elems []nft.Element
		for i := range size {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 7), byte(i << 1), 0}), 24)
			elems = append(elems, nft.Element{Prefix: p, Timeout: slack * time.Second})
		}
		for batch := range slices.Chunk(elems, nft.MaxBatch) {
			if refused, err := a.firewall.Apply(batch); err != nil || len(refused) > 0 && size-len(refused) < size/3 {
				t.Errorf("refused %d, %v", len(refused), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*slack*time.Second, "all have run out", func() bool { return len(ns.elements(t, nft.SetNet4)) == 0 })
	a.Block(verdict("198.51.100.0/24", time.Hour))
	a.flush()
	if got := ns.elements(t, nft.SetNet4); len(got) != 1 || a.Count() != 1 {
		t.Errorf("%d on the list, in the kernel %v", a.Count(), got)
	}
}

// Where a set can be neither counted nor listed, Verify says that it was not
// searched.
func TestVerifySaysWhatItDidNotSearch(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	o.Logger, o.noCounts = nil, true
	c := blind()
	c.CheckInterval = time.Minute
	a := start(t, c, o)
	a.fill(adoptLimit + 1)
	r, err := a.Verify(t.Context())
	if err != nil || !r.Sound() || !slices.Equal(r.Unsearched, []string{nft.Set4}) {
		t.Fatalf("%+v, %v", r, err)
	}
	// Behind the watcher's back, in a set that is small.
	if _, err := a.firewall.Apply([]nft.Element{{Prefix: prefix("192.0.2.0/24"), Timeout: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	r, err = a.Verify(t.Context())
	if err != nil || r.Found["unexpected"] != 1 || !slices.Equal(r.Prefixes, []netip.Prefix{prefix("192.0.2.0/24")}) {
		t.Errorf("%+v, %v", r, err)
	}
}
