package guard

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/dns/dnsmessage"

	"uppercut/deploy/netns"
)

// zone is a small authoritative DNS server on loopback, UDP and TCP.
type zone struct {
	addr string

	mu      sync.Mutex
	records map[string][]string // by name; an alias is "CNAME target"
	ttl     uint32
	failing map[dnsmessage.Type]dnsmessage.RCode
	asked   int
	streams int
}

func newZone(t *testing.T) *zone {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{
		addr:    packets.LocalAddr().String(),
		records: map[string][]string{},
		failing: map[dnsmessage.Type]dnsmessage.RCode{},
		ttl:     3600,
	}
	streams, err := net.Listen("tcp", z.addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { z.servePackets(packets) })
	wg.Go(func() { z.serveStreams(streams) })
	t.Cleanup(func() {
		packets.Close()
		streams.Close()
		wg.Wait()
	})
	return z
}

func (z *zone) servePackets(conn net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		answer := z.answer(b[:n], false)
		if len(answer) > 512 {
			answer = z.answer(b[:n], true)
		}
		if _, err := conn.WriteTo(answer, from); err != nil {
			return
		}
	}
}

func (z *zone) serveStreams(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		z.serveStream(conn)
	}
}

func (z *zone) serveStream(conn net.Conn) {
	defer conn.Close()
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return
	}
	z.mu.Lock()
	z.streams++
	z.mu.Unlock()
	answer := z.answer(b, false)
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

// answer answers one question; cut says that the answer is too long for UDP.
func (z *zone) answer(query []byte, cut bool) []byte {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true, Truncated: cut, RCode: z.failing[q.Type]},
		Questions: []dnsmessage.Question{q},
	}
	name := strings.TrimSuffix(q.Name.String(), ".")
	if _, ok := z.records[name]; !ok && m.RCode == dnsmessage.RCodeSuccess {
		m.RCode = dnsmessage.RCodeNameError
	}
	if m.RCode == dnsmessage.RCodeSuccess && !cut {
		m.Answers = z.answers(name, q.Type)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func (z *zone) answers(name string, kind dnsmessage.Type) (rs []dnsmessage.Resource) {
	header := dnsmessage.ResourceHeader{
		Name: dnsmessage.MustNewName(name + "."), Class: dnsmessage.ClassINET, TTL: z.ttl,
	}
	for _, record := range z.records[name] {
		if target, ok := strings.CutPrefix(record, "CNAME "); ok {
			rs = append(rs, dnsmessage.Resource{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target + ".")}})
			rs = append(rs, z.answers(target, kind)...)
			continue
		}
		switch a := netip.MustParseAddr(record); {
		case a.Is4() && kind == dnsmessage.TypeA:
			rs = append(rs, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && kind == dnsmessage.TypeAAAA:
			rs = append(rs, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return rs
}

// set changes the zone; no records at all mean that there is no such name.
func (z *zone) set(name string, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name] = records
	if len(records) == 0 {
		delete(z.records, name)
	}
}

func (z *zone) setTTL(seconds uint32) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.ttl = seconds
}

func (z *zone) fail(kind dnsmessage.Type, code dnsmessage.RCode) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.failing[kind] = code
}

func (z *zone) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, z.addr)
}

// newNameGuard returns a Guard of the names that looks them up in z.
func newNameGuard(t *testing.T, z *zone, names ...string) *Guard {
	t.Helper()
	c := quiet(t)
	c.Allow = names
	return newGuard(t, c, Options{NetNS: netns.New(t, "names").FD(), Dial: z.dial})
}

// lookAgain makes every name due and looks it up.
func lookAgain(t *testing.T, g *Guard) time.Duration {
	t.Helper()
	g.mu.Lock()
	names := map[string]allowName{}
	for name, n := range g.names {
		n.due = time.Time{}
		names[name] = n
	}
	g.names = names
	g.mu.Unlock()
	return g.refreshNames(t.Context())
}

// allowed returns which of as are exempt by the allow list.
func allowed(g *Guard, as ...string) (exempt []string) {
	for _, a := range as {
		if g.Exempt(mustPrefix(a)) == CauseAllowlist {
			exempt = append(exempt, a)
		}
	}
	return exempt
}

