package enforcer

import (
	"errors"
	"io/fs"
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
		e.logger.Info("block", "prefix", b.Prefix, "rule", b.Rule, "score", b.Score, "at", b.At, "until", b.end(),
			"reason", b.Reason, "host", b.Host, "id", b.ID, "observed", b.Observed, slog.Group("by", "author", b.Author, "note", b.Note))
	}
}

// measure counts a block that the kernel has acknowledged at now.
func (e *Enforcer) measure(b *Block, now time.Time) {
	family, _ := e.list.class(b.Prefix)
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
		old, again := e.list.find(b.Prefix)
		if again && b.Rule != Manual && old.until >= b.Until.UnixNano() {
			a.refused = append(a.refused, Refusal{b.Prefix, causeBlocked})
			continue
		}
		if again {
			replaced[b.Prefix] = e.list.block(e.list.index[old.key])
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
	entry := e.list.put(b)
	entry.since = uint32(time.Now().Unix())
	e.room.add(e.list, e.list.index[entry.key])
	if entry.flags&flagNet != 0 {
		return e.list.recut(b.Prefix)
	}
	return []netip.Prefix{b.Prefix}
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

// lift takes blocks out of list and ledger and counts them; as is how they end.
// It returns what the kernel must be told.
func (e *Enforcer) lift(ps []netip.Prefix, as Unblock) (lifted []Block, touched []netip.Prefix) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range ps {
		if as.Cause == causeExpired && e.hashed(p) {
			family, _ := e.list.class(p)
			e.kernel.ended.add(family, time.Now())
		}
		b, ok := e.list.remove(p)
		if !ok {
			continue
		}
		lifted = append(lifted, b)
		touched = append(touched, e.list.released(p)...)
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
	ended := slices.Collect(e.list.due(now))
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
		touched = slices.DeleteFunc(touched, func(p netip.Prefix) bool { return e.list.want(p) == 0 })
	}
	e.write(touched)
	e.journal.settle(func(error) { e.tellEnds(lifted, Unblock{Cause: causeExpired}) })
}

// inForce returns those of ps that are blocked now, and ends first what the next
// sweep would end: nobody lifts a block that is over.
func (e *Enforcer) inForce(ps []netip.Prefix) []netip.Prefix {
	now := time.Now()
	e.end(slices.DeleteFunc(slices.Clone(ps), func(p netip.Prefix) bool {
		entry, ok := e.list.find(p)
		return !ok || entry.until > now.UnixNano()
	}), now)
	return slices.DeleteFunc(ps, func(p netip.Prefix) bool {
		_, ok := e.list.find(p)
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

// write makes the kernel's elements of these prefixes what the list wants. It
// returns those that the kernel refuses, taken out of the list.
func (e *Enforcer) write(ps []netip.Prefix) []Refusal {
	if e.firewall == nil || e.suspended || e.kernel.broken != nil || len(ps) == 0 {
		return nil // in the list they are written by the next rebuild
	}
	now := time.Now()
	elems := make([]nft.Element, 0, len(ps))
	ps = compact(ps)
	e.knockNoMore(slices.Values(ps))
	for _, p := range ps {
		elems = append(elems, nft.Element{Prefix: p, Timeout: e.timeLeft(p, now)})
	}
	// What goes makes room for what comes, also from one batch to the next.
	slices.SortStableFunc(elems, func(a, b nft.Element) int { return rank(a) - rank(b) })
	var refused []nft.Refusal
	for batch := range slices.Chunk(elems, nft.MaxBatch) {
		start := time.Now()
		r, err := e.firewall.Apply(batch)
		e.metrics.observe(operationOf(batch), start, err)
		if err != nil {
			e.fail(err)
			return nil
		}
		e.lag.Store(max(e.lag.Load(), int64(time.Since(start))))
		refused = append(refused, r...)
	}
	if e.stuffed(refused) && e.rebuild() == nil {
		return nil
	}
	return e.refuse(refused)
}

// stuffed reports whether the kernel refused a network because its set is full of
// what has run out: from Linux 6.12 on that is collected when a transaction
// changes the set, and none does that is refused. Writing all anew takes it.
func (e *Enforcer) stuffed(refused []nft.Refusal) bool {
	for _, r := range refused {
		i := e.firewall.Config().SetIndex(r.Prefix)
		if i < firstNet || !nft.Full(r.Err) {
			continue
		}
		if _, expected := e.expected(); uint32(expected[i]) <= e.firewall.Config().NetSize {
			return true
		}
	}
	return false
}

func operationOf(batch []nft.Element) string {
	if batch[len(batch)-1].Timeout > 0 {
		return "add"
	}
	return "delete"
}

func rank(el nft.Element) int {
	if el.Timeout > 0 {
		return 1
	}
	return 0
}

func compact(ps []netip.Prefix) []netip.Prefix {
	slices.SortFunc(ps, netip.Prefix.Compare)
	return slices.Compact(ps)
}

// timeLeft is how long the kernel should keep p; 0 is not at all, nft.Forever has
// no timeout.
func (e *Enforcer) timeLeft(p netip.Prefix, now time.Time) time.Duration {
	want := e.list.want(p)
	if want == Forever.UnixNano() {
		return nft.Forever
	}
	return max(0, time.Unix(0, want).Sub(now))
}

// refuse takes out of the list what the kernel does not take.
func (e *Enforcer) refuse(refused []nft.Refusal) (out []Refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range refused {
		e.logger.Error("kernel rejected an element", "prefix", r.Prefix, "timeout", r.Timeout, "error", r.Err)
		if _, ok := e.list.find(r.Prefix); !ok || r.Timeout <= 0 {
			e.kernel.suspect = true // a piece of a network: all anew
			continue
		}
		e.list.remove(r.Prefix)
		e.journal.refused(r.Prefix)
		cause := causeError
		if nft.Full(r.Err) {
			cause = causeSetFull
		}
		out = append(out, Refusal{r.Prefix, cause})
	}
	return out
}

// kernelState is what is known of the kernel; of the goroutine of Run.
type kernelState struct {
	broken  error // the last write failed: the list is ahead of the kernel
	retryAt time.Time
	pause   time.Duration
	suspect bool // elements are not what they should be
	unheard bool // since the last look, changes may not have been announced
	asked   uint32
	ended   recent
}

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// fail notes that the kernel did not take a batch. The list goes on, and is
// written as a whole when the kernel answers again.
func (e *Enforcer) fail(err error) {
	k := &e.kernel
	if k.broken == nil {
		e.logger.Error("cannot write the firewall; retrying", "error", explain(err))
		k.pause = firstPause
	} else {
		k.pause = min(2*k.pause, lastPause)
	}
	if errors.Is(err, nft.ErrAnswerLost) && k.broken == nil {
		k.pause = 0 // it may well have been done
	}
	k.broken = err
	k.retryAt = time.Now().Add(k.pause)
	e.setTrouble(err)
}

// rebuild writes the whole list, in one transaction.
func (e *Enforcer) rebuild() error {
	if err := e.reopen(); err != nil {
		e.fail(err)
		return err
	}
	start := time.Now()
	err := e.firewall.Replace(e.elementsWanted)
	e.metrics.observe("setup", start, err)
	if err != nil {
		e.fail(err)
		return err
	}
	if e.kernel.broken != nil {
		e.logger.Info("firewall is writable again")
	}
	e.kernel.broken, e.kernel.suspect = nil, false
	e.lag.Store(int64(time.Since(start)))
	e.knockNoMore(e.overlapping(nil))
	e.setTrouble(nil)
	return nil
}

// reopen opens new sockets after a failure that another try may not mend.
func (e *Enforcer) reopen() error {
	if e.kernel.broken == nil || errors.Is(e.kernel.broken, fs.ErrPermission) {
		return nil
	}
	return e.firewall.Reopen()
}

// elementsWanted yields what the kernel should hold.
func (e *Enforcer) elementsWanted(yield func(nft.Element) bool) {
	now := time.Now()
	for slot := range e.list.slots(0) {
		entry := e.list.at(slot)
		if entry.flags&flagNet != 0 {
			continue
		}
		p := entry.key.prefix()
		if left := e.timeLeft(p, now); left > 0 && !yield(nft.Element{Prefix: p, Timeout: left}) {
			return
		}
	}
	for p := range e.list.pieces.All() {
		if _, twice := e.list.find(p); twice && e.hashed(p) {
			continue
		}
		if left := e.timeLeft(p, now); left > 0 && !yield(nft.Element{Prefix: p, Timeout: left}) {
			return
		}
	}
}

// hashed reports whether p has a block of its own in a hash set.
func (e *Enforcer) hashed(p netip.Prefix) bool {
	entry, ok := e.list.find(p)
	return ok && entry.flags&flagNet == 0
}
