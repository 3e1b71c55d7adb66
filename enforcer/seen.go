package enforcer

import (
	"net/netip"
	"time"
)

// SeenAfterBlock says that a line about a has come in at time t. If a has been
// blocked by then for longer than the grace period, its packets come around the
// gateway: the block is marked, and counted once. It may be called for every
// line.
func (e *Enforcer) SeenAfterBlock(a netip.Addr, t time.Time) {
	if !a.IsValid() {
		return
	}
	e.mu.RLock()
	slot, ok := e.list.lookup(a, t.UnixNano())
	late := ok && e.list.at(slot).flags&(flagSeen|flagObserved) == 0 &&
		t.Sub(time.Unix(int64(e.list.at(slot).since), 0)) > e.config.SeenGrace
	e.mu.RUnlock()
	if late {
		e.queue.mark(func() { e.markSeen(a, t) }) // it will turn up again
	}
}

func (e *Enforcer) markSeen(a netip.Addr, t time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	slot, ok := e.list.lookup(a, t.UnixNano())
	if !ok || e.list.at(slot).flags&flagSeen != 0 {
		return
	}
	e.list.at(slot).flags |= flagSeen
	e.metrics.seen.Inc()
	e.logger.Warn("blocked source still reaches a mail host: its packets bypass this gateway",
		"addr", a, "prefix", e.list.at(slot).key.prefix())
}
