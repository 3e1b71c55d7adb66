package enforcer

import (
	"net/netip"
	"sync"
	"time"
)

// Change is one step of the list: a prefix is blocked, with this end, or is not
// any more.
type Change struct {
	Prefix netip.Prefix
	ID     uint64 // of the block
	// At is when the offence happened, Until when the block ends, Forever for one
	// that is lifted by hand only.
	At, Until          time.Time
	Rule, Reason, Host string
	// Observed: decided in observe mode, never enforced.
	Observed bool
	// Ended is why the prefix is not blocked any more: a cause as in Unblock,
	// set_full or error for what the kernel did not take, delisted for what a block
	// list does not have any more. "": it is blocked.
	Ended string
}

// keptChanges is how far a follower may fall behind, pageOfChanges how many
// changes it gets at a time: so long, some microseconds, a block waits for it at
// most.
const (
	keptChanges   = 1 << 14
	pageOfChanges = 256
)

// causeDelisted is the end of a block that its block list does not have any more.
const causeDelisted = "delisted"

// changes are the last changes of the list. Positions count them, and begin at the
// time of the start, so that one of an earlier run is known to be too old. It has a
// lock of its own: whoever writes may hold the Enforcer's.
type changes struct {
	mu      sync.Mutex
	ring    []Change      // the change at position p is at p % keptChanges
	first   uint64        // the oldest position from which all is known
	next    uint64        // position of the next change
	waiting chan struct{} // nil while nobody waits
}

func newChanges(now time.Time) *changes {
	start := uint64(now.UnixNano()) / keptChanges * keptChanges // the ring begins at 0
	return &changes{first: start, next: start}
}

// add appends what has become of a block; ended is the cause of its end, "" if it
// is blocked.
func (c *changes) add(b *Block, ended string) {
	change := Change{
		Prefix: b.Prefix, ID: b.ID, At: b.At, Until: b.Until,
		Rule: b.Rule, Reason: b.Reason, Host: b.Host, Observed: b.Observed, Ended: ended,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slot := c.next % keptChanges; slot < uint64(len(c.ring)) {
		c.ring[slot] = change
	} else {
		c.ring = append(c.ring, change)
	}
	c.next++
	c.first = max(c.first, c.next-min(c.next, keptChanges))
	c.tell()
}

// reset makes every follower ask for the whole.
func (c *changes) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = (c.next/keptChanges + 1) * keptChanges
	c.ring, c.first = c.ring[:0], c.next
	c.tell()
}

// tell wakes those who wait. The caller holds the lock.
func (c *changes) tell() {
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}

func (c *changes) position() (uint64, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(chan struct{})
	}
	return c.next, c.waiting
}

// after returns changes from a position on, and the position behind them; false
// if not all of them are known.
func (c *changes) after(from uint64) ([]Change, uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from < c.first || from > c.next {
		return nil, c.next, false
	}
	out := make([]Change, 0, min(c.next-from, pageOfChanges))
	for ; from < c.next && len(out) < pageOfChanges; from++ {
		out = append(out, c.ring[from%keptChanges])
	}
	return out, from, true
}

// Position is the position of the next change, and a channel that is closed when
// that has come.
func (e *Enforcer) Position() (position uint64, changed <-chan struct{}) {
	return e.changes.position()
}

// Changes returns what has become of the list from a position on, in order, some
// hundreds at a time, and the position to go on from: the follower has all when
// next is Position. A block is told as soon as it is on the list, before it is in
// the ledger and, if the kernel cannot be written, before it is in force.
//
// It returns false if the follower has fallen behind by more than is kept, holds a
// position of an earlier run, or something has changed that is no step of one
// prefix: what is left out of networks, or whether the firewall is suspended. Then,
// and to begin with, it takes the whole:
//
//	from, _ := e.Position() // first
//	for b := range e.Dropped() { ... } // or Blocks, for the list with what is exempt
//
// and goes on with Changes(from). A change says how things stand and not what is
// different, so that one that the whole has in it already does no harm. After an
// end the address may still be blocked, by a network around it.
//
// A follower can take its time: it never holds up a block, but a page's copying.
func (e *Enforcer) Changes(from uint64) (changes []Change, next uint64, ok bool) {
	return e.changes.after(from)
}
