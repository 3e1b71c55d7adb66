package enforcer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/deploy/netns"
)

// network is an outside, a gateway and a server behind it, each a namespace.
type network struct{ outside, gateway, server *kernel }

const (
	server4, server6   = "10.0.0.2", "fd00::2"
	gateway4, gateway6 = "198.51.100.254", "fd01::fe"
)

// newNetwork gives the outside the addresses of 198.51.100.0/24 and of
// 2001:db8::/32, and lets the gateway forward.
func newNetwork(t testing.TB) network {
	t.Helper()
	n := network{newKernel(t), newKernel(t), newKernel(t)}
	netns.Must(t,
		netns.Cable(
			netns.End{In: n.outside.Namespace, Device: "eth0", Addresses: []string{"198.51.100.1/24", "fd01::1/64"}},
			netns.End{In: n.gateway.Namespace, Device: "out", Addresses: []string{gateway4 + "/24", gateway6 + "/64"}}),
		netns.Cable(
			netns.End{In: n.server.Namespace, Device: "eth0", Addresses: []string{server4 + "/24", server6 + "/64"}},
			netns.End{In: n.gateway.Namespace, Device: "in", Addresses: []string{"10.0.0.1/24", "fd00::1/64"}}),
		n.outside.IP("route add default via "+gateway4, "route add default via "+gateway6,
			// Whatever is asked for outside is there.
			"route add local 203.0.113.0/24 dev lo", "route add local 198.51.100.0/25 dev eth0",
			"route add local 2001:db8::/32 dev lo", "route add local 64:ff9b::/96 dev lo"),
		n.server.IP("route add default via 10.0.0.1", "route add default via fd00::1"),
		n.gateway.IP("route add 203.0.113.0/24 via 198.51.100.1", "route add 2001:db8::/32 via fd01::1", "route add 64:ff9b::/96 via fd01::1"),
		n.gateway.Sysctl("net.ipv4.ip_forward", "1"), n.gateway.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	n.server.echo(t, 7)
	for from, to := range map[string]string{"203.0.113.250": server4, "2001:db8:250::1": server6} {
		eventually(t, 10*time.Second, "the neighbours know each other", func() bool {
			c, err := n.dial(from, to, 7, arrival)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return n
}

// echo answers on a port of all addresses with what it is sent.
func (k *kernel) echo(t testing.TB, port int) {
	t.Helper()
	l, err := k.Listen("tcp", fmt.Sprintf(":%d", port))
	netns.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
}

const (
	// patience is how long a packet may take before it counts as dropped.
	patience = 300 * time.Millisecond
	// arrival is how long one that nobody drops may take on a busy machine.
	arrival = 30 * time.Second
)

// dial connects from an outside address.
func (n network) dial(from, to string, port int, within time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: within, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: freeBind}
	return n.outside.Dial(context.Background(), &d, "tcp", net.JoinHostPort(to, fmt.Sprint(port)))
}

// freeBind lets a socket have an address that the host only routes to itself.
func freeBind(_, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// reaches reports whether a connection comes about, where it should not.
func (n network) reaches(t testing.TB, from, to string, port int) bool {
	t.Helper()
	return n.connects(t, from, to, port, patience)
}

// comesThrough reports whether a connection comes about, where it should.
func (n network) comesThrough(t testing.TB, from, to string, port int) bool {
	t.Helper()
	return n.connects(t, from, to, port, arrival)
}

// connects fails the test for what fails in any other way than by silence.
func (n network) connects(t testing.TB, from, to string, port int, within time.Duration) bool {
	t.Helper()
	c, err := n.dial(from, to, port, within)
	if err == nil {
		c.Close()
		return true
	}
	if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
		t.Errorf("%s to %s: %v", from, to, err)
	}
	return false
}

// answers reports whether a connection still echoes.
func answers(t testing.TB, c net.Conn, within time.Duration) bool {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write([]byte("knock")); err != nil {
		t.Errorf("write: %v", err)
	}
	got := make([]byte, 5)
	_, err := io.ReadFull(c, got)
	return err == nil && bytes.Equal(got, []byte("knock"))
}

func TestPacketsOfTheBlockedAreDropped(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.server.echo(t, 25)
	n.gateway.echo(t, 25)
	a := start(t, DefaultConfig(), options(t, n.gateway))
	for _, path := range []struct{ blocked, innocent, to string }{
		{"198.51.100.7", "198.51.100.8", server4},
		{"198.51.100.9", "198.51.100.10", gateway4},
		{"2001:db8:7::1", "2001:db8:8::1", server6},
		{"2001:db8:9::1", "2001:db8:10::1", gateway6},
	} {
		t.Run(path.blocked+" to "+path.to, func(t *testing.T) {
			open, err := n.dial(path.blocked, path.to, 25, arrival)
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			if !answers(t, open, arrival) || !n.comesThrough(t, path.innocent, path.to, 25) {
				t.Fatal("nothing is blocked and it does not work")
			}
			p := netip.MustParseAddr(path.blocked)
			bits := 32
			if p.Is6() {
				bits = 64
			}
			block := verdict(netip.PrefixFrom(p, bits).Masked().String(), time.Hour)
			a.Block(block)
			a.flush()
			if answers(t, open, patience) {
				t.Error("an open connection goes on")
			}
			if n.reaches(t, path.blocked, path.to, 25) {
				t.Error("a new connection comes about")
			}
			if !n.comesThrough(t, path.innocent, path.to, 25) {
				t.Error("an innocent neighbour is blocked")
			}
			if _, err := a.Unblock(t.Context(), "op", "", block.Prefix); err != nil {
				t.Fatal(err)
			}
			if !n.comesThrough(t, path.blocked, path.to, 25) {
				t.Error("still blocked after the unblock returned")
			}
		})
	}
	if d := a.Show().Dropped; d["ipv4"].Packets == 0 || d["ipv6"].Packets == 0 || d["ipv6"].Bytes == 0 {
		t.Errorf("counted as dropped: %v", d)
	}
}

func TestPrefixesBlockAllInsideAndNothingBeside(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.server.echo(t, 25)
	a := start(t, DefaultConfig(), options(t, n.gateway))
	for _, tt := range []struct {
		block           string
		inside, outside []string
	}{
		{"203.0.113.64/26", []string{"203.0.113.64", "203.0.113.127"}, []string{"203.0.113.63", "203.0.113.128"}},
		{"203.0.113.0/31", []string{"203.0.113.0", "203.0.113.1"}, []string{"203.0.113.2"}},
		{"2001:db8:7::/48", []string{"2001:db8:7::1", "2001:db8:7:ffff:ffff::1"}, []string{"2001:db8:6:ffff:ffff::1", "2001:db8:8::"}},
		{"2001:db8:20:7::/64", []string{"2001:db8:20:7::", "2001:db8:20:7:ffff::1"}, []string{"2001:db8:20:6:ffff::", "2001:db8:20:8::"}},
		{"64:ff9b::cb00:7107/128", []string{"64:ff9b::cb00:7107"}, []string{"64:ff9b::cb00:7108"}},
	} {
		t.Run(tt.block, func(t *testing.T) {
			to := server4
			if prefix(tt.block).Addr().Is6() {
				to = server6
			}
			a.Block(verdict(tt.block, time.Hour))
			a.flush()
			for _, from := range tt.inside {
				if n.reaches(t, from, to, 25) {
					t.Errorf("%s comes through", from)
				}
			}
			for _, from := range tt.outside {
				if !n.comesThrough(t, from, to, 25) {
					t.Errorf("%s does not come through", from)
				}
			}
		})
	}
	if _, err := a.Allow(t.Context(), AllowEntry{Prefix: prefix("203.0.113.100/32")}); err != nil {
		t.Fatal(err)
	}
	if !n.comesThrough(t, "203.0.113.100", server4, 25) || n.reaches(t, "203.0.113.101", server4, 25) {
		t.Error("an allowed address within a blocked network")
	}
}

func TestLoopbackIsNeverDropped(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.gateway.echo(t, 25)
	a := start(t, DefaultConfig(), options(t, n.gateway))
	for _, p := range []string{"127.0.0.1/32", "::1/128", gateway4 + "/32"} {
		a.Block(verdict(p, time.Hour)) // nobody exempts here
	}
	a.flush()
	for _, to := range []string{"127.0.0.1", "::1", gateway4} {
		c, err := n.gateway.Dial(t.Context(), &net.Dialer{Timeout: arrival}, "tcp", net.JoinHostPort(to, "25"))
		if err != nil {
			t.Errorf("the gateway to itself, %s: %v", to, err)
			continue
		}
		c.Close()
	}
}

func TestMailScopeLeavesOtherPortsOpen(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.server.echo(t, 587)
	n.server.echo(t, 80)
	c := DefaultConfig()
	c.Scope = ScopeMail
	a := start(t, c, options(t, n.gateway))
	a.Block(verdict("198.51.100.7/32", time.Hour))
	a.Block(verdict("2001:db8:7::/64", time.Hour))
	a.flush()
	for from, to := range map[string]string{"198.51.100.7": server4, "2001:db8:7::1": server6} {
		if n.reaches(t, from, to, 587) {
			t.Errorf("%s reaches a mail port", from)
		}
		if !n.comesThrough(t, from, to, 80) {
			t.Errorf("%s does not reach another port", from)
		}
	}
}

func TestKnocksAreCounted(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.server.echo(t, 25)
	c := DefaultConfig()
	c.MaxAddresses = 1000
	c.Counters = 1000
	a := start(t, c, options(t, n.gateway))
	a.Block(verdict("198.51.100.7/32", time.Hour))
	a.Block(verdict("198.51.100.8/32", time.Hour))
	a.flush()
	n.reaches(t, "198.51.100.7", server4, 25)
	knocks, err := a.Knocks(prefix("198.51.100.7/32"), prefix("198.51.100.8/32"))
	if err != nil || knocks[0].Packets == 0 || knocks[0].Bytes == 0 || knocks[1].Packets != 0 {
		t.Errorf("%v, %v", knocks, err)
	}
}

func TestKnockingExtendsUpToTheLimit(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.server.echo(t, 25)
	c := DefaultConfig()
	c.Extend = 3 * time.Second
	e, err := New(t.Context(), c, options(t, n.gateway))
	if err != nil {
		t.Fatal(err)
	}
	e.config.ExtendLimit = 9 * time.Second // shorter than a configuration may have it
	a := runEnforcer(t, e)
	f := follow(a.Enforcer)
	f.catchUp()
	a.Block(verdict("198.51.100.7/32", c.Extend))
	a.Block(verdict("198.51.100.8/32", c.Extend))
	a.Block(verdict("2001:db8:7::/64", c.Extend))
	a.flush()
	began := time.Now()
	for time.Since(began) < 5*time.Second {
		for from, to := range map[string]string{"198.51.100.7": server4, "2001:db8:7::1": server6} {
			if n.reaches(t, from, to, 25) {
				t.Fatalf("%s is not blocked any more after %v, knocking all the time", from, time.Since(began))
			}
		}
	}
	if !n.comesThrough(t, "198.51.100.8", server4, 25) {
		t.Error("who does not knock is blocked beyond the time")
	}
	if r, err := a.Verify(t.Context()); err != nil || !r.Sound() || a.Count() != 2 {
		t.Errorf("%d blocks; %+v, %v", a.Count(), r, err)
	}
	said := f.catchUp()
	for _, p := range []string{"198.51.100.7/32", "2001:db8:7::/64"} {
		if told := slices.DeleteFunc(slices.Clone(said), func(s string) bool { return s != p+" burst " }); len(told) < 2 {
			t.Errorf("followers hear of no new end of %s: %q", p, said)
		}
	}
	if set, left, err := a.InKernel(netip.MustParseAddr("198.51.100.7")); err != nil || set != "knock4" || left == 0 {
		t.Errorf("in %q for %v, %v", set, left, err)
	}
	eventually(t, time.Minute, "the limit ends an extended block", func() bool {
		return n.reaches(t, "198.51.100.7", server4, 25)
	})
	eventually(t, time.Minute, "the list agrees", func() bool { return a.Count() == 0 })
	if got := n.gateway.elements(t, "knock4"); len(got) > 1 {
		t.Errorf("they still knock: %v", got)
	}
}
