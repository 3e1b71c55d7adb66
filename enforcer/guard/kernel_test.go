package guard

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"uppercut/deploy/netns"
)

// newGateway returns a namespace with a wire to another: 203.0.113.1/24 and
// 2001:db8:1::1/64 here, 203.0.113.9 and 2001:db8:1::9 there.
func newGateway(t *testing.T) (gateway, peer *netns.Namespace) {
	t.Helper()
	gateway, peer = netns.New(t, "guard-gw"), netns.New(t, "guard-peer")
	netns.Must(t, netns.Cable(
		netns.End{In: gateway, Device: "wan", Addresses: []string{"203.0.113.1/24", "2001:db8:1::1/64"}},
		netns.End{In: peer, Device: "wan", Addresses: []string{"203.0.113.9/24", "2001:db8:1::9/64"}}))
	return gateway, peer
}

// quiet returns a configuration that depends on nothing of this machine.
func quiet(t *testing.T) Config {
	c := DefaultConfig()
	c.Reserved = nil
	c.Poll = 100 * time.Millisecond
	c.ResolvConf = []string{filepath.Join(t.TempDir(), "resolv.conf")}
	return c
}

func TestAddressesAndRoutes(t *testing.T) {
	gateway, _ := newGateway(t)
	for _, arguments := range []string{
		"addr add 192.0.2.1 peer 192.0.2.254 dev wan",
		"route add default via 203.0.113.254",
		"route add 45.0.0.0/16 via 203.0.113.253",
		"route add 46.0.0.0/16 table 100 via 203.0.113.252",
		"route add 47.0.0.0/16 nexthop via 203.0.113.251 nexthop via 203.0.113.250",
		"route add 48.0.0.0/16 via inet6 2001:db8:1::fd",
		"nexthop add id 7 via 203.0.113.249 dev wan",
		"-6 route add default via 2001:db8:1::fe",
		"-6 route add 2001:db9::/32 nexthop via 2001:db8:1::fb nexthop via 2001:db8:1::fa",
		"route add local 198.51.100.0/28 dev lo",
		"route add blackhole 49.0.0.0/16",
		"route add local 0.0.0.0/0 dev lo table 200", // a transparent proxy
		"route add local 32.0.0.0/3 dev lo table 200",
		"-6 route add local 2000::/3 dev lo table 200",
	} {
		netns.Must(t, gateway.IP(arguments))
	}
	c := quiet(t)
	g := newGuard(t, c, Options{NetNS: gateway.FD()})
	for a, want := range map[string]string{
		"203.0.113.1":          CauseOwnAddress,
		"203.0.113.0/24":       CauseOwnAddress, // holds us
		"203.0.113.9":          "",              // a neighbour is not the gateway
		"2001:db8:1::1":        CauseOwnAddress,
		"2001:db8:1::/64":      CauseOwnAddress,
		"2001:db8:1::9":        "",
		"127.0.0.1":            CauseOwnAddress,
		"192.0.2.1":            CauseOwnAddress,
		"192.0.2.254":          CauseNextHop, // the other end of a point-to-point link
		"192.0.2.2":            "",
		"203.0.113.254":        CauseNextHop,
		"203.0.113.253":        CauseNextHop,
		"203.0.113.252":        CauseNextHop, // in another table
		"203.0.113.251":        CauseNextHop, // multipath
		"203.0.113.250":        CauseNextHop,
		"203.0.113.249":        CauseNextHop, // a next-hop object
		"203.0.113.248":        "",
		"2001:db8:1::fe":       CauseNextHop,
		"2001:db8:1::fd":       CauseNextHop, // IPv4 over IPv6
		"2001:db8:1::fb":       CauseNextHop,
		"2001:db8:1::fa":       CauseNextHop,
		"45.0.0.1":             "", // a routed network
		"45.0.0.0/16":          "",
		"2001:db9:1:2::/64":    "",
		"49.0.0.1":             "",
		"198.51.100.15":        CauseOwnAddress, // a whole range of our own
		"198.51.100.16":        "",
		"198.51.0.0/16":        CauseOwnAddress,
		"::ffff:203.0.113.254": CauseNextHop,
	} {
		if got := g.Exempt(mustPrefix(a)); got != want {
			t.Errorf("Exempt(%s) = %q, want %q", a, got, want)
		}
	}
}

