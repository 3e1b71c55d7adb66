package enforcer

import (
	"iter"
	"time"
)

// Dropped yields what the kernel is to drop now: each block of an address, and of
// networks the pieces that are left when what is exempt is taken out, which have the
// longest time of all networks that cover them. It yields nothing in observe mode
// and while blocking is suspended. Evidence is left out.
//
// It holds no lock while yielding: blocks that come or go meanwhile may be in it or
// not.
func (e *Enforcer) Dropped() iter.Seq[Block] {
	return func(yield func(Block) bool) {
		page := make([]Block, 0, 1024)
		for from, more := uint32(0), true; more; {
			page, from, more = e.dropped(page[:0], from)
			for _, b := range page {
				if !yield(b) {
					return
				}
			}
		}
		for _, b := range e.droppedPieces() {
			if !yield(b) {
				return
			}
		}
	}
}

// dropped fills page from the slots behind from with blocks that are whole.
func (e *Enforcer) dropped(page []Block, from uint32) ([]Block, uint32, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.suspended || e.options.Observe {
		return page, 0, false
	}
	now := time.Now()
	for slot := range e.list.Slots(from) {
		if len(page) == cap(page) {
			return page, slot, true
		}
		entry := e.list.At(slot)
		if entry.IsNetwork() {
			continue
		}
		until := e.list.Want(entry.Prefix())
		if until > now.UnixNano() {
			b := e.list.BlockAt(slot)
			b.Until = time.Unix(0, until)
			page = append(page, b)
		}
	}
	return page, 0, false
}

// droppedPieces returns the pieces of networks that have no block of their own.
func (e *Enforcer) droppedPieces() (pieces []Block) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.suspended || e.options.Observe {
		return nil
	}
	now := time.Now().UnixNano()
	for p, until := range e.list.Pieces() {
		if until <= now || e.list.Hashed(p) {
			continue
		}
		b := Block{Prefix: p, Until: time.Unix(0, until)}
		if whole, ok := e.list.CutFrom(p, now); ok {
			b = whole
			b.Prefix, b.Until = p, time.Unix(0, until)
		}
		pieces = append(pieces, b)
	}
	return pieces
}
