package enforcer

import (
	"net/netip"
	"time"

	"uppercut/enforcer/blocklist"
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
	slot, ok := e.list.Lookup(a, t.UnixNano())
	late := ok && e.late(e.list.At(slot), t)
	e.mu.RUnlock()
	if late {
		e.queue.mark(func() { e.markSeen(a, t) }) // it will turn up again
	}
}

// late reports whether a line about a blocked source at time t is one too many.
func (e *Enforcer) late(entry *blocklist.Entry, t time.Time) bool {
	return !entry.Seen() && !entry.Observed() && t.Sub(entry.Since()) > e.config.SeenGrace
}

func (e *Enforcer) markSeen(a netip.Addr, t time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	slot, ok := e.list.Lookup(a, t.UnixNano())
	if !ok || e.list.At(slot).Seen() {
		return
	}
	e.list.At(slot).MarkSeen()
	e.metrics.seen.Inc()
	e.logger.Warn("blocked source still reaches a mail host: its packets bypass this gateway",
		"addr", a, "prefix", e.list.At(slot).Prefix())
}
