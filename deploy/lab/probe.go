package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// probePatience is how long a probe waits: long enough for a busy machine,
// since what passes is answered by a kernel.
const probePatience = 2 * time.Second

// Connects says whether a SYN from addr to mx3's port 25 is answered.
func (l *Lab) Connects(addr netip.Addr) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probePatience)
	defer cancel()
	to := net.JoinHostPort(hostNamed("mx3").addressFor(addr).String(), "25")
	conn, err := l.net.internet.Dial(ctx, "tcp", addr, to)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Pings says whether mx3 answers an echo request from addr.
func (l *Lab) Pings(addr netip.Addr) (answered bool, err error) {
	network, request, reply, protocol := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), 1
	if addr.Is6() {
		network, request, reply, protocol = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	conn, err := l.net.internet.ListenPacket(network, addr.String())
	if err != nil {
		return false, fmt.Errorf("ping from %v: %w", addr, err)
	}
	defer conn.Close()
	message := icmp.Message{Type: request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1}}
	packet, err := message.Marshal(nil)
	if err != nil {
		return false, err
	}
	host := hostNamed("mx3").addressFor(addr)
	if _, err := conn.WriteTo(packet, &net.IPAddr{IP: host.AsSlice()}); err != nil {
		return false, fmt.Errorf("ping from %v: %w", addr, err)
	}
	return awaitReply(conn, protocol, reply)
}

// awaitReply reads until an ICMP message of that type comes, or none does.
func awaitReply(conn net.PacketConn, protocol int, want icmp.Type) (bool, error) {
	if err := conn.SetReadDeadline(time.Now().Add(probePatience)); err != nil {
		return false, err
	}
	buffer := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if errors.Is(silence(err), errSilence) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if message, err := icmp.ParseMessage(protocol, buffer[:n]); err == nil && message.Type == want {
			return true, nil
		}
	}
}
