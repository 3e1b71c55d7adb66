package enforcer

import (
	"context"
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Recheck asks Options.Exempt and Options.Holes again, about every block or
// about those that overlap one of changed, which have become exempt or have
// ceased to be. It lifts the blocks that have become exempt, and blocks what is
// no longer left out of networks.
func (e *Enforcer) Recheck(ctx context.Context, changed ...netip.Prefix) error {
	return e.do(ctx, func() error {
		region := canonicals(changed)
		exempt, touched := e.refit(region, e.overlapping(region))
		e.write(touched)
		for cause, ps := range exempt {
			e.unblock(ps, Unblock{Cause: endOf(cause)})
		}
		return e.kernelError()
	})
}

// overlapping yields the blocked prefixes that overlap one of ps, which are
// canonical; all without. Single sources are looked up, for at a million blocks
// a walk through the list would keep the next block waiting.
func (e *Enforcer) overlapping(ps []netip.Prefix) iter.Seq[netip.Prefix] {
	var wide bart.Lite
	found := map[netip.Prefix]struct{}{}
	for _, p := range ps {
		if e.list.wide(p) {
			wide.Insert(p)
			continue
		}
		for q := range e.list.around(p) {
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
		for slot := range e.list.slots(0) {
			p := e.list.at(slot).key.prefix()
			if (len(ps) == 0 || wide.OverlapsPrefix(p)) && !yield(p) {
				return
			}
		}
	}
}
