package enforcer

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// All of this file runs on the goroutine of Run.

// lift takes blocks out of list and ledger and counts them; as is how they end.
// It returns what the kernel must be told.
func (e *Enforcer) lift(ps []netip.Prefix, as Unblock) (lifted []Block, touched []netip.Prefix) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range ps {
		if as.Cause == causeExpired && e.list.Hashed(p) {
			family, _ := e.list.Class(p)
			e.kernel.ended.add(family, time.Now())
		}
		b, ok := e.list.Remove(p)
		if !ok {
			continue
		}
		e.changes.add(&b, as.Cause)
		lifted = append(lifted, b)
		touched = append(touched, e.list.Released(p)...)
	}
	e.endAll(lifted, as)
	e.metrics.ended(as.Cause, len(lifted))
	return lifted, touched
}

// endAll notes the ends of blocks in the ledger; as is how they ended, and their
// own time if it does not say when.
func (e *Enforcer) endAll(blocks []Block, as Unblock) {
	for _, b := range blocks {
		u := as
		if u.Block = b; u.Ended.IsZero() {
			u.Ended = b.Until
		}
		e.journal.end(u)
	}
}

// expire takes out what has ended. The kernel did so by itself; only networks
// can leave something to tell it.
func (e *Enforcer) expire(now time.Time) {
	e.mu.Lock()
	ended := slices.Collect(e.list.Due(now))
	e.mu.Unlock()
	e.end(ended, now)
	e.expireAllowed(now)
}

// end lifts those of ps, whose time is up, that do not knock.
func (e *Enforcer) end(ps []netip.Prefix, now time.Time) {
	ps = e.stillKnocking(ps, now)
	if len(ps) == 0 {
		return
	}
	lifted, touched := e.lift(ps, Unblock{Cause: causeExpired})
	if e.config.Extend == 0 {
		touched = slices.DeleteFunc(touched, func(p netip.Prefix) bool { return e.list.Want(p) == 0 })
	}
	e.write(touched)
	e.journal.settle(func(error) { e.tellEnds(lifted, Unblock{Cause: causeExpired}) })
}

// inForce returns those of ps that are blocked now, and ends first what the next
// sweep would end: nobody lifts a block that is over.
func (e *Enforcer) inForce(ps []netip.Prefix) []netip.Prefix {
	now := time.Now()
	e.end(slices.DeleteFunc(slices.Clone(ps), func(p netip.Prefix) bool {
		entry, ok := e.list.Find(p)
		return !ok || entry.Until() > now.UnixNano()
	}), now)
	return slices.DeleteFunc(ps, func(p netip.Prefix) bool {
		_, ok := e.list.Find(p)
		return !ok
	})
}

// tellEnds tells of the ends of blocks; as is how they ended. It is called when
// the ledger has settled, as logBlocks is: so each block is told before its end.
func (e *Enforcer) tellEnds(blocks []Block, as Unblock) {
	for _, as.Block = range blocks {
		e.options.OnUnblock(as)
		if as.Cause == causeCapacity && !e.crowding.line(time.Now()) {
			continue // it is told how many
		}
		e.logger.Info("unblock", "prefix", as.Prefix, "cause", as.Cause, "id", as.ID,
			slog.Group("by", "author", as.By, "note", as.Why))
	}
}