func TestNames(t *testing.T) {
	z := newZone(t)
	z.set("mx.example.com", "192.0.2.1", "192.0.2.2", "2001:db8::25")
	z.set("www.example.com", "CNAME web.example.net")
	z.set("web.example.net", "192.0.2.80")
	g := newNameGuard(t, z, "mx.example.com", "www.example.com", "nobody.example.com")
	all := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.80", "2001:db8::25", "2001:db8::/64"}
	check := func(when string, want ...string) {
		t.Helper()
		if got := allowed(g, all...); !slices.Equal(got, want) {
			t.Errorf("%s: exempt are %v, want %v", when, got, want)
		}
	}
	failures := func() float64 {
		return testutil.ToFloat64(g.metrics.refreshFailures.WithLabelValues(sourceDNS))
	}
	check("when New returns", "192.0.2.1", "192.0.2.2", "192.0.2.80", "2001:db8::25", "2001:db8::/64")
	if failures() != 1 || g.unresolved() != 1 {
		t.Errorf("of a name that does not exist: %v failures, %d unresolved", failures(), g.unresolved())
	}

	z.set("mx.example.com", "192.0.2.2", "192.0.2.3", "2001:db8::25")
	lookAgain(t, g)
	check("after a change", "192.0.2.2", "192.0.2.3", "192.0.2.80", "2001:db8::25", "2001:db8::/64")

	z.fail(dnsmessage.TypeAAAA, dnsmessage.RCodeServerFailure)
	z.set("mx.example.com", "192.0.2.1", "2001:db8::26")
	lookAgain(t, g)
	check("with AAAA failing", "192.0.2.1", "192.0.2.80", "2001:db8::25", "2001:db8::/64")

	z.fail(dnsmessage.TypeA, dnsmessage.RCodeRefused)
	z.set("mx.example.com", "192.0.2.3")
	before := failures()
	lookAgain(t, g)
	check("with DNS down", "192.0.2.1", "192.0.2.80", "2001:db8::25", "2001:db8::/64")
	if got := failures() - before; got != 3 {
		t.Errorf("%v failures, want one a name", got)
	}

	z.fail(dnsmessage.TypeA, dnsmessage.RCodeSuccess)
	z.fail(dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess)
	lookAgain(t, g)
	check("with DNS back and IPv6 given up", "192.0.2.3", "192.0.2.80")

	z.set("mx.example.com")
	lookAgain(t, g)
	check("when the name has gone", "192.0.2.3", "192.0.2.80")

	c := g.configuration()
	c.Allow = []string{"www.example.com"}
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	check("dropped from the list", "192.0.2.80")
}

// Of a name that the hosts file has with one family only, Go's resolver says of the
// other what it says of a literal address: not that the name is not found.
func TestOneFamilyInTheHostsFile(t *testing.T) {
	_, err := (&net.Resolver{PreferGo: true}).LookupNetIP(t.Context(), "ip6", "192.0.2.77")
	if err == nil || !notFound(err) {
		t.Errorf("%v is taken for a failure of DNS", err)
	}
}

func TestLongAnswersComeOverTCP(t *testing.T) {
	z := newZone(t)
	var addrs []string
	for a := netip.MustParseAddr("198.51.100.1"); len(addrs) < 100; a = a.Next() {
		addrs = append(addrs, a.String())
	}
	z.set("pool.example.com", addrs...)
	z.setTTL(77)
	g := newNameGuard(t, z, "pool.example.com")
	if got := allowed(g, addrs...); len(got) != len(addrs) {
		t.Errorf("%d of %d addresses are exempt", len(got), len(addrs))
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.streams == 0 {
		t.Error("nobody came over TCP")
	}
	if wait := time.Until(g.names["pool.example.com"].due); wait > 77*time.Second || wait < 70*time.Second {
		t.Errorf("due in %v, want the TTL of 77s", wait)
	}
}

func TestNamesAreRefreshedByTTL(t *testing.T) {
	z := newZone(t)
	z.set("mx.example.com", "192.0.2.1")
	for _, test := range []struct {
		ttl  uint32
		want time.Duration
	}{{300, 300 * time.Second}, {1, 30 * time.Second}, {0, 30 * time.Second}, {86400 * 30, time.Hour}} {
		z.setTTL(test.ttl)
		g := newNameGuard(t, z, "mx.example.com")
		if wait := lookAgain(t, g); wait > test.want || wait < test.want-10*time.Second {
			t.Errorf("TTL %d: due in %v, want %v", test.ttl, wait, test.want)
		}
	}
}

func TestRunRefreshesNames(t *testing.T) {
	z := newZone(t)
	z.setTTL(1)
	z.set("mx.example.com", "192.0.2.1")
	c := quiet(t)
	c.Allow = []string{"mx.example.com"}
	c.DNSMinRefresh = time.Second
	var seen changes
	g := newGuard(t, c, Options{NetNS: netns.New(t, "names").FD(), Dial: z.dial, OnChange: seen.onChange})
	run(t, g)
	z.set("mx.example.com", "192.0.2.2")
	eventually(t, "the new address", func() bool { return seen.has("allowlist 192.0.2.2/32") })
	if got := allowed(g, "192.0.2.1", "192.0.2.2"); !slices.Equal(got, []string{"192.0.2.2"}) {
		t.Errorf("exempt are %v", got)
	}
	z.set("new.example.com", "192.0.2.3")
	c.Allow = append(c.Allow, "new.example.com")
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new name", func() bool { return seen.has("allowlist 192.0.2.3/32") })
}

func TestNamesThatDoNotAnswer(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := quiet(t)
	c.Allow = []string{"a.example.com", "b.example.com", "c.example.com", "192.0.2.1"}
	c.DNSTimeout = 200 * time.Millisecond
	began := time.Now()
	g := newGuard(t, c, Options{NetNS: netns.New(t, "names").FD(), Dial: (&zone{addr: silent.LocalAddr().String()}).dial})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("New took %v", took)
	}
	if g.unresolved() != 3 || g.Exempt(mustPrefix("192.0.2.1")) != CauseAllowlist {
		t.Errorf("%d unresolved; the address: %q", g.unresolved(), g.Exempt(mustPrefix("192.0.2.1")))
	}
}

func TestNamesSurviveARestartWithoutDNS(t *testing.T) {
	z := newZone(t)
	z.set("mx.example.com", "192.0.2.1", "2001:db8::25")
	z.set("old.example.com", "192.0.2.2")
	c := quiet(t)
	c.Allow = []string{"mx.example.com", "old.example.com"}
	o := Options{NetNS: netns.New(t, "names").FD(), Dial: z.dial, NamesFile: filepath.Join(t.TempDir(), "names.json")}
	newGuard(t, c, o)
	z.fail(dnsmessage.TypeA, dnsmessage.RCodeServerFailure)
	z.fail(dnsmessage.TypeAAAA, dnsmessage.RCodeServerFailure)
	all := []string{"192.0.2.1", "192.0.2.2", "2001:db8::25"}

	c.Allow = []string{"mx.example.com", "new.example.com"}
	var seen changes
	o.OnChange = seen.onChange
	g := newGuard(t, c, o)
	if got := allowed(g, all...); !slices.Equal(got, []string{"192.0.2.1", "2001:db8::25"}) {
		t.Errorf("after a restart exempt are %v", got)
	}
	if !seen.has("allowlist 192.0.2.1/32") {
		t.Error("nobody was told")
	}
	newGuard(t, c, o)
	if got := allowed(newGuard(t, c, o), all...); len(got) != 2 {
		t.Errorf("after two more exempt are %v", got)
	}

	if err := os.WriteFile(o.NamesFile, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	g = newGuard(t, c, o)
	if got := testutil.ToFloat64(g.metrics.refreshFailures.WithLabelValues(sourceNamesFile)); got != 1 {
		t.Errorf("a damaged file counts %v failures", got)
	}

	o.NamesFile = filepath.Join(t.TempDir(), "missing", "names.json")
	g = newGuard(t, c, o)
	if got := testutil.ToFloat64(g.metrics.refreshFailures.WithLabelValues(sourceNamesFile)); got != 1 {
		t.Errorf("a file that cannot be written counts %v failures", got)
	}
}

func FuzzTTL(f *testing.F) {
	z := &zone{records: map[string][]string{"a.example": {"192.0.2.1"}}, ttl: 60}
	q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	b, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(z.answer(b, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m ttlMinimum
		m.message(b)
		if m.ttl() < 0 {
			t.Errorf("a TTL of %v", m.ttl())
		}
	})
}
