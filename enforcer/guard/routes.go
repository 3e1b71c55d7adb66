package guard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"uppercut/enforcer/prefix"

	"golang.org/x/sys/unix"
)

// routing collects what addresses and routes exempt. Of a million routes most
// share a handful of next hops.
type routing struct {
	own, hops map[netip.Prefix]struct{}
}

func newRouting() routing {
	return routing{own: map[netip.Prefix]struct{}{}, hops: map[netip.Prefix]struct{}{}}
}

// readRouting reads all addresses, routes and next-hop objects of the
// namespace; no privilege is needed.
func readRouting(ctx context.Context, netns int) (routing, error) {
	r := newRouting()
	conn, err := openNetlink(unix.NETLINK_ROUTE, netns)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	for _, dump := range []struct {
		what    string
		kind    uint16
		request []byte
	}{
		{"addresses", unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg)},
		{"routes", unix.RTM_GETROUTE, make([]byte, unix.SizeofRtMsg)},
		{"next hops", unix.RTM_GETNEXTHOP, make([]byte, sizeofNextHopMessage)},
	} {
		err := conn.dump(ctx, dump.kind, dump.request, r.take)
		if dump.kind == unix.RTM_GETNEXTHOP && errors.Is(err, unix.EOPNOTSUPP) {
			err = nil // before Linux 5.3 there are none
		}
		if err != nil {
			return r, fmt.Errorf("read %s: %w", dump.what, err)
		}
	}
	return r, nil
}

// take reads one message of a dump or an event. What it does not know it
// passes over.
func (r *routing) take(kind uint16, payload []byte) {
	switch kind {
	case unix.RTM_NEWADDR:
		r.takeAddress(payload)
	case unix.RTM_NEWROUTE:
		r.takeRoute(payload)
	case unix.RTM_NEWNEXTHOP:
		r.takeNextHop(payload)
	}
}

// takeAddress reads struct ifaddrmsg and its attributes. On a point-to-point
// link IFA_LOCAL is ours and IFA_ADDRESS the other end's, which is the next hop
// of routes that name only the interface; elsewhere both are ours.
func (r *routing) takeAddress(b []byte) {
	if len(b) < unix.SizeofIfAddrmsg {
		return
	}
	var local, address netip.Addr
	eachAttribute(b[unix.SizeofIfAddrmsg:], func(kind uint16, data []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local = addrOf(data)
		case unix.IFA_ADDRESS:
			address = addrOf(data)
		}
	})
	switch {
	case !local.IsValid():
		addAddr(r.own, address)
	case local == address || !address.IsValid():
		addAddr(r.own, local)
	default:
		addAddr(r.own, local)
		addAddr(r.hops, address)
	}
}

// takeRoute reads struct rtmsg and its attributes: the gateways, and where the
// route is of type local what it makes our own, which may be more than the
// addresses of interfaces. Only the table local counts: transparent proxies
// have tables in which everything is local.
func (r *routing) takeRoute(b []byte) {
	if len(b) < unix.SizeofRtMsg {
		return
	}
	family, bits := b[0], int(b[1])
	local := b[7] == unix.RTN_LOCAL && b[4] == unix.RT_TABLE_LOCAL
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return // multicast routing has families of its own
	}
	eachAttribute(b[unix.SizeofRtMsg:], func(kind uint16, data []byte) {
		if kind == unix.RTA_DST && local {
			if p, err := addrOf(data).Prefix(bits); err == nil && p.IsValid() {
				r.own[p] = struct{}{}
			}
		}
		r.takeGateway(kind, data)
	})
}

// takeGateway reads the attributes that name a gateway.
func (r *routing) takeGateway(kind uint16, data []byte) {
	switch kind {
	case unix.RTA_GATEWAY:
		addAddr(r.hops, addrOf(data))
	case unix.RTA_VIA: // struct rtvia: a family, then an address of it
		if len(data) > 2 {
			addAddr(r.hops, addrOf(data[2:]))
		}
	case unix.RTA_MULTIPATH:
		r.takeMultipath(data)
	}
}

