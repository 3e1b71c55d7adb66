package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
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
	conn, err := l.net.internet.Dial(ctx, from(addr), "tcp", to)
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
	id := int(pings.Add(1) & 0xffff)
	message := icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: 1}}
	packet, err := message.Marshal(nil)
	if err != nil {
		return false, err
	}
	host := hostNamed("mx3").addressFor(addr)
	if _, err := conn.WriteTo(packet, &net.IPAddr{IP: host.AsSlice()}); err != nil {
		return false, fmt.Errorf("ping from %v: %w", addr, err)
	}
	return awaitReply(conn, protocol, reply, id)
}

// pings numbers echo requests: until it is bound, a raw socket hears the
// replies to others, too.
var pings atomic.Uint32

// awaitReply reads until the echo reply of that number comes, or none does.
func awaitReply(conn net.PacketConn, protocol int, want icmp.Type, id int) (bool, error) {
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
		message, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil || message.Type != want {
			continue
		}
		if echo, ok := message.Body.(*icmp.Echo); ok && echo.ID == id {
			return true, nil
		}
	}
}
