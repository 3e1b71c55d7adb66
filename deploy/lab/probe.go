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

// How long a probe waits: briefly for an answer that should not come, as long as
// it takes for one that should. A kernel answers, but a hundred SYNs at once are
// more than sendmail lets wait, and those that find no place are sent again after
// one second, three and seven.
const (
	blockedPatience = 2 * time.Second
	openPatience    = 20 * time.Second
)

// Connects says whether a SYN from addr to mx3's port 25 is answered in time.
func (l *Lab) Connects(addr netip.Addr, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	to := net.JoinHostPort(hostNamed("mx3").addressFor(addr).String(), "25")
	conn, err := l.net.internet.Dial(ctx, from(addr), "tcp", to)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Pings says whether mx3 answers an echo request from addr in time.
func (l *Lab) Pings(addr netip.Addr, patience time.Duration) (answered bool, err error) {
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
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	return awaitReply(conn, protocol, reply, id)
}

// pings numbers echo requests: until it is bound, a raw socket hears the
// replies to others, too.
var pings atomic.Uint32

// awaitReply reads until the echo reply of that number comes, or the deadline.
func awaitReply(conn net.PacketConn, protocol int, want icmp.Type, id int) (bool, error) {
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
