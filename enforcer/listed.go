package enforcer

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"uppercut/enforcer/nft"
)

// Listing is what has become of a block list.
type Listing struct {
	// Blocked are blocked now, by the list or otherwise. Exempt must not be, and
	// for NoRoom the sets were full or the kernel refused them.
	Blocked, Exempt, NoRoom int
	// Removed were blocked by the list as it was, and are not any more.
	Removed []netip.Prefix
}

// SetListed makes the blocks of the rule Listed those of exactly these prefixes,
// and returns when they are in the kernel. A prefix that is blocked otherwise
// stays so; what is exempt is left out.
func (e *Enforcer) SetListed(ctx context.Context, ps []netip.Prefix) (l Listing, err error) {
	wanted := make(map[netip.Prefix]struct{}, len(ps))
	for _, p := range canonicals(ps) {
		wanted[p] = struct{}{}
	}
	if l.Removed, err = order(ctx, e, func() ([]netip.Prefix, error) { return e.delist(wanted), nil }); err != nil {
		return l, err
	}
	batch := make([]netip.Prefix, 0, nft.MaxBatch)
	for p := range wanted {
		if batch = append(batch, p); len(batch) < nft.MaxBatch {
			continue
		}
		if err := e.enlistBatch(ctx, batch, &l); err != nil {
			return l, err
		}
		batch = batch[:0]
	}
	return l, e.enlistBatch(ctx, batch, &l)
}

// enlistBatch adds what has become of a batch to l. Other blocks come between
// one batch and the next.
func (e *Enforcer) enlistBatch(ctx context.Context, ps []netip.Prefix, l *Listing) error {
	part, err := order(ctx, e, func() (Listing, error) { return e.enlist(ps), nil })
	l.Blocked += part.Blocked
	l.Exempt += part.Exempt
	l.NoRoom += part.NoRoom
	return err
}

// enlist blocks those of ps that are not blocked and may be. Only New and the
// goroutine in Run call it.
func (e *Enforcer) enlist(ps []netip.Prefix) (l Listing) {
	now := time.Now()
	var touched []netip.Prefix
	for _, p := range ps {
		if _, blocked := e.list.Find(p); blocked {
			l.Blocked++
			continue
		}
		holes, cause := e.exemption(p)
		if cause != "" {
			l.Exempt++
			continue
		}
		e.fit(p, holes)
		e.mu.Lock()
		e.lastID++
		touched = append(touched, e.insert(&Block{ID: e.lastID, Prefix: p, At: now, Until: Forever, Rule: Listed, Observed: e.options.Observe})...)
		changed, out := e.makeRoom(p)
		e.mu.Unlock()
		touched = append(touched, changed...)
		l.Blocked += 1 - len(out)
		l.NoRoom += len(out)
	}
	refused := e.write(touched)
	l.Blocked -= len(refused)
	l.NoRoom += len(refused)
	return l
}

// delist lifts the blocks of the list that are not in wanted.
func (e *Enforcer) delist(wanted map[netip.Prefix]struct{}) (gone []netip.Prefix) {
	for p := range e.list.OfRule(Listed) {
		if _, stays := wanted[p]; !stays {
			gone = append(gone, p)
		}
	}
	for batch := range slices.Chunk(gone, nft.MaxBatch) {
		var touched []netip.Prefix
		e.mu.Lock()
		for _, p := range batch {
			if b, ok := e.list.Remove(p); ok {
				e.changes.add(&b, causeDelisted)
				touched = append(touched, e.list.Released(p)...)
			}
		}
		e.mu.Unlock()
		e.write(touched)
	}
	return gone
}
