package enforcer

import (
	"iter"
	"net/netip"
	"time"
)

// stillKnocking keeps of the ended blocks those whose sources still knock, up
// to the limit, and returns the rest.
func (e *Enforcer) stillKnocking(ended []netip.Prefix, now time.Time) (rest []netip.Prefix) {
	if e.config.Extend == 0 || e.idle() || len(ended) == 0 {
		return ended
	}
	var singles []netip.Prefix
	for _, p := range ended {
		if e.list.Hashed(p) {
			singles = append(singles, p)
		} else {
			rest = append(rest, p)
		}
	}
	found, err := e.firewall.AskKnocks(singles)
	if err != nil {
		return ended
	}
	for i, p := range singles {
		if b, ok := e.extend(p, found[i].Left, now); ok {
			e.journal.put(b)
		} else {
			rest = append(rest, p)
		}
	}
	return rest
}

// extend moves the end of p's block to where the kernel lets go of a source
// that knocks no more.
func (e *Enforcer) extend(p netip.Prefix, left time.Duration, now time.Time) (Block, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, _ := e.list.Block(p)
	limit := b.At.Add(e.config.ExtendLimit)
	if left == 0 || !now.Before(limit) {
		return b, false
	}
	b.Until = now.Add(left)
	if b.Until.After(limit) {
		b.Until = limit
	}
	e.list.Put(&b).SetKnocks(true)
	e.changes.add(&b, "")
	return b, true
}

// knockNoMore notes that blocks are written as elements of their own.
func (e *Enforcer) knockNoMore(ps iter.Seq[netip.Prefix]) {
	if e.config.Extend == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for p := range ps {
		if entry, ok := e.list.Find(p); ok {
			entry.SetKnocks(false)
		}
	}
}
