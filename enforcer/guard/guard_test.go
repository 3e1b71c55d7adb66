package guard

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"uppercut/enforcer/prefix"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustPrefix reads a prefix or an address.
func mustPrefix(s string) netip.Prefix {
	if strings.Contains(s, "/") {
		return netip.MustParsePrefix(s)
	}
	return prefix.Single(netip.MustParseAddr(s))
}

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, mustPrefix(s))
	}
	return ps
}

// texts returns prefixes as text, sorted, for comparison.
func texts(ps []netip.Prefix) (ss []string) {
	for _, p := range ps {
		ss = append(ss, p.String())
	}
	slices.Sort(ss)
	return ss
}

// changes records what OnChange says.
type changes struct {
	mu   sync.Mutex
	seen []string
}

func (c *changes) onChange(cause string, added []netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range added {
		c.seen = append(c.seen, cause+" "+p.String())
	}
}

func (c *changes) has(s string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.seen, s)
}

// take returns what came since the last take, sorted.
func (c *changes) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	slices.Sort(seen)
	return seen
}

// newGuard returns a Guard, static if o says so.
func newGuard(t *testing.T, c Config, o Options) *Guard {
	t.Helper()
	g, err := New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run runs g until the test ends.
func run(t *testing.T, g *Guard) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		began := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Run ended %v after it was told to", took)
		}
	})
}

// eventually waits until is says so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("not within 5 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestExempt(t *testing.T) {
	c := DefaultConfig()
	c.Allow = []string{"198.51.100.7", "203.0.113.64/26", "192.0.2.10-192.0.2.13", "2001:db8:7::25", "2001:db8:a::/48"}
	c.Senders = prefixes("198.51.100.200", "10.0.0.0/8", "203.0.113.0/27", "2001:db8:5::1/128")
	g := newGuard(t, c, Options{Static: true})
	for _, test := range []struct{ prefix, cause string }{
		{"198.51.100.7", CauseAllowlist},
		{"198.51.100.8", ""},
		{"198.51.100.0/24", CauseSender}, // holds an allowed address and a sender
		{"198.51.100.0/25", CauseAllowlist},
		{"198.51.101.0/24", ""},
		{"203.0.113.63", ""},
		{"203.0.113.64", CauseAllowlist},
		{"203.0.113.127", CauseAllowlist},
		{"203.0.113.128", ""},
		{"192.0.2.9", ""},
		{"192.0.2.10", CauseAllowlist},
		{"192.0.2.13", CauseAllowlist},
		{"192.0.2.14", ""},
		{"::ffff:198.51.100.7", CauseAllowlist},
		{"::ffff:198.51.100.8", ""},
		{"2001:db8:7::25", CauseAllowlist},
		{"2001:db8:7::/64", CauseAllowlist}, // a block of the /64 would hit it
		{"2001:db8:7:1::/64", ""},
		{"2001:db8:7::/48", CauseAllowlist},
		{"2001:db8:a:ffff::/64", CauseAllowlist},
		{"2001:db8:b::/64", ""},
		{"2001:db8:5::/64", CauseSender},
		{"198.51.100.200", CauseSender},
		{"203.0.113.1", ""}, // in a listed network, but not connected
		{"10.1.2.3", CauseReserved},
		{"127.0.0.1", CauseReserved},
		{"169.254.1.1", CauseReserved},
		{"172.31.255.255", CauseReserved},
		{"172.32.0.0", ""},
		{"192.168.0.1", CauseReserved},
		{"224.0.0.1", CauseReserved},
		{"0.0.0.0", CauseReserved},
		{"::", CauseReserved},
		{"::1", CauseReserved},
		{"fd00::/64", CauseReserved},
		{"fe80::1", CauseReserved},
		{"ff02::1", CauseReserved},
		{"100.64.0.1", ""}, // shared addresses are ordinary
		{"198.18.0.1", ""}, // so are benchmarks
		{"45.0.0.0/16", ""},
		{"44.0.0.0/15", CauseTooWide},
		{"0.0.0.0/0", CauseTooWide},
		{"64:ff9b::198.51.100.7", CauseAllowlist}, // as a translator shows it
		{"64:ff9b::198.51.100.8", ""},
		{"64:ff9b::198.51.100.0/121", CauseAllowlist},
		{"64:ff9b::10.0.0.1", CauseReserved},
		{"64:ff9b::/96", CauseTooWide}, // all of IPv4
		{"64:ff9b::/64", CauseTooWide},
		{"64:ff9b:1::/64", ""},
		{"2001:db9::/32", ""},
		{"2001:db8::/31", CauseTooWide},
		{"::/0", CauseTooWide},
	} {
		if got := g.Exempt(mustPrefix(test.prefix)); got != test.cause {
			t.Errorf("Exempt(%s) = %q, want %q", test.prefix, got, test.cause)
		}
	}
	if got := g.Exempt(netip.Prefix{}); got != CauseTooWide {
		t.Errorf("Exempt of no prefix = %q", got)
	}
	if got := g.Exempt(netip.MustParsePrefix("198.51.100.255/25")); got != CauseSender {
		t.Errorf("Exempt of a prefix with host bits = %q", got)
	}
}

