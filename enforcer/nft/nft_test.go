package nft

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"uppercut/deploy/netns"
	"uppercut/enforcer/prefix"
)

// kernel is a network namespace to enforce in.
type kernel struct{ *netns.Namespace }

func newKernel(t testing.TB) kernel {
	t.Helper()
	return kernel{netns.New(t, "nft")}
}

// nft runs Debian's nft, the judge from outside, in the namespace.
func (k kernel) nft(t testing.TB, args ...string) string {
	t.Helper()
	out, err := k.Run("nft", args...)
	netns.Must(t, err)
	return out
}

func (k kernel) config() Config {
	return Config{NetNS: k.FD(), IPv6Bits: 64, HashSize: 1 << 16, NetSize: 1 << 12}
}

func open(t testing.TB, c Config) *Firewall {
	t.Helper()
	f, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func built(t testing.TB, c Config, elems ...Element) *Firewall {
	t.Helper()
	f := open(t, c)
	if err := f.Replace(slices.Values(elems)); err != nil {
		t.Fatal(err)
	}
	return f
}

func element(p string, d time.Duration) Element { return Element{netip.MustParsePrefix(p), d} }

func apply(t testing.TB, f *Firewall, elems ...Element) {
	t.Helper()
	if refused, err := f.Apply(elems); err != nil || refused != nil {
		t.Fatalf("Apply(%v): refused %v, %v", elems, refused, err)
	}
}

// expires is what nft says is left of an element's time, in seconds.
func (k kernel) expires(t testing.TB, set string) map[string]int {
	t.Helper()
	var doc struct {
		Nftables []struct {
			Set *struct {
				Elem []struct {
					Elem struct {
						Val     any
						Expires int
					}
				}
			}
		}
	}
	out := k.nft(t, "-j", "list", "set", "inet", Table, set)
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	left := map[string]int{}
	for _, o := range doc.Nftables {
		if o.Set == nil {
			continue
		}
		for _, e := range o.Set.Elem {
			name := fmt.Sprint(e.Elem.Val)
			if m, ok := e.Elem.Val.(map[string]any); ok {
				p := m["prefix"].(map[string]any)
				name = fmt.Sprintf("%v/%v", p["addr"], p["len"])
			}
			left[name] = e.Elem.Expires
		}
	}
	return left
}

func TestLayoutAsNftSeesIt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alter func(*Config)
		want  []string
	}{
		{"plain", func(*Config) {}, []string{
			"type filter hook prerouting priority raw; policy accept;",
			`iiftype loopback accept`,
			`ip saddr @block4 counter name "dropped4" drop`,
			`ip saddr @block4_net counter name "dropped4" drop`,
			`ip6 saddr & ffff:ffff:ffff:ffff:: == @block6 counter name "dropped6" drop`,
			`ip6 saddr @block6_net counter name "dropped6" drop`,
			"size 65536", "flags timeout", "flags interval,timeout",
		}},
		{"mail", func(c *Config) { c.Ports = []uint16{25, 587} }, []string{
			"meta l4proto != tcp accept", "tcp dport != @mail_ports accept", "elements = { 25, 587 }",
		}},
		{"counters", func(c *Config) { c.ElementCounters = true }, []string{"timeout\n\t\tcounter\n"}},
		{"extend", func(c *Config) { c.Extend = time.Minute }, []string{`ip saddr @block4 update @knock4 { ip saddr timeout 1m }`, `ip saddr @knock4 counter name "dropped4" drop`}},
		{"/56", func(c *Config) { c.IPv6Bits = 56 }, []string{"ip6 saddr & ffff:ffff:ffff:ff00:: == @block6"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns := newKernel(t)
			c := ns.config()
			tt.alter(&c)
			f := built(t, c, element("192.0.2.1/32", time.Hour))
			got := ns.nft(t, "list", "ruleset")
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			if _, kinds, err := f.Check(); err != nil || kinds != nil {
				t.Errorf("right after it was made: %v, %v", kinds, err)
			}
		})
	}
}

func TestApplyMovesTimes(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	for set, p := range map[string]string{Set4: "192.0.2.1/32", Set6: "2001:db8::/64", SetNet4: "198.51.100.0/24", SetNet6: "2001:db8:1::/48"} {
		near := func(want int) {
			t.Helper()
			got, ok := -1, false
			for _, got = range ns.expires(t, set) {
				ok = got > want-5 && got <= want
			}
			if !ok {
				t.Errorf("%s has %d s left, want %d", p, got, want)
			}
		}
		apply(t, f, element(p, 100*time.Second))
		near(100)
		apply(t, f, element(p, 1000*time.Second))
		near(1000)
		apply(t, f, element(p, 50*time.Second))
		near(50)
		apply(t, f, element(p, 0))
		apply(t, f, element(p, 0)) // not there any more
		if left := ns.expires(t, set); len(left) != 0 {
			t.Errorf("removed, but there: %v", left)
		}
	}
}

func TestApplyWhileElementsRunOut(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	deadline := time.Now().Add(2 * time.Second)
	for i := 0; time.Now().Before(deadline); i++ {
		// Short times, so that elements end while they are set anew.
		d := time.Duration(i%7+1) * time.Millisecond
		apply(t, f, element("192.0.2.1/32", d), element("2001:db8::/64", d), element("198.51.100.0/24", d))
	}
	apply(t, f, element("192.0.2.1/32", time.Hour), element("198.51.100.0/24", time.Hour))
	if a, b := ns.expires(t, Set4), ns.expires(t, SetNet4); a["192.0.2.1"] < 3500 || b["198.51.100.0/24"] < 3500 {
		t.Errorf("after the last refresh: %v, %v", a, b)
	}
}

func TestWhoIsLiftedIsNotLeftAmongThoseThatKnock(t *testing.T) {
	ns := newKernel(t)
	c := ns.config()
	c.Extend = time.Minute
	f := built(t, c, element("192.0.2.1/32", time.Hour), element("2001:db8::/64", time.Hour))
	ns.nft(t, "add element inet uppercut knock4 { 192.0.2.1 timeout 1m, 192.0.2.2 timeout 1m }")
	ns.nft(t, "add element inet uppercut knock6 { 2001:db8:: timeout 1m }")
	ps := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("192.0.2.3/32")}
	found, err := f.AskKnocks(ps)
	if err != nil || found[0].Left == 0 || found[1].Left == 0 || found[2].Left != 0 {
		t.Fatalf("%v, %v", found, err)
	}
	apply(t, f, element("192.0.2.1/32", 0), element("2001:db8::/64", 0), element("192.0.2.3/32", 0))
	if a, b := ns.expires(t, Knock4), ns.expires(t, Knock6); len(a) != 1 || a["192.0.2.2"] == 0 || len(b) != 0 {
		t.Errorf("left: %v, %v", a, b)
	}
	if _, kinds, err := f.Check(); err != nil || kinds != nil {
		t.Errorf("what the rules or we do to those sets is taken for drift: %v, %v", kinds, err)
	}
}

// TestWithoutCapability: the kernel's one refusal of many questions is an answer
// to all of them; to wait for the others takes until answerTimeout.
func TestWithoutCapability(t *testing.T) {
	f := built(t, newKernel(t).config())
	answered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its lack of
		// capabilities with it.
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			answered <- fmt.Errorf("drop capabilities: %w", err)
			return
		}
		_, _, err := f.Check()
		answered <- err
	}()
	if err := <-answered; !errors.Is(err, unix.EPERM) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Check without CAP_NET_ADMIN: %v, want EPERM and no wait for more", err)
	}
}

