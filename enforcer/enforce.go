package enforcer

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"uppercut/enforcer/nft"
)

// All of this file runs on the goroutine of Run.

// enforceAll puts blocks into list, kernel and ledger, a message's worth at a
// time.
func (e *Enforcer) enforceAll(blocks map[netip.Prefix]Block) (refused []Refusal) {
	batch := make([]Block, 0, min(len(blocks), nft.MaxBatch))
	for _, b := range inTurn(blocks) {
		if batch = append(batch, b); len(batch) == nft.MaxBatch {
			refused = append(refused, e.enforce(batch)...)
			batch = batch[:0]
		}
	}
	return append(refused, e.enforce(batch)...)
}

// inTurn returns blocks in the order in which they go: those by hand and on more
// than one witness first, then one of each witness after the other, so that none
// waits for all that another says.
func inTurn(blocks map[netip.Prefix]Block) []Block {
	if len(blocks) <= nft.MaxBatch {
		return slices.Collect(maps.Values(blocks)) // they go together
	}
	type place struct {
		turn  int
		block Block
	}
	places := make([]place, 0, len(blocks))
	said := map[string]int{}
	for _, b := range blocks {
		turn := 0
		if b.Witness != "" {
			said[b.Witness]++
			turn = said[b.Witness]
		}
		places = append(places, place{turn, b})
	}
	slices.SortStableFunc(places, func(a, b place) int { return a.turn - b.turn })
	ordered := make([]Block, len(places))
	for i := range places {
		ordered[i] = places[i].block
	}
	return ordered
}

// Refusal is a block that was not carried out, and why.
type Refusal struct {
	Prefix netip.Prefix `json:"prefix"`
	Cause  string       `json:"cause"`
}

// enforce puts a batch into list and kernel and hands it to the ledger. It is
// logged when it is saved: what the log says survives.
func (e *Enforcer) enforce(batch []Block) []Refusal {
	e.journal.await()
	e.comeAround()
	batch, refused := e.permitted(batch)
	a := e.admit(batch)
	refused = append(append(refused, a.refused...), e.write(a.touched)...)
	now := time.Now()
	for _, r := range refused {
		e.suppress(r)
		a.blocks = slices.DeleteFunc(a.blocks, func(b Block) bool { return b.Prefix == r.Prefix })
	}
	e.endAll(a.evicted, Unblock{Ended: now, Cause: causeCapacity})
	for _, old := range a.replaced {
		e.journal.replaced(Unblock{Block: old, Ended: now, Cause: causeReplaced})
	}
	for i := range a.blocks {
		e.measure(&a.blocks[i], now)
		e.journal.put(a.blocks[i])
	}
	if len(a.blocks)+len(a.evicted) > 0 {
		e.journal.settle(func(error) {
			e.tellEnds(a.evicted, Unblock{Ended: now, Cause: causeCapacity})
			e.logBlocks(a.blocks)
		})
	}
	return refused
}

func (e *Enforcer) logBlocks(blocks []Block) {
	for _, b := range blocks {
		e.options.OnBlock(b)
		e.logger.Info("block", "prefix", b.Prefix, "rule", b.Rule, "score", b.Score, "at", b.At, "until", endInLog(b),
			"reason", b.Reason, "host", b.Host, "id", b.ID, "observed", b.Observed, slog.Group("by", "author", b.Author, "note", b.Note))
	}
}

// measure counts a block that the kernel has acknowledged at now.
func (e *Enforcer) measure(b *Block, now time.Time) {
	family, _ := e.list.Class(b.Prefix)
	e.metrics.blocks.WithLabelValues(b.Rule, families[family]).Inc()
	if b.Observed {
		e.metrics.suppressed.WithLabelValues(causeDryRun).Inc()
	}
	if b.Received.IsZero() {
		return
	}
	if o, ok := e.metrics.blockDuration.(prometheus.ExemplarObserver); ok {
		o.ObserveWithExemplar(seconds(now.Sub(b.Received)), prometheus.Labels{"block": formatID(b.ID)})
	}
	e.metrics.eventAge.Observe(seconds(now.Sub(b.At)))
}

