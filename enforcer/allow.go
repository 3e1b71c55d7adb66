package enforcer

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"uppercut/enforcer/blocklist"
)

// Allow adds to the allow list: what it names is never blocked, and what of it
// is blocked is lifted. An entry of the same prefix is replaced.
func (e *Enforcer) Allow(ctx context.Context, a AllowEntry) (lifted []netip.Prefix, err error) {
	p, ok := blocklist.Canonical(a.Prefix)
	if !ok {
		return nil, fmt.Errorf("allow %v: not a prefix", a.Prefix)
	}
	a.Prefix = p
	if a.Since.IsZero() {
		a.Since = time.Now()
	}
	return order(ctx, e, func() ([]netip.Prefix, error) {
		e.mu.Lock()
		e.allowed[p] = a
		e.exempt.Insert(p, struct{}{})
		touched := e.list.AddHole(p)
		if len(touched) > 0 {
			e.changes.reset()
		}
		e.mu.Unlock()
		e.journal.setAllow(p, &a)
		e.write(touched)
		lifted := e.unblock(e.list.Within(p), Unblock{Cause: causeAllowed, By: a.Author, Why: a.Note})
		e.record(ActionAllow, a.Author, a.Note, []netip.Prefix{p}, 0)
		return lifted, e.kernelError()
	})
}

// Disallow removes entries of exactly these prefixes from the allow list that
// operators keep; it returns those that were in it. What Options exempts
// stays exempt.
func (e *Enforcer) Disallow(ctx context.Context, author, note string, ps ...netip.Prefix) (removed []netip.Prefix, err error) {
	wanted := canonicals(ps)
	return order(ctx, e, func() ([]netip.Prefix, error) {
		removed := e.disallow(wanted)
		e.record(ActionDisallow, author, note, wanted, len(wanted)-len(removed))
		return removed, e.kernelError()
	})
}

func (e *Enforcer) disallow(ps []netip.Prefix) (removed []netip.Prefix) {
	e.mu.Lock()
	for _, p := range ps {
		if _, ok := e.allowed[p]; !ok {
			continue
		}
		removed = append(removed, p)
		delete(e.allowed, p)
		e.journal.setAllow(p, nil)
		e.exempt.Delete(p)
	}
	e.mu.Unlock()
	if len(removed) > 0 { // what Options exempts stays exempt
		_, touched := e.refit(removed, nil)
		e.write(touched)
	}
	return removed
}

// expireAllowed ends entries of the allow list.
func (e *Enforcer) expireAllowed(now time.Time) {
	var ended []netip.Prefix
	for p, a := range e.allowed {
		if !a.Until.IsZero() && !a.Until.After(now) {
			ended = append(ended, p)
		}
	}
	if len(ended) > 0 {
		e.disallow(ended)
		e.journal.settle(func(error) {})
		e.logger.Info("allow entries expired", "prefixes", ended)
	}
}

// Allowed yields the allow list that operators keep, in no order.
func (e *Enforcer) Allowed() iter.Seq[AllowEntry] {
	e.mu.RLock()
	list := slices.Collect(maps.Values(e.allowed))
	e.mu.RUnlock()
	return slices.Values(list)
}

// isAllowed reports whether p is an entry of the allow list that operators keep.
func (e *Enforcer) isAllowed(p netip.Prefix) bool {
	_, ok := e.allowed[p]
	return ok
}