func TestEventsAddAtOnceAndReadingsRemove(t *testing.T) {
	gateway, _ := newGateway(t)
	var seen changes
	c := quiet(t)
	c.Refresh = time.Second
	g := newGuard(t, c, Options{NetNS: gateway.FD(), OnChange: seen.onChange})
	run(t, g)
	for _, step := range []struct{ add, del, exempt, cause string }{
		{"addr add 198.51.100.1/24 dev wan", "addr del 198.51.100.1/24 dev wan", "198.51.100.1", CauseOwnAddress},
		{"addr add 2001:db8:2::1/64 dev wan nodad", "addr del 2001:db8:2::1/64 dev wan", "2001:db8:2::1", CauseOwnAddress},
		{"route add 45.0.0.0/16 via 203.0.113.77", "route del 45.0.0.0/16", "203.0.113.77", CauseNextHop},
		{"-6 route add default via 2001:db8:1::77", "-6 route del default", "2001:db8:1::77", CauseNextHop},
		{"route add 46.0.0.0/16 nexthop via 203.0.113.78 nexthop via 203.0.113.79", "route del 46.0.0.0/16", "203.0.113.79", CauseNextHop},
		{"nexthop add id 9 via 203.0.113.80 dev wan", "nexthop del id 9", "203.0.113.80", CauseNextHop},
		{"route add local 192.0.2.0/28 dev lo", "route del local 192.0.2.0/28 dev lo", "192.0.2.0/28", CauseOwnAddress},
	} {
		p := mustPrefix(step.exempt)
		if got := g.Exempt(p); got != "" {
			t.Fatalf("before: Exempt(%v) = %q", p, got)
		}
		netns.Must(t, gateway.IP(step.add))
		eventually(t, step.add, func() bool { return g.Exempt(p) == step.cause })
		eventually(t, "a report of "+step.add, func() bool { return seen.has(step.cause + " " + p.String()) })
		netns.Must(t, gateway.IP(step.del))
		eventually(t, step.del, func() bool { return g.Exempt(p) == "" })
	}
}

// TestEventsComeWithoutReadings shows that an event alone is enough.
func TestEventsComeWithoutReadings(t *testing.T) {
	gateway, _ := newGateway(t)
	c := quiet(t)
	c.Refresh = time.Hour
	g := newGuard(t, c, Options{NetNS: gateway.FD()})
	run(t, g)
	netns.Must(t, gateway.IP("addr add 198.51.100.1/24 dev wan"))
	eventually(t, "the first address", func() bool { return g.Exempt(mustPrefix("198.51.100.1")) != "" })
	// By now the only full reading is over.
	netns.Must(t, gateway.IP("addr add 198.51.100.2/24 dev wan"))
	netns.Must(t, gateway.IP("route add 45.0.0.0/16 via 203.0.113.77"))
	eventually(t, "the second address", func() bool { return g.Exempt(mustPrefix("198.51.100.2")) == CauseOwnAddress })
	eventually(t, "the next hop", func() bool { return g.Exempt(mustPrefix("203.0.113.77")) == CauseNextHop })
}