func TestExemptConfiguredOtherwise(t *testing.T) {
	c := DefaultConfig()
	c.Reserved = prefixes("100.64.0.0/10")
	c.MinPrefix4, c.MinPrefix6 = 24, 64
	g := newGuard(t, c, Options{Static: true})
	for _, test := range []struct{ prefix, cause string }{
		{"10.1.2.3", ""},
		{"100.64.0.1", CauseReserved},
		{"198.51.100.0/24", ""},
		{"198.51.100.0/23", CauseTooWide},
		{"2001:db8::/64", ""},
		{"2001:db8::/63", CauseTooWide},
	} {
		if got := g.Exempt(mustPrefix(test.prefix)); got != test.cause {
			t.Errorf("Exempt(%s) = %q, want %q", test.prefix, got, test.cause)
		}
	}
}

func TestHoles(t *testing.T) {
	c := DefaultConfig()
	c.Allow = []string{"198.51.100.7", "198.51.100.0/29", "198.51.100.128/26", "198.51.101.0/24", "203.0.0.0/16", "2001:db8:7::25"}
	c.Senders = prefixes("192.0.2.1")
	g := newGuard(t, c, Options{Static: true})
	for _, test := range []struct {
		prefix string
		holes  []string
		cause  string
	}{
		{prefix: "198.51.100.0/24", holes: []string{"198.51.100.0/29", "198.51.100.128/26"}},
		{prefix: "198.51.102.0/24"},
		{prefix: "2001:db8:7::/48", holes: []string{"2001:db8:7::25/128"}},
		{prefix: "198.51.101.0/24", cause: CauseAllowlist}, // all of it
		{prefix: "203.0.113.0/24", cause: CauseAllowlist},  // within
		{prefix: "192.0.2.0/24", cause: CauseSender},       // no hole for that
		{prefix: "198.0.0.0/8", cause: CauseTooWide},
		{prefix: "10.0.0.0/16", cause: CauseReserved},
		{prefix: "64:ff9b::/64", cause: CauseTooWide},
		{prefix: "64:ff9b::198.51.100.0/120", cause: CauseAllowlist},
		{prefix: "64:ff9b::198.51.102.0/120"},
	} {
		holes, cause := g.Holes(mustPrefix(test.prefix))
		if diff := cmp.Diff(test.holes, texts(holes)); diff != "" || cause != test.cause {
			t.Errorf("Holes(%s): cause %q, want %q; holes (-want +got):\n%s", test.prefix, cause, test.cause, diff)
		}
	}
}

func TestMatches(t *testing.T) {
	c := DefaultConfig()
	c.Allow = []string{"198.51.100.0/24", "198.51.100.0/28", "198.51.100.7"}
	c.Senders = prefixes("198.51.100.7")
	g := newGuard(t, c, Options{Static: true})
	want := []Match{
		{CauseSender, mustPrefix("198.51.100.7")},
		{CauseAllowlist, mustPrefix("198.51.100.0/28")},
		{CauseAllowlist, mustPrefix("198.51.100.0/24")},
		{CauseAllowlist, mustPrefix("198.51.100.7")},
	}
	got := g.Matches(mustPrefix("198.51.100.0/28"))
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("Matches (-want +got):\n%s", diff)
	}
	if got := g.Matches(mustPrefix("192.0.2.1")); got != nil {
		t.Errorf("Matches of a stranger = %v", got)
	}
}