// permitted divides a batch into what may be blocked and what not.
func (e *Enforcer) permitted(batch []Block) (kept []Block, refused []Refusal) {
	now := time.Now()
	kept = make([]Block, 0, len(batch))
	for _, b := range batch {
		if !b.Until.After(now) {
			refused = append(refused, Refusal{b.Prefix, causeRunOut})
			continue
		}
		holes, cause := e.exemption(b.Prefix)
		if cause != "" {
			refused = append(refused, Refusal{b.Prefix, cause})
			continue
		}
		e.fit(b.Prefix, holes)
		kept = append(kept, b)
	}
	return kept, refused
}

// admission is what has become of a batch in the list.
type admission struct {
	blocks   []Block                // in the list, numbered
	evicted  []Block                // in force before, gone to make room
	replaced map[netip.Prefix]Block // in force before, and now another
	touched  []netip.Prefix
	refused  []Refusal
}

// admit puts into the list what is not blocked as long already.
func (e *Enforcer) admit(batch []Block) (a admission) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Block
	before, replaced := e.lastID, map[netip.Prefix]Block{}
	for _, b := range batch {
		old, again := e.list.Block(b.Prefix)
		if again && b.Rule != Manual && !old.Until.Before(b.Until) {
			a.refused = append(a.refused, Refusal{b.Prefix, causeBlocked})
			continue
		}
		if again {
			replaced[b.Prefix] = old
		}
		e.lastID++
		b.ID = e.lastID
		b.Observed = e.options.Observe
		a.touched = append(a.touched, e.insert(&b)...)
		touched, evicted := e.makeRoom(b.Prefix)
		a.touched = append(a.touched, touched...)
		out = append(out, evicted...)
		a.blocks = append(a.blocks, b)
	}
	a.part(out, before, replaced)
	for _, b := range a.evicted {
		delete(replaced, b.Prefix)
		e.metrics.ended(causeCapacity, 1)
	}
	e.crowding.add(e.logger, len(a.evicted), time.Now())
	a.replaced = replaced
	e.metrics.ended(causeReplaced, len(replaced))
	return a
}

// part divides those that had to go. One of the batch itself, numbered after
// before, was never in force and has not ended: it is refused. What ends is
// the block that it replaced.
func (a *admission) part(out []Block, before uint64, replaced map[netip.Prefix]Block) {
	late := map[uint64]bool{}
	for _, b := range out {
		if b.ID <= before {
			a.evicted = append(a.evicted, b)
			continue
		}
		late[b.ID] = true
		a.refused = append(a.refused, Refusal{b.Prefix, causeSetFull})
		if old, ok := replaced[b.Prefix]; ok {
			a.evicted = append(a.evicted, old)
		}
	}
	a.blocks = slices.DeleteFunc(a.blocks, func(b Block) bool { return late[b.ID] })
}

// insert puts b into the list and returns what the kernel must be told.
func (e *Enforcer) insert(b *Block) []netip.Prefix {
	e.changes.add(b, "")
	return e.list.Insert(b, time.Now())
}

func (e *Enforcer) suppress(r Refusal) {
	e.metrics.suppressed.WithLabelValues(label(r.Cause)).Inc()
	e.logger.Debug("block suppressed", "prefix", r.Prefix, "cause", r.Cause)
}

// label is cause as a metric label: the causes of Options.Exempt other than
// the allow list are the gateway's own reasons.
func label(cause string) string {
	if slices.Contains(suppressions, cause) {
		return cause
	}
	return causeOwn
}

// endOf is how a block ends that has become exempt for this cause.
func endOf(exemption string) string {
	if exemption == causeAllowlist {
		return causeAllowed
	}
	return exemption
}

// exemption says why p must not be blocked, and else what to leave out of it.
func (e *Enforcer) exemption(p netip.Prefix) (holes []netip.Prefix, cause string) {
	if _, ok := e.exempt.LookupPrefix(p); ok {
		return nil, causeAllowlist
	}
	switch {
	case e.options.Holes != nil && !p.IsSingleIP():
		return e.options.Holes(p)
	case e.options.Exempt != nil:
		return nil, e.options.Exempt(p)
	}
	return nil, ""
}
