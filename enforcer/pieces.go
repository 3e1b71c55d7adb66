package enforcer

import (
	"net/netip"
)

// The kernel's interval sets take disjoint intervals only, and what is exempt
// must not be in one. So of the networks that are blocked, one within the
// other and with exempt holes, each address gets the longest time of all
// blocks that cover it: the pieces.

// recut computes the pieces around p anew and returns those that changed.
func (l *list) recut(p netip.Prefix) (changed []netip.Prefix) {
	region := p
	for q := range l.nets.Supernets(p) {
		region = q // the last is the widest
	}
	fresh := map[netip.Prefix]int64{}
	l.carve(region, 0, fresh)
	for q := range l.pieces.Subnets(region) {
		if _, stays := fresh[q]; !stays {
			changed = append(changed, q)
		}
	}
	for _, q := range changed {
		l.pieces.Delete(q)
	}
	for q, until := range fresh {
		if old, _ := l.pieces.Get(q); old != until {
			l.pieces.Insert(q, until)
			changed = append(changed, q)
		}
	}
	return changed
}

// released returns what the kernel must be told when the block of p is gone. A
// network that was cut was never an element itself: to delete it would be to
// delete what the kernel does not have.
func (l *list) released(p netip.Prefix) (changed []netip.Prefix) {
	if l.single(p) {
		changed = append(changed, p)
	}
	return append(changed, l.recut(p)...)
}

// carve adds the pieces of p to out. until is that of the blocks around it.
func (l *list) carve(p netip.Prefix, until int64, out map[netip.Prefix]int64) {
	if _, hole := l.holes.LookupPrefix(p); hole {
		return
	}
	if slot, ok := l.nets.Get(p); ok {
		until = max(until, l.at(slot).until)
	}
	if !l.divided(p, until) {
		if until > 0 {
			out[p] = until
		}
		return
	}
	for _, half := range halves(p) {
		l.carve(half, until, out)
	}
}

// divided reports whether anything within p has an end of its own.
func (l *list) divided(p netip.Prefix, until int64) bool {
	if l.hasHole(p) {
		return true
	}
	for q, slot := range l.nets.Subnets(p) {
		if q != p && l.at(slot).until > until {
			return true
		}
	}
	return false
}

// hasHole reports whether something exempt lies within p.
func (l *list) hasHole(p netip.Prefix) bool {
	for range l.holes.Subnets(p) {
		return true
	}
	return false
}

func halves(p netip.Prefix) [2]netip.Prefix {
	bits := p.Bits() + 1
	b := p.Addr().AsSlice()
	b[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	high, _ := netip.AddrFromSlice(b)
	return [2]netip.Prefix{netip.PrefixFrom(p.Addr(), bits), netip.PrefixFrom(high, bits)}
}

// want returns until when the kernel should have p as an element, 0 for not at
// all: p is what was blocked, or a piece of it.
func (l *list) want(p netip.Prefix) int64 {
	until, _ := l.pieces.Get(p)
	if slot, ok := l.index[keyOf(p)]; ok {
		if e := l.at(slot); e.flags&flagNet == 0 {
			until = max(until, e.until)
		}
	}
	return until
}

// addHole makes p exempt and returns what the kernel must be told. Blocks that
// lie within p are the caller's to lift.
func (l *list) addHole(p netip.Prefix) (changed []netip.Prefix) {
	l.holes.Insert(p, struct{}{})
	if p.Addr().Is6() && p.Bits() > l.ipv6Bits {
		// A block of the length of the hash set's keys becomes a network.
		around := netip.PrefixFrom(p.Addr(), l.ipv6Bits).Masked()
		if slot, ok := l.index[keyOf(around)]; ok && l.at(slot).flags&flagNet == 0 {
			l.makeNet(around, slot)
			changed = append(changed, around)
		}
	}
	return append(changed, l.recut(p)...)
}

// removeHole makes p an address like others.
func (l *list) removeHole(p netip.Prefix) (changed []netip.Prefix) {
	l.holes.Delete(p)
	return l.recut(p)
}
