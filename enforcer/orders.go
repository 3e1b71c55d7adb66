package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/gaissmai/bart"
	"golang.org/x/sys/unix"

	"uppercut/enforcer/blocklist"
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
		p, ok := blocklist.Canonical(p)
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
		blocked := e.inForce(slices.SortedFunc(e.list.Overlapping(wanted), netip.Prefix.Compare))
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
		if p, ok := blocklist.Canonical(p); ok {
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

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }
