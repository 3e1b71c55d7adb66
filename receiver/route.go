package receiver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// pathAge is for how long the kernel's answer is believed: a route that
	// changes is noticed within this time.
	pathAge = time.Second
	// maxPaths bounds the answers that are kept; a flood of invented sources
	// empties the memory and costs a question each, nothing else.
	maxPaths = 4096
	// loopbackIndex is the interface index of lo in every network namespace.
	loopbackIndex = 1
)

// paths knows over which interfaces the kernel would answer a source. It is
// not safe for concurrent use.
type paths struct {
	ask   func(netip.Addr) ([]int, error)
	known map[netip.Addr]path
}

// path is one answer of the kernel.
type path struct {
	interfaces []int // none if there is no route back
	until      time.Time
}

// accepts reports whether a datagram from source that arrived on the interface
// with this index came the way that an answer would go.
func (p *paths) accepts(source netip.Addr, index int, now time.Time) bool {
	if source.IsLinkLocalUnicast() {
		return true // never routed: it can only come from the link
	}
	answer, ok := p.known[source]
	if !ok || now.After(answer.until) {
		answer = p.look(source, now)
	}
	return slices.Contains(answer.interfaces, index)
}

// look asks the kernel. Without an answer the datagram is not taken, and the
// kernel is asked again after pathAge.
func (p *paths) look(source netip.Addr, now time.Time) path {
	if len(p.known) >= maxPaths {
		clear(p.known)
	}
	answer := path{until: now.Add(pathAge)}
	if interfaces, err := p.ask(source); err == nil {
		answer.interfaces = interfaces
	}
	p.known[source] = answer
	return answer
}

// routes asks the kernel's routing table over a socket of its own.
type routes struct{ conn *netlink.Conn }

func dialRoutes() (*routes, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for routes: %w", err)
	}
	return &routes{conn: conn}, nil
}

func (r *routes) close() error { return r.conn.Close() }

// interfacesTo returns the interfaces of the route to addr: several for a
// multipath route, loopback for an address of this host.
func (r *routes) interfacesTo(addr netip.Addr) ([]int, error) {
	replies, err := r.conn.Execute(routeQuestion(addr))
	if err != nil {
		return nil, err
	}
	var interfaces []int
	for _, reply := range replies {
		found, err := interfacesIn(reply.Data)
		if err != nil {
			return nil, err
		}
		interfaces = append(interfaces, found...)
	}
	return interfaces, nil
}

// routeQuestion asks for the entry of the table that matches addr, so that
// every path of a multipath route is seen and not the one that a hash chose.
func routeQuestion(addr netip.Addr) netlink.Message {
	family := byte(unix.AF_INET)
	if addr.Is6() {
		family = unix.AF_INET6
	}
	raw := addr.AsSlice()
	data := make([]byte, unix.SizeofRtMsg, unix.SizeofRtMsg+unix.SizeofRtAttr+len(raw))
	data[0] = family
	data[1] = byte(len(raw) * 8)
	binary.NativeEndian.PutUint32(data[8:], unix.RTM_F_FIB_MATCH)
	data = binary.NativeEndian.AppendUint16(data, uint16(unix.SizeofRtAttr+len(raw)))
	data = binary.NativeEndian.AppendUint16(data, unix.RTA_DST)
	return netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request},
		Data:   append(data, raw...),
	}
}

// interfacesIn reads the interfaces out of an RTM_NEWROUTE message.
func interfacesIn(message []byte) ([]int, error) {
	if len(message) < unix.SizeofRtMsg {
		return nil, fmt.Errorf("a route of %d bytes", len(message))
	}
	switch message[7] {
	case unix.RTN_LOCAL:
		return []int{loopbackIndex}, nil
	case unix.RTN_UNICAST:
	default:
		return nil, nil // blackhole, unreachable, broadcast: no way back
	}
	attributes, err := netlink.NewAttributeDecoder(message[unix.SizeofRtMsg:])
	if err != nil {
		return nil, err
	}
	var interfaces []int
	for attributes.Next() {
		switch attributes.Type() {
		case unix.RTA_OIF:
			interfaces = append(interfaces, int(attributes.Uint32()))
		case unix.RTA_MULTIPATH:
			interfaces = append(interfaces, nextHops(attributes.Bytes())...)
		}
	}
	return interfaces, attributes.Err()
}

// nextHops reads the interface of each struct rtnexthop.
func nextHops(b []byte) []int {
	var interfaces []int
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		interfaces = append(interfaces, int(binary.NativeEndian.Uint32(b[4:])))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return interfaces
}
