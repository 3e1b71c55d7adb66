package blocklist

import (
	"iter"
	"net/netip"
)

// The kernel's interval sets take disjoint intervals only, and what is exempt
// must not be in one. So of the networks that are blocked, one within the
// other and with exempt holes, each address gets the longest time of all
// blocks that cover it: the pieces.

// Recut computes the pieces around p anew and returns those that changed.
func (l *List) Recut(p netip.Prefix) (changed []netip.Prefix) {
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

// Released returns what the kernel must be told when the block of p is gone. A
// network that was cut was never an element itself: to delete it would be to
// delete what the kernel does not have.
func (l *List) Released(p netip.Prefix) (changed []netip.Prefix) {
	if l.single(p) {
		changed = append(changed, p)
	}
	return append(changed, l.Recut(p)...)
}

// carve adds the pieces of p to out. until is that of the blocks around it.
func (l *List) carve(p netip.Prefix, until int64, out map[netip.Prefix]int64) {
	if _, hole := l.holes.LookupPrefix(p); hole {
		return
	}
	if slot, ok := l.nets.Get(p); ok {
		until = max(until, l.At(slot).until)
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
func (l *List) divided(p netip.Prefix, until int64) bool {
	if l.hasHole(p) {
		return true
	}
	for q, slot := range l.nets.Subnets(p) {
		if q != p && l.At(slot).until > until {
			return true
		}
	}
	return false
}

// hasHole reports whether something exempt lies within p.
func (l *List) hasHole(p netip.Prefix) bool {
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

// Want returns until when the kernel should have p as an element, 0 for not at
// all: p is what was blocked, or a piece of it.
func (l *List) Want(p netip.Prefix) int64 {
	until, _ := l.pieces.Get(p)
	if slot, ok := l.index[keyOf(p)]; ok {
		if e := l.At(slot); e.flags&flagNet == 0 {
			until = max(until, e.until)
		}
	}
	return until
}

// AddHole makes p exempt and returns what the kernel must be told. Blocks that
// lie within p are the caller's to lift.
func (l *List) AddHole(p netip.Prefix) (changed []netip.Prefix) {
	l.holes.Insert(p, struct{}{})
	if p.Addr().Is6() && p.Bits() > l.ipv6Bits {
		// A block of the length of the hash set's keys becomes a network.
		around := netip.PrefixFrom(p.Addr(), l.ipv6Bits).Masked()
		if slot, ok := l.index[keyOf(around)]; ok && l.At(slot).flags&flagNet == 0 {
			l.makeNet(around, slot)
			changed = append(changed, around)
		}
	}
	return append(changed, l.Recut(p)...)
}

// RemoveHole makes p an address like others.
func (l *List) RemoveHole(p netip.Prefix) (changed []netip.Prefix) {
	l.holes.Delete(p)
	return l.Recut(p)
}

// Hashed reports whether p has a block of its own that the kernel holds as it is.
func (l *List) Hashed(p netip.Prefix) bool {
	e, ok := l.Find(p)
	return ok && !e.IsNetwork()
}

// Pieces yields what the kernel should hold of networks, and until when, in Unix
// nanoseconds.
func (l *List) Pieces() iter.Seq2[netip.Prefix, int64] { return l.pieces.All() }

// PieceAround returns the piece that p lies in.
func (l *List) PieceAround(p netip.Prefix) (netip.Prefix, bool) {
	piece, _, ok := l.pieces.LookupPrefixLPM(p)
	return piece, ok
}

// CutFrom returns the narrowest block in force that a piece is cut from.
func (l *List) CutFrom(piece netip.Prefix, now int64) (Block, bool) {
	for _, slot := range l.nets.Supernets(piece) {
		if l.At(slot).until > now {
			return l.BlockAt(slot), true
		}
	}
	return Block{}, false
}

// HasHoleAround reports whether something exempt overlaps p.
func (l *List) HasHoleAround(p netip.Prefix) bool { return l.holes.OverlapsPrefix(p) }

// HolesAround returns the holes that overlap one of region, all without.
func (l *List) HolesAround(region []netip.Prefix) map[netip.Prefix]struct{} {
	found := map[netip.Prefix]struct{}{}
	if len(region) == 0 {
		for p := range l.holes.All() {
			found[p] = struct{}{}
		}
	}
	for _, p := range region {
		for q := range l.holes.Supernets(p) {
			found[q] = struct{}{}
		}
		for q := range l.holes.Subnets(p) {
			found[q] = struct{}{}
		}
	}
	return found
}
