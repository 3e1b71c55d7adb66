package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/deploy/netns"
)

// newNamespace makes a network namespace in which the kernel itself takes
// datagrams with any source.
func newNamespace(t testing.TB, role string) *netns.Namespace {
	t.Helper()
	n := netns.New(t, role)
	netns.Must(t, n.Sysctl("net.ipv4.conf.all.rp_filter", "0"), n.Sysctl("net.ipv4.conf.default.rp_filter", "0"))
	return n
}

// send sends a datagram from source over one interface of the namespace.
func send(t testing.TB, n *netns.Namespace, device, source, target, text string) {
	t.Helper()
	d := net.Dialer{
		LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0)),
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error {
				level, option := unix.SOL_IP, unix.IP_TRANSPARENT // any source
				if strings.Contains(source, ":") {
					level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
				}
				if device == "" {
					return nil // to an address of its own
				}
				return errors.Join(unix.SetsockoptInt(fd, level, option, 1), unix.BindToDevice(fd, device))
			})
		},
	}
	conn, err := n.Dial(t.Context(), &d, "udp", target)
	if err == nil {
		_, err = conn.Write([]byte("<22>Nov 23 07:20:30 mx1 test: " + text))
		conn.Close()
	}
	if err != nil {
		t.Fatalf("send from %s over %s to %s: %v", source, device, target, err)
	}
}

// openIn opens a receiver whose sockets are in the namespace.
func openIn(t *testing.T, n *netns.Namespace, c Config) (h *house) {
	t.Helper()
	netns.Must(t, n.Do(func() error {
		h = open(t, c)
		return nil
	}))
	return h
}

// TestReversePath sends from both sides of a gateway, with true and with
// invented sources.
func TestReversePath(t *testing.T) {
	gateway, world := newNamespace(t, "gw"), newNamespace(t, "world")
	netns.Must(t,
		netns.Cable(
			netns.End{In: gateway, Device: "inside", Addresses: []string{"10.77.1.1/24", "fd77:1::1/64"}},
			netns.End{In: world, Device: "inside", Addresses: []string{"10.77.1.2/24", "fd77:1::2/64"}}),
		netns.Cable(
			netns.End{In: gateway, Device: "outside", Addresses: []string{"10.77.2.1/24", "fd77:2::1/64"}},
			netns.End{In: world, Device: "outside", Addresses: []string{"10.77.2.2/24", "fd77:2::2/64"}}),
		world.IP("address add 10.99.0.5/32 dev lo"),
		gateway.IP("route add 10.99.0.0/24 nexthop via 10.77.1.2 dev inside nexthop via 10.77.2.2 dev outside",
			"route add blackhole 10.66.0.0/16"))
	c := DefaultConfig()
	c.UDP, c.TCP = []string{"[::]:5514"}, nil
	h := openIn(t, gateway, c)
	tests := []struct {
		name            string
		from            *netns.Namespace
		device          string
		source, gateway string
		taken           bool
	}{
		{"true, from inside", world, "inside", "10.77.1.2", "10.77.1.1", true},
		{"true, from outside", world, "outside", "10.77.2.2", "10.77.2.1", true},
		{"from outside as from inside", world, "outside", "10.77.1.2", "10.77.2.1", false},
		{"from outside as another from inside", world, "outside", "10.77.1.200", "10.77.2.1", false},
		{"a source with two ways, the one", world, "inside", "10.99.0.5", "10.77.1.1", true},
		{"a source with two ways, the other", world, "outside", "10.99.0.5", "10.77.2.1", true},
		{"a source without a way back", world, "inside", "10.1.2.3", "10.77.1.1", false},
		{"a source in a black hole", world, "inside", "10.66.2.3", "10.77.1.1", false},
		{"the gateway to itself", gateway, "", "10.77.1.1", "10.77.1.1", true},
		{"the gateway to itself over loopback", gateway, "", "127.0.0.1", "127.0.0.1", true},
		{"from inside over IPv6", world, "inside", "fd77:1::2", "fd77:1::1", true},
		{"from outside as from inside over IPv6", world, "outside", "fd77:1::2", "fd77:2::1", false},
		{"from outside as the gateway over IPv6", world, "outside", "fd77:1::1", "fd77:2::1", false},
		{"the gateway to itself over IPv6", gateway, "", "fd77:1::1", "fd77:1::1", false},
		{"the gateway to itself over IPv6 loopback", gateway, "", "::1", "::1", true},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := fmt.Sprint("message ", i)
			dropped := h.metric(t, "uppercut_messages_dropped_total", "reason", dropPath)
			send(t, test.from, test.device, test.source, net.JoinHostPort(test.gateway, "5514"), text)
			if !test.taken {
				eventually(t, "a drop", func() bool {
					return h.metric(t, "uppercut_messages_dropped_total", "reason", dropPath) == dropped+1
				})
				return
			}
			h.waitFor(t, func(m Message) bool { return m.Text == text && m.Sender == test.source })
		})
	}
	t.Run("a route that moves", func(t *testing.T) {
		netns.Must(t, gateway.IP("route replace 10.99.0.0/24 via 10.77.1.2 dev inside"))
		eventually(t, "dropped on the side that is no longer the way back", func() bool {
			dropped := h.metric(t, "uppercut_messages_dropped_total", "reason", dropPath)
			send(t, world, "outside", "10.99.0.5", "10.77.2.1:5514", "moved")
			return h.metric(t, "uppercut_messages_dropped_total", "reason", dropPath) > dropped
		})
	})
	t.Run("not asked for", func(t *testing.T) {
		c.UDP, c.ReversePath = []string{"[::]:5515"}, false
		h := openIn(t, gateway, c)
		send(t, world, "outside", "10.77.1.2", "10.77.2.1:5515", "from anywhere")
		h.wait(t, 1)
	})
}

// TestPathsAreBounded invents more sources than are kept.
func TestPathsAreBounded(t *testing.T) {
	now := time.Now()
	asked := 0
	p := paths{known: make(map[netip.Addr]path), ask: func(netip.Addr) ([]int, error) {
		asked++
		return []int{7}, nil
	}}
	addr := netip.MustParseAddr("10.0.0.0")
	for range 3 * maxPaths {
		addr = addr.Next()
		if !p.accepts(addr, 7, now) || p.accepts(addr, 8, now) {
			t.Fatalf("%s is judged wrongly", addr)
		}
	}
	if len(p.known) > maxPaths || asked != 3*maxPaths {
		t.Errorf("%d answers kept, %d questions", len(p.known), asked)
	}
	p.accepts(addr, 7, now.Add(pathAge))
	if asked != 3*maxPaths {
		t.Error("asked again within the age of an answer")
	}
	p.accepts(addr, 7, now.Add(pathAge+1))
	if asked != 3*maxPaths+1 {
		t.Error("not asked again after the age of an answer")
	}
}

func TestPathsWithoutAnswer(t *testing.T) {
	p := paths{known: make(map[netip.Addr]path), ask: func(netip.Addr) ([]int, error) {
		return nil, unix.ENETUNREACH
	}}
	if p.accepts(netip.MustParseAddr("10.0.0.1"), 0, time.Now()) {
		t.Error("taken without a route")
	}
	if !p.accepts(netip.MustParseAddr("fe80::1"), 7, time.Now()) {
		t.Error("a link-local source is not taken")
	}
}

func BenchmarkRouteQuestion(b *testing.B) {
	r, err := dialRoutes()
	if err != nil {
		b.Fatal(err)
	}
	defer r.close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.interfacesTo(netip.MustParseAddr("127.0.0.1")); err != nil {
			b.Fatal(err)
		}
	}
}
