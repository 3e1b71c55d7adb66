package enforcer

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// What is left out of blocked networks: the allow list that operators keep, and
// what Options.Holes says. Nobody else's word lasts: each time that a network is
// blocked, and each time that an exemption begins or ends, the holes around it
// become what is said then.

// fit makes the holes around p, which is about to be blocked, what they should
// be: within it there are to be these. Most blocks have none and need none.
func (e *Enforcer) fit(p netip.Prefix, holes []netip.Prefix) {
	if len(holes) == 0 && !e.list.HasHoleAround(p) {
		return
	}
	_, touched := e.refit([]netip.Prefix{p}, slices.Values([]netip.Prefix{p}))
	e.write(touched)
}

// refit asks again what is to be left out of the blocks asked, and of the
// networks that have a hole which overlaps region (any hole, if there is no
// region). Holes that nobody names any more are closed, except in blocks that
// must not be at all, which are the caller's to lift. It returns these by cause,
// and what the kernel must be told.
func (e *Enforcer) refit(region []netip.Prefix, asked iter.Seq[netip.Prefix]) (exempt map[string][]netip.Prefix, touched []netip.Prefix) {
	old := e.list.HolesAround(region)
	ask := map[netip.Prefix]struct{}{}
	if asked != nil {
		for p := range asked {
			ask[p] = struct{}{}
		}
	}
	for hole := range old {
		for p := range e.list.NetworksAround(hole) {
			ask[p] = struct{}{}
		}
	}
	named, exempt := e.askHoles(maps.Keys(ask))
	var lifted bart.Lite
	for _, ps := range exempt {
		for _, p := range ps {
			lifted.Insert(p)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for hole := range named {
		if _, stays := old[hole]; !stays {
			touched = append(touched, e.list.AddHole(hole)...)
		}
	}
	for hole := range old {
		if _, stays := named[hole]; !stays && !e.isAllowed(hole) && !lifted.OverlapsPrefix(hole) {
			touched = append(touched, e.list.RemoveHole(hole)...)
		}
	}
	if len(touched) > 0 {
		e.changes.reset()
	}
	return exempt, touched
}

// askHoles returns what is to be left out of blocks, and which of them must not
// be at all, by cause.
func (e *Enforcer) askHoles(blocks iter.Seq[netip.Prefix]) (named map[netip.Prefix]struct{}, exempt map[string][]netip.Prefix) {
	named, exempt = map[netip.Prefix]struct{}{}, map[string][]netip.Prefix{}
	for p := range blocks {
		holes, cause := e.exemption(p)
		if cause != "" {
			exempt[cause] = append(exempt[cause], p)
		}
		for _, hole := range canonicals(holes) {
			named[hole] = struct{}{}
		}
	}
	return named, exempt
}