// takeMultipath reads an array of struct rtnexthop, each with its attributes.
func (r *routing) takeMultipath(b []byte) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			return
		}
		eachAttribute(b[unix.SizeofRtNexthop:size], r.takeGateway)
		b = b[min(len(b), (size+3)&^3):]
	}
}

// sizeofNextHopMessage is the size of struct nhmsg.
const sizeofNextHopMessage = 8

func (r *routing) takeNextHop(b []byte) {
	if len(b) < sizeofNextHopMessage {
		return
	}
	eachAttribute(b[sizeofNextHopMessage:], func(kind uint16, data []byte) {
		if kind == unix.NHA_GATEWAY {
			addAddr(r.hops, addrOf(data))
		}
	})
}

// eachAttribute gives out attributes until the end or the first bad one. The
// usual decoder copies each: nine allocations a route.
func eachAttribute(b []byte, visit func(kind uint16, data []byte)) {
	const flags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		visit(binary.NativeEndian.Uint16(b[2:])&^flags, b[unix.SizeofRtAttr:size])
		b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
}

// addrOf returns the address in b, an invalid one if b is none.
func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// addAddr puts a into ps unless it is no address.
func addAddr(ps map[netip.Prefix]struct{}, a netip.Addr) {
	if a.IsValid() && !a.IsUnspecified() {
		ps[prefix.Single(a)] = struct{}{}
	}
}

// readAddressesAndRoutes makes what the kernel says now the exemptions.
func (g *Guard) readAddressesAndRoutes(ctx context.Context) error {
	r, err := readRouting(ctx, g.options.NetNS)
	if err != nil {
		return err
	}
	g.change(func(s *snapshot) {
		s.set(ownAddresses, slices.Collect(maps.Keys(r.own)))
		s.set(nextHops, slices.Collect(maps.Keys(r.hops)))
	})
	return nil
}

// watchKernel follows addresses and routes until ctx is cancelled: an event
// adds at once, and a full reading, which is the only one to remove, comes
// every Config.Refresh and when events were lost.
func (g *Guard) watchKernel(ctx context.Context) {
	for ctx.Err() == nil {
		err := g.watchEvents(ctx)
		if ctx.Err() != nil {
			return
		}
		g.settle(sourceRoutes, err)
		if err != nil {
			pause(ctx, time.Second)
		}
	}
}

// watchEvents subscribes, reads everything, which covers the time before, and
// then takes events until the next full reading is due. No event is lost
// between that and the next subscription for longer than the reading takes.
func (g *Guard) watchEvents(ctx context.Context) error {
	conn, err := openNetlink(unix.NETLINK_ROUTE, g.options.NetNS)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.subscribe(routingGroups...); err != nil {
		return err
	}
	began := time.Now()
	if err := g.readAddressesAndRoutes(ctx); err != nil {
		return err
	}
	// A gateway with a million routes spends at most a tenth of its time here.
	wait := max(g.configuration().Refresh, 9*time.Since(began))
	// Not a deadline: with one the socket would not notice that ctx ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(wait, cancel).Stop()
	return g.takeEvents(ctx, conn)
}

var routingGroups = []int{
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP,
}

// takeEvents adds what events bring until ctx ends or some were lost, neither
// of which is an error.
func (g *Guard) takeEvents(ctx context.Context, conn *netlinkConn) error {
	for {
		r := newRouting()
		_, err := conn.receive(ctx, r.take)
		switch {
		case errors.Is(err, unix.ENOBUFS) || ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		g.addRouting(r)
	}
}

func (g *Guard) addRouting(r routing) {
	if len(r.own) == 0 && len(r.hops) == 0 {
		return
	}
	g.change(func(s *snapshot) {
		for p := range r.own {
			s.add(ownAddresses, p)
		}
		for p := range r.hops {
			s.add(nextHops, p)
		}
	})
}