func TestReopenGoesOn(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	w, err := f.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	changes := make(chan Change, 10)
	go func() {
		for c, err := w.Next(); err == nil; c, err = w.Next() {
			changes <- c
		}
	}()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	apply(t, f, element("192.0.2.1/32", time.Hour)) // through the new socket: still ours
	ns.nft(t, "delete element inet uppercut block4 { 192.0.2.1 }")
	select {
	case c := <-changes:
		if c.Process != "nft" {
			t.Errorf("our own change is announced as somebody else's: %+v", c)
		}
	case <-time.After(5 * time.Second):
		t.Error("no change announced after reopening")
	}
}

func TestIntervalsGiveWay(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	apply(t, f, element("10.0.0.0/24", time.Hour), element("10.0.1.0/24", time.Hour), element("0.0.0.0/8", time.Hour), element("255.255.255.0/24", time.Hour))
	// The whole goes and two parts of it come, beside neighbours that stay.
	apply(t, f, element("10.0.0.0/25", time.Hour), element("10.0.0.192/26", 2*time.Hour), element("10.0.0.0/24", 0))
	want := []string{"0.0.0.0/8", "10.0.0.0/25", "10.0.0.192/26", "10.0.1.0/24", "255.255.255.0/24"}
	got := []string{}
	for p := range ns.expires(t, SetNet4) {
		got = append(got, p)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	apply(t, f, element("10.0.0.0/25", 0), element("10.0.0.192/26", 0), element("10.0.0.0/24", time.Hour))
	elems, whole, err := f.List(SetNet4, 100)
	if err != nil || !whole {
		t.Fatal(whole, err)
	}
	got = got[:0]
	for _, el := range elems {
		got = append(got, el.Prefix.String())
	}
	if diff := cmp.Diff([]string{"0.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "255.255.255.0/24"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneBadElementDoesNotStopTheRest(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config(), element("10.0.0.0/8", time.Hour))
	elems := []Element{element("10.1.0.0/16", time.Hour)} // lies in one that is there
	for i := range 999 {
		elems = append(elems, element(fmt.Sprintf("192.0.%d.%d/32", i>>8, i&255), time.Hour))
	}
	refused, err := f.Apply(elems)
	if err != nil || len(refused) != 1 || refused[0].Prefix.String() != "10.1.0.0/16" || Full(refused[0].Err) {
		t.Fatalf("refused %v, %v", refused, err)
	}
	if n := ns.expires(t, Set4); len(n) != 999 {
		t.Errorf("%d elements", len(n))
	}
}

func TestFullSetTakesWhatFits(t *testing.T) {
	ns := newKernel(t)
	c := ns.config()
	c.HashSize = 100
	f := built(t, c)
	var elems []Element
	for i := range 150 {
		elems = append(elems, element(fmt.Sprintf("192.0.2.%d/32", i), time.Hour))
	}
	refused, err := f.Apply(elems)
	if err != nil || len(refused) != 50 {
		t.Fatalf("%d refused, %v", len(refused), err)
	}
	for _, r := range refused {
		if !Full(r.Err) {
			t.Errorf("%v: %v", r.Prefix, r.Err)
		}
	}
}

// What others change is seen after anything that we do, also after a removal
// that had nothing to remove.
func TestChangeIsSeenAfterOurOwn(t *testing.T) {
	for name, elems := range map[string][]Element{
		"a block":                        {element("192.0.2.1/32", time.Hour)},
		"a network":                      {element("192.0.2.0/24", time.Hour)},
		"a removal":                      {element("192.0.2.1/32", 0)},
		"a removal of what is not there": {element("198.51.100.0/24", 0)},
		"two elements that are refused":  {element("203.0.113.1/32", 1<<62), element("203.0.113.2/32", time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			ns := newKernel(t)
			f := built(t, ns.config())
			for range 2 {
				if _, err := f.Apply(elems); err != nil {
					t.Fatal(err)
				}
				if changed, err := f.Changed(); err != nil || changed {
					t.Errorf("our own change counts as that of others: %v, %v", changed, err)
				}
				if touched, err := f.Touched(); err != nil || touched {
					t.Errorf("our own change counts as that of others since Replace: %v, %v", touched, err)
				}
				if _, err := f.Apply(elems); err != nil {
					t.Fatal(err)
				}
				ns.nft(t, "add table inet other"+strconv.Itoa(time.Now().Nanosecond()))
				if changed, err := f.Changed(); err != nil || !changed {
					t.Errorf("the change of others is not seen: %v, %v", changed, err)
				}
				if touched, err := f.Touched(); err != nil || !touched {
					t.Errorf("the change of others since Replace is forgotten: %v, %v", touched, err)
				}
				if err := f.Replace(slices.Values([]Element{})); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestDriftIsSeen(t *testing.T) {
	for _, tt := range []struct {
		name string
		nft  string
		want []string
	}{
		{"nothing", "list ruleset", nil},
		{"another table", "add table inet other", nil},
		{"flush ruleset", "flush ruleset", []string{"table", "chain", "rules", "set", "counter"}},
		{"delete table", "delete table inet uppercut", []string{"table", "chain", "rules", "set", "counter"}},
		{"flush chain", "flush chain inet uppercut prerouting", []string{"rules"}},
		{"rule in front", "insert rule inet uppercut prerouting accept", []string{"rules"}},
		{"policy", "add chain inet uppercut prerouting { policy drop; }", []string{"chain"}},
		{"dormant", "add table inet uppercut { flags dormant; }", []string{"table"}},
		{"a chain in our table", "add chain inet uppercut more", []string{"table"}},
		{"a set in our table", "add set inet uppercut more { type ipv4_addr; }", []string{"table"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns := newKernel(t)
			f := built(t, ns.config())
			if changed, err := f.Changed(); err != nil || changed {
				t.Errorf("changed before anybody did: %v, %v", changed, err)
			}
			ns.nft(t, tt.nft)
			changed, err := f.Changed()
			if err != nil || changed != (tt.name != "nothing") {
				t.Errorf("Changed() = %v, %v", changed, err)
			}
			_, kinds, err := f.Check()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, kinds); diff != "" {
				t.Error(diff)
			}
			if err := f.Replace(slices.Values([]Element{element("192.0.2.1/32", time.Hour)})); err != nil {
				t.Fatal(err)
			}
			if _, kinds, err := f.Check(); err != nil || kinds != nil {
				t.Errorf("after the repair: %v, %v", kinds, err)
			}
		})
	}
}

func TestWatchNamesOthersAndNotUs(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	w, err := f.Watch()
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan Change, 100)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := w.Next()
			if err != nil {
				ended <- err
				return
			}
			changes <- c
		}
	}()
	next := func() Change {
		t.Helper()
		select {
		case c := <-changes:
			if c.Process != "nft" || c.PID == 0 {
				t.Errorf("made by %q, pid %d", c.Process, c.PID)
			}
			return c
		case <-time.After(5 * time.Second):
			t.Fatal("no change announced")
		}
		return Change{}
	}
	apply(t, f, element("192.0.2.1/32", time.Hour), element("2001:db8:7::/64", time.Hour)) // ours
	ns.nft(t, "add table inet other")                                                      // not about us
	ns.nft(t, "delete element inet uppercut block4 { 192.0.2.1 }")
	if c := next(); c.Layout || c.Intervals || len(c.Elements) != 1 || c.Elements[0].String() != "192.0.2.1/32" {
		t.Errorf("%+v", c)
	}
	ns.nft(t, "add element inet uppercut block6 { 2001:db8:8:: timeout 1h }")
	if c := next(); len(c.Elements) != 1 || c.Elements[0].String() != "2001:db8:8::/64" {
		t.Errorf("%+v", c)
	}
	ns.nft(t, "add element inet uppercut block4_net { 10.0.0.0/8 timeout 1h }")
	if c := next(); !c.Intervals || c.Layout {
		t.Errorf("%+v", c)
	}
	ns.nft(t, "flush ruleset")
	if c := next(); !c.Layout {
		t.Errorf("%+v", c)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("Next goes on after Close")
	}
}

func TestCountersGoOn(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	f.write.mu.Lock()
	err := f.replaceWith([2]Drops{{Packets: 7, Bytes: 700}, {Packets: 8, Bytes: 800}}, hook{}, nil)
	f.write.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := f.Drops()
		if want := [2]Drops{{7, 700}, {8, 800}}; err != nil || got != want {
			t.Fatalf("Drops() = %v, %v, want %v", got, err, want)
		}
		if err := f.Replace(slices.Values([]Element{})); err != nil {
			t.Fatal(err)
		}
	}
}

// The totals outlive whatever others do to the counters, and go into the next
// table.
func TestTotalsOutliveTheCounters(t *testing.T) {
	for _, loss := range []string{"reset counters", "flush ruleset", "delete table inet uppercut"} {
		t.Run(loss, func(t *testing.T) {
			ns := newKernel(t)
			f := built(t, ns.config())
			f.write.mu.Lock()
			err := f.replaceWith([2]Drops{{Packets: 7, Bytes: 700}, {Packets: 8, Bytes: 800}}, hook{}, nil)
			f.write.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			want := [2]Drops{{7, 700}, {8, 800}}
			for _, step := range []string{"before", loss, "after", "and again"} {
				switch step {
				case loss:
					ns.nft(t, loss)
				case "and again":
					if err := f.Replace(slices.Values([]Element{})); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := f.Drops(); err != nil || got != want {
					t.Fatalf("%s: Drops() = %v, %v, want %v", step, got, err, want)
				}
			}
			if got := ns.nft(t, "list counters"); !strings.Contains(got, "packets 7 bytes 700") {
				t.Errorf("the new table's counters:\n%s", got)
			}
		})
	}
}

// What is read while the counters are made anew is no reset.
func TestTallyWhileCountersAreMade(t *testing.T) {
	var tl tally
	all := func(n uint64) [2]Drops { return [2]Drops{{n, 10 * n}, {}} }
	if got := tl.saw(tl.begin(), all(5)); got != all(5) {
		t.Errorf("at first %v", got)
	}
	early := tl.begin()
	if got := tl.beginWrite(all(6)); got != all(6) {
		t.Errorf("the new ones start at %v", got)
	}
	if got := tl.saw(tl.begin(), all(0)); got != all(6) {
		t.Errorf("meanwhile %v", got)
	}
	tl.endWrite(true)
	if got := tl.saw(early, all(5)); got != all(6) {
		t.Errorf("read before, said after: %v", got)
	}
	if got := tl.saw(tl.begin(), all(7)); got != all(7) {
		t.Errorf("after %v", got)
	}
	tl.beginWrite(all(2)) // reset, and then the write fails
	tl.endWrite(false)
	if got := tl.saw(tl.begin(), all(3)); got != all(10) {
		t.Errorf("after a reset %v", got)
	}
}

func TestReplaceInPieces(t *testing.T) {
	ns := newKernel(t)
	f := open(t, ns.config())
	elems := []Element{element("10.0.0.0/8", time.Hour), element("2001:db8::/32", time.Hour)}
	for i := range 3 * maxInterval {
		elems = append(elems, element(fmt.Sprintf("192.0.%d.%d/32", i>>8, i&255), time.Hour))
	}
	f.write.mu.Lock()
	err := f.replaceInPieces([2]Drops{}, hook{}, slices.Values(elems))
	f.write.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{3 * maxInterval, 0, 1, 1} {
		if elems, whole, err := f.List(Sets[i], 10_000); err != nil || !whole || len(elems) != want {
			t.Errorf("%s: %d elements, want %d, %v", Sets[i], len(elems), want, err)
		}
	}
}

func TestReplaceIsWholeOrNothing(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config(), element("192.0.2.1/32", time.Hour))
	// Overlapping intervals: the caller's mistake.
	err := f.Replace(slices.Values([]Element{element("10.0.0.0/8", time.Hour), element("10.0.0.0/9", time.Hour)}))
	if err == nil {
		t.Fatal("overlapping intervals are taken")
	}
	if left := ns.expires(t, Set4); left["192.0.2.1"] == 0 {
		t.Errorf("what was there has gone: %v", left)
	}
}

func TestRemoveTakesOurTableOnly(t *testing.T) {
	ns := newKernel(t)
	ns.nft(t, "add table inet other")
	f := built(t, ns.config(), element("192.0.2.1/32", time.Hour))
	for range 2 {
		if err := f.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.TrimSpace(ns.nft(t, "list ruleset")); got != "table inet other {\n}" {
		t.Errorf("left: %s", got)
	}
	if n, err := f.Elements(); err != nil || n != absent {
		t.Errorf("elements of no table: %v, %v", n, err)
	}
	if _, err := f.Apply([]Element{element("192.0.2.1/32", time.Hour)}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Apply without a table: %v", err)
	}
}

func TestClosedSocketIsAnError(t *testing.T) {
	ns := newKernel(t)
	f := built(t, ns.config())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Apply([]Element{element("192.0.2.1/32", time.Hour)}); err == nil {
		t.Error("Apply on closed sockets succeeds")
	}
}

// A set that is larger than the limit is not listed to its end.
func TestListStops(t *testing.T) {
	ns := newKernel(t)
	var elems []Element
	for i := range 4000 {
		elems = append(elems, element(fmt.Sprintf("192.0.%d.%d/32", i>>8, i&255), time.Hour),
			element(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), time.Hour))
	}
	f := built(t, ns.config(), elems...)
	for _, tt := range []struct {
		set   string
		limit int
		whole bool
		least int
	}{{Set4, 4000, true, 4000}, {Set4, 1000, false, 1000}, {SetNet4, 4000, true, 4000}, {SetNet4, 1000, false, 0}, {Set6, 0, true, 0}} {
		got, whole, err := f.List(tt.set, tt.limit)
		if err != nil || whole != tt.whole || len(got) < tt.least || whole && len(got) != tt.least {
			t.Errorf("%s up to %d: %d elements, whole %v, %v", tt.set, tt.limit, len(got), whole, err)
		}
	}
	if _, _, err := open(t, newKernel(t).config()).List(Set4, 10); !errors.Is(err, unix.ENOENT) {
		t.Errorf("of no table: %v", err)
	}
}

func TestImpossibleConfig(t *testing.T) {
	for _, c := range []Config{{}, {IPv6Bits: 64}, {IPv6Bits: 129, HashSize: 1, NetSize: 1}, {IPv6Bits: 64, HashSize: 1}} {
		if _, err := Open(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestPrefixesOf(t *testing.T) {
	for _, tt := range []struct{ first, last, want string }{
		{"10.0.0.0", "10.255.255.255", "10.0.0.0/8"},
		{"10.0.0.1", "10.0.0.4", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/32"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
		{"255.255.255.255", "255.255.255.255", "255.255.255.255/32"},
		{"2001:db8::", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8::/63"},
	} {
		var got []string
		for p := range prefix.Range(netip.MustParseAddr(tt.first), netip.MustParseAddr(tt.last)) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s to %s: %v, want %s", tt.first, tt.last, got, tt.want)
		}
	}
}

// FuzzMessages feeds what no kernel sends: nothing may panic or go on for ever.
func FuzzMessages(f *testing.F) {
	var e encoder
	encodeElements(&e, unix.NFT_MSG_NEWSETELEM, Config{IPv6Bits: 64}.sets()[2], []Element{element("10.0.0.0/8", time.Hour)})
	f.Add(e.buf)
	f.Add([]byte{16, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := Watcher{config: Config{IPv6Bits: 64}}
		l := Layout{parts: map[part]uint64{}}
		for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
			w.add(m)
			l.add(m)
			_, _ = dropsOf(m), intervals(keysOf(m))
			_ = errno(m.body)
		}
	})
}
