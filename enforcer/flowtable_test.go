//go:build emulated

package enforcer

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// These need a kernel with flowtables: deploy/kernels runs them in its guests.

const offloading = `table inet fw {
	flowtable ft { hook ingress priority 0; devices = { out, in }; }
	chain forward { type filter hook forward priority 0; policy accept; meta l4proto tcp flow add @ft; }
}`

// offload makes the gateway forward by a flowtable.
func (n network) offload(t *testing.T, ruleset string) {
	t.Helper()
	path := t.TempDir() + "/ruleset"
	writeFile(t, path, ruleset)
	n.gateway.nft(t, "-f", path)
}

// stream sends on a connection until the test ends, and counts what comes back.
type stream struct {
	conn net.Conn
	back atomic.Int64
}

func newStream(t *testing.T, conn net.Conn) *stream {
	s := &stream{conn: conn}
	t.Cleanup(func() { conn.Close() })
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := conn.Write(make([]byte, 500)); err != nil {
				return
			}
		}
	}()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, err := conn.Read(b)
			s.back.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return s
}

// flows waits until the gateway forwards the stream by its flowtable.
func (n network) flows(t *testing.T, s *stream, from string) {
	t.Helper()
	eventually(t, slack*time.Second, "the connection of "+from+" is offloaded", func() bool {
		before := s.back.Load()
		out, err := n.gateway.Run("conntrack", "-L", "-p", "tcp")
		return err == nil && offloadedLine(out, from) && s.back.Load() > before
	})
}

func offloadedLine(out, addr string) bool {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "OFFLOAD") && strings.Contains(line, addr+" ") {
			return true
		}
	}
	return false
}

// stops waits until nothing has come back for two seconds.
func (s *stream) stops(t *testing.T, what string) {
	t.Helper()
	last, since := s.back.Load(), time.Now()
	took := eventually(t, slack*time.Second, what+" stops", func() bool {
		if now := s.back.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	t.Logf("%s: the last byte came within %v", what, took-2*time.Second)
}

func TestBlockEndsWhatAFlowtableForwards(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to, block string
	}{
		"IPv4":         {"203.0.113.9", server4, "203.0.113.9/32"},
		"IPv6":         {"2001:db8:9::9", server6, "2001:db8:9::/64"},
		"IPv4 network": {"203.0.113.9", server4, "203.0.113.0/28"},
		"DNAT":         {"203.0.113.9", gateway4, "203.0.113.9/32"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.gateway.nft(t, "add table ip nat; add chain ip nat pre { type nat hook prerouting priority dstnat; }; add rule ip nat pre ip daddr "+gateway4+" tcp dport 7 dnat to "+server4)
			n.offload(t, offloading)
			a := start(t, DefaultConfig(), options(t, n.gateway))
			conn, err := n.patiently(tt.from, tt.to, 7)
			if err != nil {
				t.Fatal(err)
			}
			s := newStream(t, conn)
			n.flows(t, s, tt.from)
			a.Block(verdict(tt.block, time.Hour))
			a.flush()
			s.stops(t, name)
			if d := a.Show().Dropped; d["ipv4"].Packets+d["ipv6"].Packets == 0 {
				t.Errorf("nothing is counted: %+v", d)
			}
			if around := a.Show().Around; len(around.Covered) != 2 || len(around.Ways) != 0 || len(a.Show().Drifts) != 0 {
				t.Errorf("%+v, %+v", around, a.Show().Drifts)
			}
		})
	}
}

// patiently dials as dial does, on a machine that is slow.
func (n network) patiently(from, to string, port int) (net.Conn, error) {
	d := net.Dialer{Timeout: slack * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: freeBind}
	return n.outside.Dial(context.Background(), &d, "tcp", net.JoinHostPort(to, fmt.Sprint(port)))
}

// Who is inside has called out, and who was called is blocked.
func TestBlockEndsWhatTheInsideBegan(t *testing.T) {
	n := newNetwork(t)
	n.offload(t, offloading)
	a := start(t, DefaultConfig(), options(t, n.gateway))
	l, err := n.outside.Listen("tcp", "203.0.113.9:7")
	netns.Must(t, err)
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	conn, err := n.server.Dial(t.Context(), &net.Dialer{Timeout: slack * time.Second}, "tcp", "203.0.113.9:7")
	netns.Must(t, err)
	s := newStream(t, conn)
	n.flows(t, s, "203.0.113.9")
	a.Block(verdict("203.0.113.9/32", time.Hour))
	a.flush()
	s.stops(t, "what the inside began")
}

// Flowtables and devices come and go while uppercut runs; nobody is accused.
func TestFlowtablesComeAndGo(t *testing.T) {
	n := newNetwork(t)
	a := start(t, DefaultConfig(), options(t, n.gateway))
	covered := func(when string, want ...string) {
		t.Helper()
		eventually(t, slack*time.Second, when, func() bool {
			got := a.Show().Around.Covered
			return strings.Join(got, " ") == strings.Join(want, " ")
		})
	}
	covered("no flowtable")
	n.offload(t, offloading)
	covered("a flowtable has come", "in", "out")
	netns.Must(t, n.gateway.IP("link del out"))
	covered("a device has gone", "in")
	netns.Must(t, netns.Cable(
		netns.End{In: n.outside.Namespace, Device: "eth0", Addresses: []string{"198.51.100.1/24", "fd01::1/64"}},
		netns.End{In: n.gateway.Namespace, Device: "out", Addresses: []string{gateway4 + "/24", gateway6 + "/64"}}),
		n.outside.IP("route add default via "+gateway4, "route add local 198.51.100.0/25 dev eth0"),
		n.gateway.IP("route add 203.0.113.0/24 via 198.51.100.1"))
	n.gateway.nft(t, "delete table inet fw")
	covered("the flowtable has gone")
	n.offload(t, offloading)
	covered("both have come back", "in", "out")
	conn, err := n.patiently("203.0.113.9", server4, 7)
	if err != nil {
		t.Fatal(err)
	}
	s := newStream(t, conn)
	n.flows(t, s, "203.0.113.9")
	a.Block(verdict("203.0.113.9/32", time.Hour))
	a.flush()
	s.stops(t, "after a device has come back")
	n.gateway.nft(t, "flush chain inet uppercut ingress")
	eventually(t, slack*time.Second, "the chain is repaired", func() bool {
		return strings.Contains(n.gateway.nft(t, "list chain inet uppercut ingress"), "@block4")
	})
	n.gateway.nft(t, "flush chain inet uppercut ingress; delete chain inet uppercut ingress")
	eventually(t, slack*time.Second, "the chain is back", func() bool {
		out, err := n.gateway.Run("nft", "list chain inet uppercut ingress")
		return err == nil && strings.Contains(out, "@block4")
	})
	d := a.Show().Drifts
	if len(d) != 2 || d[0].Process != "nft" || d[0].Kinds[0] != "rules" || d[1].Process != "nft" || d[1].Kinds[0] != "chain" {
		t.Errorf("%+v", d)
	}
}
