package enforcer

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Flush removes the table and touches nothing else, and writes none until Resume,
// until the time until, or without one until the next start. The list and the
// ledger stay, and go on, unless forget is set; then the entry in the audit log
// counts the blocks.
func (e *Enforcer) Flush(ctx context.Context, author, note string, until time.Time, forget bool) error {
	return e.do(ctx, func() error {
		e.suspend(time.Now(), until)
		var forgotten []netip.Prefix
		if forget {
			forgotten = slices.Collect(e.list.All())
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
	e.changes.reset()
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

// Resume ends what Flush began: the list is in the kernel when it returns.
func (e *Enforcer) Resume(ctx context.Context, author, note string) error {
	return e.do(ctx, func() error { return e.resume(author, note) })
}

func (e *Enforcer) resume(author, note string) error {
	e.mu.Lock()
	e.suspended, e.since, e.pausedUntil = false, time.Time{}, time.Time{}
	e.changes.reset()
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