func TestConnectedSenders(t *testing.T) {
	var seen changes
	g := newGuard(t, DefaultConfig(), Options{Static: true, OnChange: seen.onChange})
	seen.take()
	a := netip.MustParseAddr("::ffff:198.51.100.25")
	check := func(when, want string) {
		t.Helper()
		if got := g.Exempt(mustPrefix("198.51.100.25")); got != want {
			t.Errorf("%s: Exempt = %q, want %q", when, got, want)
		}
	}
	check("before", "")
	g.AddSender(a)
	g.AddSender(a)
	check("connected twice", CauseSender)
	g.RemoveSender(a)
	check("one connection left", CauseSender)
	g.RemoveSender(a)
	check("gone", "")
	g.RemoveSender(a)
	g.AddSender(a)
	check("back", CauseSender)
	want := []string{"sender 198.51.100.25/32", "sender 198.51.100.25/32"}
	if diff := cmp.Diff(want, seen.take()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestReload(t *testing.T) {
	var seen changes
	c := DefaultConfig()
	c.Allow = []string{"198.51.100.0/24", "192.0.2.1"}
	g := newGuard(t, c, Options{Static: true, OnChange: seen.onChange})
	g.Allow(mustPrefix("203.0.113.5"), time.Time{})
	g.AddSender(netip.MustParseAddr("203.0.113.6"))
	seen.take()

	bad := c
	bad.Allow = []string{"192.0.2.9", "192.0.2.300"}
	err := g.Reload(bad)
	if want := `allow[1]: "192.0.2.300" is not an address`; err == nil || err.Error() != want {
		t.Errorf("Reload of a bad list = %v, want %s", err, want)
	}
	if g.Exempt(mustPrefix("192.0.2.9")) != "" || g.Exempt(mustPrefix("192.0.2.1")) == "" {
		t.Error("a bad list changed something")
	}

	c.Allow = []string{"198.51.100.0/25", "192.0.2.2"}
	c.Reserved = nil
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"192.0.2.1": "", "192.0.2.2": CauseAllowlist, "10.0.0.1": "",
		"203.0.113.5": CauseAllowlist, "203.0.113.6": CauseSender,
	} {
		if got := g.Exempt(mustPrefix(p)); got != want {
			t.Errorf("after Reload Exempt(%s) = %q, want %q", p, got, want)
		}
	}
	if diff := cmp.Diff([]string{"allowlist 192.0.2.2/32"}, seen.take()); diff != "" {
		t.Errorf("only what was not exempt before is new (-want +got):\n%s", diff)
	}
}

func TestWhatLeavesTheAllowListIsTold(t *testing.T) {
	var ended []string
	c := DefaultConfig()
	c.Allow = []string{"198.51.100.0/24", "192.0.2.1"}
	g := newGuard(t, c, Options{Static: true, OnEnd: func(removed []netip.Prefix) { ended = append(ended, texts(removed)...) }})
	take := func() (taken []string) {
		taken, ended = ended, nil
		return taken
	}
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"at first", func() {}, nil},
		{"an entry becomes narrower", func() { c.Allow[0] = "198.51.100.0/25"; _ = g.Reload(c) }, []string{"198.51.100.0/24"}},
		{"two entries are gone", func() { c.Allow = nil; _ = g.Reload(c) }, []string{"192.0.2.1/32", "198.51.100.0/25"}},
		{"a sender parts", func() {
			g.AddSender(netip.MustParseAddr("203.0.113.6"))
			g.RemoveSender(netip.MustParseAddr("203.0.113.6"))
		}, nil},
		{"an entry by hand", func() { g.Allow(mustPrefix("203.0.113.5"), time.Time{}); g.Disallow(mustPrefix("203.0.113.5")) }, []string{"203.0.113.5/32"}},
		{"an entry's time is up", func() {
			g.Allow(mustPrefix("203.0.113.5"), time.Now().Add(-time.Second))
			g.dropExpired(time.Now())
		}, []string{"203.0.113.5/32"}},
	} {
		step.do()
		if diff := cmp.Diff(step.want, take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestTimedEntriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen changes
		c := DefaultConfig()
		c.Poll = time.Minute
		g := newGuard(t, c, Options{Static: true, OnChange: seen.onChange})
		run(t, g)
		synctest.Wait()
		seen.take()
		now := time.Now()
		g.Allow(mustPrefix("192.0.2.1"), now.Add(time.Hour+time.Minute))
		g.Allow(mustPrefix("192.0.2.2"), now.Add(time.Minute))
		g.Allow(mustPrefix("192.0.2.3"), time.Time{})
		g.Allow(mustPrefix("192.0.2.4"), now.Add(time.Minute))
		g.Allow(mustPrefix("192.0.2.4"), now.Add(2*time.Minute)) // extended
		g.Allow(mustPrefix("192.0.2.5"), now)                    // over already
		want := []string{
			"allowlist 192.0.2.1/32", "allowlist 192.0.2.2/32", "allowlist 192.0.2.3/32",
			"allowlist 192.0.2.4/32", "allowlist 192.0.2.5/32",
		}
		if diff := cmp.Diff(want, seen.take()); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		check := func(at time.Duration, want ...string) {
			t.Helper()
			time.Sleep(time.Until(now.Add(at))) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
			var got []string
			for i := range 6 {
				if p := mustPrefix(fmt.Sprintf("192.0.2.%d", i)); g.Exempt(p) == CauseAllowlist {
					got = append(got, p.Addr().String())
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after %v (-want +got):\n%s", at, diff)
			}
		}
		check(time.Minute-1, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
		check(time.Minute, "192.0.2.1", "192.0.2.3", "192.0.2.4")
		check(2*time.Minute-1, "192.0.2.1", "192.0.2.3", "192.0.2.4")
		check(2*time.Minute, "192.0.2.1", "192.0.2.3")
		check(time.Hour+time.Minute-1, "192.0.2.1", "192.0.2.3")
		check(time.Hour+time.Minute, "192.0.2.3")
		check(3*time.Hour, "192.0.2.3")
		g.Disallow(mustPrefix("192.0.2.3"))
		check(3 * time.Hour)
	})
}

func TestAllowFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "allow")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			// The bubble's clock gives every version a date of its own.
			if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		write("# partners\n192.0.2.1\n\n  198.51.100.0/24 # all of it\r\n203.0.113.1-203.0.113.2\n")
		var seen changes
		reg := prometheus.NewRegistry()
		c := DefaultConfig()
		c.Allow = []string{"file:" + path}
		g := newGuard(t, c, Options{Static: true, OnChange: seen.onChange, Registerer: reg})
		run(t, g)
		check := func(when string, exempt ...string) {
			t.Helper()
			var got []string
			for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.9", "203.0.113.2"} {
				if g.Exempt(mustPrefix(a)) == CauseAllowlist {
					got = append(got, a)
				}
			}
			if diff := cmp.Diff(exempt, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		look := func() {
			time.Sleep(c.Poll) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
		}
		failures := func() float64 {
			return testutil.ToFloat64(g.metrics.refreshFailures.WithLabelValues(sourceFiles))
		}
		check("at first", "192.0.2.1", "198.51.100.9", "203.0.113.2")
		look()
		seen.take()

		write("192.0.2.1\n192.0.2.2\n") // an editor, half-way
		look()
		check("after one look", "192.0.2.1", "192.0.2.2", "198.51.100.9", "203.0.113.2")
		if diff := cmp.Diff([]string{"allowlist 192.0.2.2/32"}, seen.take()); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		write("192.0.2.1\n192.0.2.2\n198.51.100.0/24\n")
		look()
		check("after the next", "192.0.2.1", "192.0.2.2", "198.51.100.9", "203.0.113.2")
		look()
		check("settled", "192.0.2.1", "192.0.2.2", "198.51.100.9")

		write("192.0.2.3\n192.0.2.777\n")
		look()
		look()
		check("with a bad line", "192.0.2.1", "192.0.2.2", "198.51.100.9")
		if got := failures(); got != 2 {
			t.Errorf("failures = %v, want 2", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		look()
		check("without the file", "192.0.2.1", "192.0.2.2", "198.51.100.9")
		write("192.0.2.3\n")
		look()
		look()
		check("mended", "192.0.2.3")
		if got := failures(); got != 3 {
			t.Errorf("failures = %v, want 3", got)
		}

		c.Allow = nil
		if err := g.Reload(c); err != nil {
			t.Fatal(err)
		}
		check("dropped by a reload")
		look()
		check("and forgotten")
	})
}

func TestNewRefusesBadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nested": "192.0.2.1\nfile:/etc/passwd\n",
		"typo":   "\n\n192.0.2.1/33\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ file, err string }{
		{"nested", `allow[1]: DIR/nested:2: "file:/etc/passwd": a file cannot name another file`},
		{"typo", `allow[1]: DIR/typo:3: "192.0.2.1/33" is not a prefix`},
		{"missing", `allow[1]: stat DIR/missing: no such file or directory`},
		{".", `allow[1]: read "DIR": not a regular file`},
	} {
		c := DefaultConfig()
		c.Allow = []string{"192.0.2.1", "file:" + dir + "/" + test.file}
		_, err := New(t.Context(), c, Options{Static: true})
		want := strings.ReplaceAll(test.err, "DIR", dir)
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v\nwant %s", test.file, err, want)
		}
	}
}

// TestConcurrentUse is for the race detector, and for lost updates.
func TestConcurrentUse(t *testing.T) {
	c := DefaultConfig()
	g := newGuard(t, c, Options{Static: true, OnChange: func(string, []netip.Prefix) {}})
	run(t, g)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			for range 200 {
				g.Allow(prefix.Single(a), time.Now().Add(time.Hour))
				g.AddSender(a.Next())
				if g.Exempt(prefix.Single(a)) == "" || g.Exempt(prefix.Single(a.Next())) == "" {
					t.Error("an exemption was lost")
					return
				}
				g.Disallow(prefix.Single(a))
				g.RemoveSender(a.Next())
				if err := g.Reload(c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for l, table := range g.current.Load().layers[:reservedRanges] {
		if table.Size() != 0 {
			t.Errorf("%d entries left in layer %d", table.Size(), l)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	c := DefaultConfig()
	c.Allow = []string{"192.0.2.1", "198.51.100.0/24", "2001:db8::/48", "partner.example"}
	g := newGuard(t, c, Options{Static: true, Registerer: reg})
	g.Allow(mustPrefix("203.0.113.1"), time.Time{})
	want := `
# HELP uppercut_allowlist_entries Entries in the allow list.
# TYPE uppercut_allowlist_entries gauge
uppercut_allowlist_entries{family="ipv4"} 3
uppercut_allowlist_entries{family="ipv6"} 1
# HELP uppercut_allowlist_unresolved_names DNS names in the allow list for which no address is known.
# TYPE uppercut_allowlist_unresolved_names gauge
uppercut_allowlist_unresolved_names 1
# HELP uppercut_guard_refresh_failures_total Failed attempts to read who must not be blocked; source is routes, ssh, files, resolvers, dns or names_file. The last known addresses stay exempt.
# TYPE uppercut_guard_refresh_failures_total counter
uppercut_guard_refresh_failures_total{source="dns"} 0
uppercut_guard_refresh_failures_total{source="files"} 0
uppercut_guard_refresh_failures_total{source="names_file"} 0
uppercut_guard_refresh_failures_total{source="resolvers"} 0
uppercut_guard_refresh_failures_total{source="routes"} 0
uppercut_guard_refresh_failures_total{source="ssh"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) != 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestCausesAreComplete(t *testing.T) {
	for l := range layerCount {
		if !slices.Contains(Causes(), l.cause()) {
			t.Errorf("layer %d has the cause %q, which Causes does not name", l, l.cause())
		}
	}
}

func BenchmarkExempt(b *testing.B) {
	c := DefaultConfig()
	for i := range 10_000 {
		c.Allow = append(c.Allow, netip.AddrFrom4([4]byte{45, 1, byte(i >> 8), byte(i)}).String())
	}
	g, err := New(b.Context(), c, Options{Static: true})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range []string{"198.51.100.7", "45.1.1.1", "2001:db8:1::/64", "10.0.0.1"} {
		p := mustPrefix(s)
		b.Run(strings.ReplaceAll(s, "/", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Exempt(p)
			}
		})
	}
}
