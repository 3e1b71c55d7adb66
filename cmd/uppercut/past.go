package main

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/enforcer"
)

// What was: the audit log, and earlier blocks with how they ended.

// Audit implements console.Reader.
func (a *appliance) Audit(context.Context) iter.Seq2[console.AuditEntry, error] {
	return func(yield func(console.AuditEntry, error) bool) {
		for e, err := range a.enforcer.AuditLog() {
			if !yield(console.AuditEntry(e), err) {
				return
			}
		}
	}
}

// maxHistory limits the earlier blocks that are shown.
const maxHistory = 20

// describeHistory fills in the earlier blocks of a source, newest first.
func (a *appliance) describeHistory(w *console.Why) error {
	var blocks []enforcer.Block
	for b, err := range a.enforcer.HistoryOf(w.Source) {
		if err != nil {
			return err
		}
		if blocks = append(blocks, b); len(blocks) > maxHistory {
			break
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	lifts, err := a.lifts(w.Source, blocks[len(blocks)-1].At)
	if err != nil {
		return err
	}
	now := time.Now()
	for i, b := range blocks {
		if w.Block != nil && b.ID == w.Block.ID {
			continue
		}
		if len(w.History) == maxHistory {
			break
		}
		past := console.PastBlock{Block: blockForPeople(b)}
		if current, ok := a.enforcer.Current(b.Prefix); !ok || current.ID != b.ID {
			past.Ended, past.Cause = ending(b, blocks[:i], lifts, now)
		}
		w.History = append(w.History, past)
	}
	return nil
}

// lifts are the entries of the audit log since then that may have lifted blocks
// of p, newest first.
func (a *appliance) lifts(p netip.Prefix, since time.Time) (found []enforcer.Audit, err error) {
	for e, err := range a.enforcer.AuditLog() {
		if err != nil {
			return nil, err
		}
		if e.Time.Before(since) {
			break
		}
		switch e.Action {
		case enforcer.ActionUnblock, enforcer.ActionAllow:
			if slices.ContainsFunc(e.Prefixes, p.Overlaps) {
				found = append(found, e)
			}
		case enforcer.ActionFlush:
			if e.Count > 0 { // it forgot them all
				found = append(found, e)
			}
		}
	}
	return found, nil
}

// The ways in which a block ended, as far as can be told afterwards.
const (
	endExpired  = "expired"
	endReplaced = "replaced"
	endManual   = "manual"
	endAllowed  = "allowlisted"
	endFlushed  = "flushed"
	endBreaker  = "breaker"
	endUnknown  = "unknown"
)

// ending tells when a block that is no longer in force ended, and how: by the
// next block of the same prefix, by an order, or else when its time was up. If
// that is to come, something ended it that the ledger does not have: to make
// room, or because it became exempt. Then the time is zero.
func ending(b enforcer.Block, newer []enforcer.Block, lifts []enforcer.Audit, now time.Time) (at time.Time, cause string) {
	at, cause = b.Until, endExpired
	sooner := func(t time.Time, why string) {
		if !t.Before(b.At) && t.Before(at) {
			at, cause = t, why
		}
	}
	for _, n := range newer {
		if n.Prefix == b.Prefix {
			sooner(n.At, endReplaced)
		}
	}
	for _, lift := range lifts {
		covers := func(p netip.Prefix) bool {
			return lift.Action == enforcer.ActionUnblock && p.Overlaps(b.Prefix) || p.Bits() <= b.Prefix.Bits() && p.Contains(b.Prefix.Addr())
		}
		switch {
		case lift.Action == enforcer.ActionFlush:
			sooner(lift.Time, endFlushed)
		case !slices.ContainsFunc(lift.Prefixes, covers):
		case lift.Action == enforcer.ActionAllow:
			sooner(lift.Time, endAllowed)
		case lift.Author == enforcer.BreakerAuthor:
			sooner(lift.Time, endBreaker)
		default:
			sooner(lift.Time, endManual)
		}
	}
	if at.After(now) {
		return time.Time{}, endUnknown
	}
	return at, cause
}
