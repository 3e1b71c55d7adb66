package receiver

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"time"

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

// routes asks the kernel's routing table over a netlink socket of its own. A
// flood of invented sources means a question each, so this is as short as it
// can be: a write, a read, 2 microseconds. It is safe for concurrent use.
type routes struct {
	mu    sync.Mutex
	fd    int
	reply [4096]byte
}

func dialRoutes() (*routes, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("reverse_path: open a netlink socket: %w: allow AF_NETLINK, or set reverse_path to false", err)
	}
	// The answer is there when the question has been written; the timeout is
	// for a kernel that breaks this.
	second := unix.NsecToTimeval(int64(time.Second))
	return &routes{fd: fd}, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second)
}

func (r *routes) close() error { return unix.Close(r.fd) }

// interfacesTo returns the interfaces of the route to addr: several for a
// multipath route, none if the kernel would not route there.
func (r *routes) interfacesTo(addr netip.Addr) ([]int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := unix.Sendto(r.fd, routeQuestion(addr), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask for the route to %s: %w", addr, err)
	}
	n, _, err := unix.Recvfrom(r.fd, r.reply[:], 0)
	if err != nil {
		return nil, fmt.Errorf("read the route to %s: %w", addr, err)
	}
	return interfacesIn(r.reply[:n]), nil
}

// routeQuestion asks for the entry of the table that matches addr, so that
// every path of a multipath route is seen and not the one that a hash chose.
func routeQuestion(addr netip.Addr) []byte {
	family := byte(unix.AF_INET)
	if addr.Is6() {
		family = unix.AF_INET6
	}
	raw := addr.AsSlice()
	size := unix.SizeofNlMsghdr + unix.SizeofRtMsg + unix.SizeofRtAttr + len(raw)
	b := make([]byte, 0, size)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_GETROUTE)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...)                             // sequence, port
	b = append(b, family, byte(len(raw)*8), 0, 0, 0, 0, 0, 0)     // struct rtmsg
	b = binary.NativeEndian.AppendUint32(b, unix.RTM_F_FIB_MATCH) // its flags
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(raw)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	return append(b, raw...)
}

// interfacesIn reads the interfaces out of the answer; an error in it is no
// route. What this host sends to itself from an address of its own seems to
// arrive on the interface that has the address. Over IPv4 nothing else can: the
// kernel drops such a source from outside. Over IPv6 it does not, so there only
// loopback counts.
func interfacesIn(answer []byte) (interfaces []int) {
	const header = unix.SizeofNlMsghdr + unix.SizeofRtMsg
	if len(answer) < header || binary.NativeEndian.Uint16(answer[4:]) != unix.RTM_NEWROUTE {
		return nil
	}
	family, kind := answer[unix.SizeofNlMsghdr], answer[unix.SizeofNlMsghdr+7] // of struct rtmsg
	switch {
	case kind == unix.RTN_LOCAL && family == unix.AF_INET6:
		return []int{loopbackIndex}
	case kind == unix.RTN_LOCAL:
		interfaces = append(interfaces, loopbackIndex)
	case kind != unix.RTN_UNICAST:
		return nil // blackhole, unreachable, broadcast: no way back
	}
	for kind, value := range attributes(answer[header:]) {
		switch {
		case kind == unix.RTA_OIF && len(value) >= 4:
			interfaces = append(interfaces, int(binary.NativeEndian.Uint32(value)))
		case kind == unix.RTA_MULTIPATH:
			interfaces = append(interfaces, nextHops(value)...)
		}
	}
	return interfaces
}

// attributes yields the struct rtattr in b.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) ||
				!yield(binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(align4(size), len(b)):]
		}
	}
}

// nextHops reads the interface of each struct rtnexthop.
func nextHops(b []byte) (interfaces []int) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		interfaces = append(interfaces, int(binary.NativeEndian.Uint32(b[4:])))
		if size < unix.SizeofRtNexthop {
			break
		}
		b = b[min(align4(size), len(b)):]
	}
	return interfaces
}

func align4(n int) int { return (n + 3) &^ 3 }