// TestLostEventsAreMadeUpFor sends more events than the socket holds while
// nobody reads.
func TestLostEventsAreMadeUpFor(t *testing.T) {
	gateway, _ := newGateway(t)
	g := newGuard(t, quiet(t), Options{NetNS: gateway.FD()})
	conn, err := openNetlink(unix.NETLINK_ROUTE, gateway.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.subscribe(routingGroups...); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadBuffer(1); err != nil { // the kernel's minimum
		t.Fatal(err)
	}
	for i := range 50 {
		netns.Must(t, gateway.IP(fmt.Sprintf("addr add 198.51.100.%d/24 dev wan", i+1)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := g.takeEvents(ctx, conn); err != nil || ctx.Err() != nil {
		t.Fatalf("takeEvents = %v, context %v; want an early end without an error, so that everything is read again", err, ctx.Err())
	}
}

func TestRoutesThatCannotBeRead(t *testing.T) {
	gateway, _ := newGateway(t)
	g := newGuard(t, quiet(t), Options{NetNS: gateway.FD()})
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g.options.NetNS = int(file.Fd()) // no namespace at all
	run(t, g)
	for _, source := range []string{sourceRoutes, sourceSSH} {
		eventually(t, "a failure of "+source, func() bool {
			return testutil.ToFloat64(g.metrics.refreshFailures.WithLabelValues(source)) > 0
		})
	}
	if got := g.Exempt(mustPrefix("203.0.113.1")); got != CauseOwnAddress {
		t.Errorf("what was known is lost: %q", got)
	}
	if _, err := New(t.Context(), quiet(t), Options{NetNS: int(file.Fd())}); err == nil {
		t.Error("New without routes: no error")
	}
}

func TestSSHPeers(t *testing.T) {
	gateway, peer := newGateway(t)
	for _, address := range []string{"203.0.113.1:22", "[::]:2222", "203.0.113.1:25"} {
		l, err := gateway.Listen("tcp", address)
		netns.Must(t, err)
		defer l.Close()
	}
	var seen changes
	c := quiet(t)
	c.SSHPorts = []int{22, 2222}
	c.Poll = time.Minute
	g := newGuard(t, c, Options{NetNS: gateway.FD(), OnChange: seen.onChange})
	// connect connects from the peer's address and returns the client's end.
	connect := func(from, to string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		conn, err := peer.Dial(t.Context(), &d, "tcp", to)
		netns.Must(t, err)
		return conn
	}
	netns.Must(t, peer.IP("addr add 203.0.113.10/24 dev wan"))
	netns.Must(t, peer.IP("addr add 203.0.113.11/24 dev wan"))
	admin := connect("203.0.113.9", "203.0.113.1:22")
	defer admin.Close()
	mapped := connect("203.0.113.10", "203.0.113.1:2222") // the socket there is an IPv6 one
	defer mapped.Close()
	mail := connect("203.0.113.11", "203.0.113.1:25")
	defer mail.Close()
	six := connect("2001:db8:1::9", "[2001:db8:1::1]:2222")
	defer six.Close()

	want := map[string]string{
		"203.0.113.9": CauseSSHPeer, "203.0.113.10": CauseSSHPeer, "203.0.113.11": "",
		"2001:db8:1::9": CauseSSHPeer, "2001:db8:2::/64": "",
	}
	check := func() {
		t.Helper()
		for a, cause := range want {
			if got := g.Exempt(mustPrefix(a)); got != cause {
				t.Errorf("Exempt(%s) = %q, want %q", a, got, cause)
			}
		}
	}
	if got := g.Exempt(mustPrefix("203.0.113.9")); got != "" {
		t.Errorf("before the look: %q", got)
	}
	if err := g.RefreshSSHPeers(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	wantSeen := []string{"ssh_peer 2001:db8:1::9/128", "ssh_peer 203.0.113.10/32", "ssh_peer 203.0.113.9/32"}
	got := seen.take()
	if diff := cmp.Diff(wantSeen, got[len(got)-3:]); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}

	c.Poll = 100 * time.Millisecond
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	run(t, g)
	admin.Close()
	eventually(t, "the end of a connection", func() bool { return g.Exempt(mustPrefix("203.0.113.9")) == "" })
	want["203.0.113.9"] = ""
	check()
	again := connect("203.0.113.9", "203.0.113.1:22")
	defer again.Close()
	eventually(t, "a new connection", func() bool { return g.Exempt(mustPrefix("203.0.113.9")) == CauseSSHPeer })

	c.SSHPorts = nil
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no ports", func() bool { return g.Exempt(mustPrefix("203.0.113.9")) == "" })
}

func TestResolvers(t *testing.T) {
	gateway, _ := newGateway(t)
	c := quiet(t)
	stub := filepath.Join(t.TempDir(), "stub.conf")
	c.ResolvConf = append(c.ResolvConf, stub)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(stub, "nameserver 198.51.100.53\n")
	g := newGuard(t, c, Options{NetNS: gateway.FD()})
	run(t, g)
	if got := g.Exempt(mustPrefix("198.51.100.53")); got != CauseResolver {
		t.Errorf("at first: %q", got)
	}
	write(c.ResolvConf[0], `# nameserver 192.0.2.1
search example.com
nameserver 192.0.2.53
  nameserver	2001:db8::53
nameserver fe80::1%wan
nameserver ::ffff:192.0.2.54
nameserver
nameserver nonsense
options edns0
`)
	eventually(t, "new resolvers", func() bool { return g.Exempt(mustPrefix("192.0.2.53")) == CauseResolver })
	for a, want := range map[string]string{
		"192.0.2.1": "", "2001:db8::/64": CauseResolver, "fe80::1": CauseResolver,
		"192.0.2.54": CauseResolver, "198.51.100.53": CauseResolver,
	} {
		if got := g.Exempt(mustPrefix(a)); got != want {
			t.Errorf("Exempt(%s) = %q, want %q", a, got, want)
		}
	}
	if err := os.Remove(stub); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a resolver less", func() bool { return g.Exempt(mustPrefix("198.51.100.53")) == "" })
	if err := os.Remove(c.ResolvConf[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.ResolvConf[0], 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a failure", func() bool {
		return testutil.ToFloat64(g.metrics.refreshFailures.WithLabelValues(sourceResolvers)) > 0
	})
	if got := g.Exempt(mustPrefix("192.0.2.53")); got != CauseResolver {
		t.Errorf("what was known is lost: %q", got)
	}
}

// FuzzNetlink feeds what the kernel would never send.
func FuzzNetlink(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{16, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2})
	conn, err := openNetlink(unix.NETLINK_ROUTE, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close()
	for _, kind := range []uint16{unix.RTM_GETADDR, unix.RTM_GETROUTE} {
		err := conn.dump(f.Context(), kind, make([]byte, unix.SizeofRtMsg), func(uint16, []byte) {
			f.Add(append([]byte{}, conn.buffer[:1024]...))
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRouting()
		_, _ = walk(b, func(kind uint16, payload []byte) {
			r.take(kind, payload)
			_ = remoteAddr(payload)
		})
		r.takeMultipath(b)
		for _, ps := range []map[netip.Prefix]struct{}{r.own, r.hops} {
			for p := range ps {
				if !p.IsValid() {
					t.Errorf("an invalid prefix from %x", b)
				}
			}
		}
	})
}

// A dump during which something changed is told from one that is whole.
func TestChangeDuringADump(t *testing.T) {
	message := func(kind, flags uint16) []byte {
		m := make([]byte, unix.NLMSG_HDRLEN)
		binary.NativeEndian.PutUint32(m, unix.NLMSG_HDRLEN)
		binary.NativeEndian.PutUint16(m[4:], kind)
		binary.NativeEndian.PutUint16(m[6:], flags)
		return m
	}
	for name, c := range map[string]struct {
		flags, endFlags uint16
		want            dumpEnd
	}{
		"whole":           {unix.NLM_F_MULTI, unix.NLM_F_MULTI, dumpEnd{reached: true}},
		"changed":         {unix.NLM_F_MULTI | unix.NLM_F_DUMP_INTR, unix.NLM_F_MULTI, dumpEnd{reached: true, changed: true}},
		"changed, at end": {unix.NLM_F_MULTI, unix.NLM_F_MULTI | unix.NLM_F_DUMP_INTR, dumpEnd{reached: true, changed: true}},
	} {
		visits := 0
		b := append(message(unix.RTM_NEWADDR, c.flags), message(unix.NLMSG_DONE, c.endFlags)...)
		if end, err := walk(b, func(uint16, []byte) { visits++ }); err != nil || end != c.want || visits != 1 {
			t.Errorf("%s: %+v, %d visits, %v", name, end, visits, err)
		}
	}
}

// BenchmarkSSHPeers is what each look at the socket table costs.
func BenchmarkSSHPeers(b *testing.B) {
	for b.Loop() {
		if _, err := connectedPeers(b.Context(), 0, []int{22}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRouting is what each full reading costs, here with few routes.
func BenchmarkRouting(b *testing.B) {
	for b.Loop() {
		if _, err := readRouting(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
