package enforcer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/gaissmai/bart"
	"golang.org/x/sys/unix"

	"uppercut/enforcer/ledger"
)

// What operators do. Each returns when it is in the kernel and in the ledger,
// and is in the audit log then.

// ErrStopped says that Run has ended.
var ErrStopped = errors.New("the enforcer has stopped")

// ErrUnsaved says that an order is carried out and not in the ledger: a restart
// would not know of it. It wraps why.
var ErrUnsaved = errors.New("in force, but not saved")

// The actions in the audit log.
const (
	ActionBlock    = "block"
	ActionUnblock  = "unblock"
	ActionAllow    = "allow"
	ActionDisallow = "disallow"
	ActionFlush    = "flush"
	ActionResume   = "resume"
	ActionRepair   = "repair"
)

// maxAuditPrefixes is how many prefixes an audit entry names.
const maxAuditPrefixes = 20

// Audit is an entry of the audit log.
type Audit = ledger.Audit

// AllowEntry is an entry of the allow list that operators keep.
type AllowEntry = ledger.Allow

// order runs f on Run's goroutine, after all that was asked for before, and
// waits until what it wrote is in the ledger, or cannot be (ErrUnsaved). What f
// returns comes back unless ctx ends first: then f may still run, and what it
// returns is lost.
func order[T any](ctx context.Context, e *Enforcer, f func() (T, error)) (result T, err error) {
	type answer struct {
		result T
		err    error
	}
	done := make(chan answer, 1)
	taken := e.queue.command(func() {
		result, err := f()
		e.journal.settle(func(saved error) {
			if saved != nil && err == nil {
				saved = fmt.Errorf("%w: %w", ErrUnsaved, saved)
			}
			done <- answer{result, errors.Join(err, saved)}
		})
	})
	if !taken {
		return result, ErrStopped
	}
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

// do is order for what returns nothing.
func (e *Enforcer) do(ctx context.Context, f func() error) error {
	_, err := order(ctx, e, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// kernelError is why an order did not reach the kernel. Where the kernel said no
// the whole is written first: who gave the order waits, and need not hear of a
// trouble that has passed.
func (e *Enforcer) kernelError() error {
	broken := e.kernel.broken
	if broken == nil || e.suspended {
		return nil
	}
	if _, said := errors.AsType[unix.Errno](broken); said {
		if broken = e.rebuild(); broken == nil {
			return nil
		}
	}
	return explain(broken)
}

// record notes an order about ps in the audit log; for undone of them there was
// nothing to do, or no leave to.
func (e *Enforcer) record(action, author, note string, ps []netip.Prefix, undone int) {
	e.journal.note(Audit{
		Time: time.Now(), Action: action, Author: author, Note: note,
		Prefixes: slices.Clone(ps[:min(len(ps), maxAuditPrefixes)]), Count: len(ps), Undone: undone,
	})
}

// BlockNow blocks until until, by hand, and returns when the blocks are in the
// kernel and in the ledger. What is exempt comes back with its cause.
func (e *Enforcer) BlockNow(ctx context.Context, author, note string, until time.Time, ps ...netip.Prefix) (refused []Refusal, err error) {
	now := time.Now()
	blocks := make(map[netip.Prefix]Block, len(ps))
	for _, p := range ps {
		p, ok := canonical(p)
		if !ok {
			return nil, fmt.Errorf("block %v: not a prefix", p)
		}
		blocks[p] = Block{Prefix: p, At: now, Until: until, Rule: Manual, Author: author, Note: note}
	}
	return order(ctx, e, func() ([]Refusal, error) {
		refused := e.enforceAll(blocks)
		e.record(ActionBlock, author, note, canonicals(ps), len(refused))
		return refused, e.kernelError()
	})
}

// Unblock lifts every block that reaches into one of these prefixes, or lies in
// it: no packet from there is dropped any more. It returns what was blocked,
// in order, when it is gone from the kernel and the ledger.
func (e *Enforcer) Unblock(ctx context.Context, author, note string, ps ...netip.Prefix) (lifted []netip.Prefix, err error) {
	wanted := canonicals(ps)
	return order(ctx, e, func() ([]netip.Prefix, error) {
		blocked := e.inForce(slices.SortedFunc(e.overlapping(wanted), netip.Prefix.Compare))
		lifted := e.unblock(blocked, Unblock{Cause: causeManual, By: author, Why: note})
		e.record(ActionUnblock, author, note, wanted, len(Apart(wanted, lifted)))
		return lifted, e.kernelError()
	})
}

// UnblockExactly is Unblock for blocks of these prefixes alone: what lies in them
// or around them stays.
func (e *Enforcer) UnblockExactly(ctx context.Context, author, note string, ps ...netip.Prefix) (lifted []netip.Prefix, err error) {
	wanted := canonicals(ps)
	return order(ctx, e, func() ([]netip.Prefix, error) {
		lifted := e.unblock(e.inForce(slices.Clone(wanted)), Unblock{Cause: causeManual, By: author, Why: note})
		e.record(ActionUnblock, author, note, wanted, len(wanted)-len(lifted))
		return lifted, e.kernelError()
	})
}

// Apart returns those of ps that none of others overlaps.
func Apart(ps, others []netip.Prefix) (apart []netip.Prefix) {
	var all bart.Lite
	for _, p := range others {
		all.Insert(p)
	}
	for _, p := range ps {
		if !all.OverlapsPrefix(p) {
			apart = append(apart, p)
		}
	}
	return apart
}

func canonicals(ps []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(ps))
	for _, p := range ps {
		if p, ok := canonical(p); ok {
			out = append(out, p)
		}
	}
	return out
}

// unblock lifts blocks and tells the kernel; as is how they ended.
func (e *Enforcer) unblock(ps []netip.Prefix, as Unblock) (lifted []netip.Prefix) {
	as.Ended = time.Now()
	blocks, touched := e.lift(ps, as)
	e.write(touched)
	for _, b := range blocks {
		lifted = append(lifted, b.Prefix)
	}
	e.journal.settle(func(error) { e.tellEnds(blocks, as) })
	return lifted
}

// Allow adds to the allow list: what it names is never blocked, and what of it
// is blocked is lifted. An entry of the same prefix is replaced.
func (e *Enforcer) Allow(ctx context.Context, a AllowEntry) (lifted []netip.Prefix, err error) {
	p, ok := canonical(a.Prefix)
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
		touched := e.list.addHole(p)
		e.mu.Unlock()
		e.journal.setAllow(p, &a)
		e.write(touched)
		lifted := e.unblock(e.within(p), Unblock{Cause: causeAllowed, By: a.Author, Why: a.Note})
		e.record(ActionAllow, a.Author, a.Note, []netip.Prefix{p}, 0)
		return lifted, e.kernelError()
	})
}

