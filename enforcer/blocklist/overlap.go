package blocklist

import (
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Within returns the blocked prefixes that lie in p.
func (l *List) Within(p netip.Prefix) (ps []netip.Prefix) {
	for slot := range l.Slots(0) {
		q := l.At(slot).Prefix()
		if q.Bits() >= p.Bits() && p.Contains(q.Addr()) {
			ps = append(ps, q)
		}
	}
	return ps
}

// Overlapping yields the blocked prefixes that overlap one of ps, which are
// canonical; all without. Single sources are looked up, for at a million blocks
// a walk through the list would keep the next block waiting.
func (l *List) Overlapping(ps []netip.Prefix) iter.Seq[netip.Prefix] {
	var wide bart.Lite
	found := map[netip.Prefix]struct{}{}
	for _, p := range ps {
		if l.wide(p) {
			wide.Insert(p)
			continue
		}
		for q := range l.around(p) {
			found[q] = struct{}{}
		}
	}
	return func(yield func(netip.Prefix) bool) {
		for p := range found {
			if !wide.OverlapsPrefix(p) && !yield(p) {
				return
			}
		}
		if len(ps) > 0 && wide.Size() == 0 {
			return
		}
		for slot := range l.Slots(0) {
			p := l.At(slot).Prefix()
			if (len(ps) == 0 || wide.OverlapsPrefix(p)) && !yield(p) {
				return
			}
		}
	}
}

// wide reports whether p can hold more than one source.
func (l *List) wide(p netip.Prefix) bool { return p.Bits() < l.SourceBits(p) }

// around yields the blocks that overlap p, which is not wide; networks of p's
// own source may come twice.
func (l *List) around(p netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		single := netip.PrefixFrom(p.Addr(), l.SourceBits(p)).Masked()
		if _, blocked := l.index[keyOf(single)]; blocked && !yield(single) {
			return
		}
		for q := range l.NetworksAround(p) {
			if !yield(q) {
				return
			}
		}
	}
}

// NetworksAround yields the blocks in nets that overlap p; one of p itself comes
// twice.
func (l *List) NetworksAround(p netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for q := range l.nets.Supernets(p) {
			if !yield(q) {
				return
			}
		}
		for q := range l.nets.Subnets(p) {
			if !yield(q) {
				return
			}
		}
	}
}