// within returns the blocked prefixes that lie in p.
func (e *Enforcer) within(p netip.Prefix) (ps []netip.Prefix) {
	for slot := range e.list.slots(0) {
		q := e.list.at(slot).key.prefix()
		if q.Bits() >= p.Bits() && p.Contains(q.Addr()) {
			ps = append(ps, q)
		}
	}
	return ps
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

// Recheck asks Options.Exempt and Options.Holes again, about every block or
// about those that overlap one of changed, which have become exempt or have
// ceased to be. It lifts the blocks that have become exempt, and blocks what is
// no longer left out of networks.
func (e *Enforcer) Recheck(ctx context.Context, changed ...netip.Prefix) error {
	return e.do(ctx, func() error {
		region := canonicals(changed)
		exempt, touched := e.refit(region, e.overlapping(region))
		e.write(touched)
		for cause, ps := range exempt {
			e.unblock(ps, Unblock{Cause: endOf(cause)})
		}
		return e.kernelError()
	})
}

// overlapping yields the blocked prefixes that overlap one of ps, which are
// canonical; all without. Single sources are looked up, for at a million blocks
// a walk through the list would keep the next block waiting.
func (e *Enforcer) overlapping(ps []netip.Prefix) iter.Seq[netip.Prefix] {
	var wide bart.Lite
	found := map[netip.Prefix]struct{}{}
	for _, p := range ps {
		if e.list.wide(p) {
			wide.Insert(p)
			continue
		}
		for q := range e.list.around(p) {
			found[q] = struct{}{}
		}
	}
	return func(yield func(netip.Prefix) bool) {
		for p := range found {
			if !wide.OverlapsPrefix(p) && !yield(p) {
				return
			}
		}
		if len(ps) > 0 && wide.Size() == 0 {
			return
		}
		for slot := range e.list.slots(0) {
			p := e.list.at(slot).key.prefix()
			if (len(ps) == 0 || wide.OverlapsPrefix(p)) && !yield(p) {
				return
			}
		}
	}
}

// Flush removes the table and touches nothing else, and writes none until Resume,
// until the time until, or without one until the next start. The list and the
// ledger stay, and go on, unless forget is set; then the entry in the audit log
// counts the blocks.
func (e *Enforcer) Flush(ctx context.Context, author, note string, until time.Time, forget bool) error {
	return e.do(ctx, func() error {
		e.suspend(time.Now(), until)
		var forgotten []netip.Prefix
		if forget {
			forgotten = e.everything()
		}
		e.journal.note(Audit{
			Time: time.Now(), Action: ActionFlush, Author: author, Note: note, Until: until,
			Prefixes: slices.Clone(forgotten[:min(len(forgotten), maxAuditPrefixes)]), Count: len(forgotten),
		})
		e.logger.Warn("firewall flushed and suspended", "author", author, "note", note, "until", until, "forget", forget)
		if forget {
			e.unblock(forgotten, Unblock{Cause: causeFlushed, By: author, Why: note})
		}
		return e.removeTable()
	})
}

// suspend notes that nothing is to be enforced until until, zero for until
// somebody says.
func (e *Enforcer) suspend(since, until time.Time) {
	e.mu.Lock()
	e.suspended, e.since, e.pausedUntil = true, since, until
	e.mu.Unlock()
	e.metrics.suspended.Set(1)
}

func (e *Enforcer) removeTable() error {
	if e.firewall == nil {
		return nil
	}
	start := time.Now()
	err := e.firewall.Remove()
	e.metrics.observe("flush", start, err)
	e.setTrouble(ErrSuspended)
	if err != nil {
		return explain(err)
	}
	return nil
}

func (e *Enforcer) everything() (ps []netip.Prefix) {
	for slot := range e.list.slots(0) {
		ps = append(ps, e.list.at(slot).key.prefix())
	}
	return ps
}

// Resume ends what Flush began: the list is in the kernel when it returns.
func (e *Enforcer) Resume(ctx context.Context, author, note string) error {
	return e.do(ctx, func() error { return e.resume(author, note) })
}

func (e *Enforcer) resume(author, note string) error {
	e.mu.Lock()
	e.suspended, e.since, e.pausedUntil = false, time.Time{}, time.Time{}
	e.mu.Unlock()
	e.metrics.suspended.Set(0)
	e.record(ActionResume, author, note, nil, 0)
	e.logger.Info("firewall resumed", "author", author, "note", note)
	if e.firewall == nil {
		return nil
	}
	if err := e.rebuild(); err != nil {
		return explain(err)
	}
	return nil
}

// pauseAuthor is who resumes after a pause, in the audit log.
const pauseAuthor = "uppercut"

// endPause resumes when the time of a pause is up.
func (e *Enforcer) endPause(now time.Time) {
	if !e.suspended || e.pausedUntil.IsZero() || now.Before(e.pausedUntil) {
		return
	}
	if err := e.resume(pauseAuthor, "the pause is over"); err != nil {
		e.logger.Error("cannot write the firewall after a pause; retrying", "error", err)
	}
	e.journal.settle(func(error) {})
}

// restorePause takes up a pause that the last run left: the newest flush in the
// audit log, if nobody has resumed since and its time is still to come.
func (e *Enforcer) restorePause(now time.Time) error {
	return e.journal.ledger.Audit(func(a Audit) bool {
		switch {
		case a.Action == ActionResume, now.Sub(a.Time) > MaxPause:
			return false
		case a.Action != ActionFlush:
			return true
		}
		if a.Until.After(now) {
			e.suspend(a.Time, a.Until)
			e.logger.Warn("blocking stays suspended until the pause is over", "author", a.Author, "note", a.Note, "until", a.Until)
		}
		return false
	})
}

// MaxPause is how long a pause may last.
const MaxPause = 30 * 24 * time.Hour

// Record puts an entry about something that was done elsewhere into the audit
// log; it returns when it is in the ledger.
func (e *Enforcer) Record(ctx context.Context, a Audit) error {
	return e.do(ctx, func() error {
		if a.Time.IsZero() {
			a.Time = time.Now()
		}
		e.journal.note(a)
		return nil
	})
}

// AuditLog yields the audit log, newest first.
func (e *Enforcer) AuditLog() iter.Seq2[Audit, error] {
	return func(yield func(Audit, error) bool) {
		if e.journal.ledger == nil {
			return
		}
		if err := e.journal.ledger.Audit(func(a Audit) bool { return yield(a, nil) }); err != nil {
			yield(Audit{}, err)
		}
	}
}

// HistoryOf yields the blocks of the last Config.History that overlap p, newest
// first, with their evidence and, of those that are over, how they ended. Those of
// others cost little.
func (e *Enforcer) HistoryOf(p netip.Prefix) iter.Seq2[Unblock, error] {
	return func(yield func(Unblock, error) bool) {
		if e.journal.ledger == nil {
			return
		}
		err := e.journal.ledger.HistoryOf(p, func(r ledger.Block) bool {
			u := Unblock{Block: blockOf(r), Ended: r.Ended, Cause: r.Cause, By: r.By, Why: r.Why}
			return yield(u, evidence(r.Detail, &u.Block))
		})
		if err != nil {
			yield(Unblock{}, err)
		}
	}
}

// WithEvidence returns b with its evidence, as far as the ledger still has it.
func (e *Enforcer) WithEvidence(b Block) (Block, error) {
	if e.journal.ledger == nil {
		return b, nil
	}
	detail, err := e.journal.ledger.Detail(b.ID)
	if err != nil {
		return b, err
	}
	err = evidence(detail, &b)
	return b, err
}

func evidence(detail json.RawMessage, b *Block) error {
	if len(detail) == 0 {
		return nil
	}
	if err := json.Unmarshal(detail, &b.Evidence); err != nil {
		return fmt.Errorf("evidence of block %d: %w", b.ID, err)
	}
	return nil
}

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

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }
