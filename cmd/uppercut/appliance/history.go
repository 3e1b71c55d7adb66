package appliance

import (
	"context"
	"iter"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/enforcer"
)

// What was: the audit log, and earlier blocks with how they ended.

// Audit implements console.Reader.
func (a *Appliance) Audit(context.Context) iter.Seq2[console.AuditEntry, error] {
	return func(yield func(console.AuditEntry, error) bool) {
		for e, err := range a.enforcer.AuditLog() {
			if !yield(console.AuditEntry(e), err) {
				return
			}
		}
	}
}

// MaxHistory limits the earlier blocks that are shown.
const MaxHistory = 20

// describeHistory fills in the earlier blocks of a source, newest first.
func (a *Appliance) describeHistory(w *console.Why) error {
	now := time.Now()
	for past, err := range a.enforcer.HistoryOf(w.Source) {
		if err != nil {
			return err
		}
		if w.Block != nil && past.ID == w.Block.ID {
			continue
		}
		if len(w.History) == MaxHistory {
			break
		}
		entry := console.PastBlock{Block: blockForPeople(past.Block)}
		if current, ok := a.enforcer.Current(past.Prefix); !ok || current.ID != past.ID {
			entry.Ended, entry.Cause = ending(past, now)
		}
		w.History = append(w.History, entry)
	}
	return nil
}

// The ways in which a block ended of which the ledger has no end: it was written
// by an uppercut that kept none, or a crash came between.
const (
	endExpired = "expired"
	endUnknown = "unknown"
)

// ending tells when a block that is no longer in force ended, and how. If nothing
// is known but that its time is not up, the time is zero.
func ending(past enforcer.Unblock, now time.Time) (at time.Time, cause string) {
	switch {
	case past.Cause != "":
		return past.Ended, past.Cause
	case past.Until.After(now):
		return time.Time{}, endUnknown
	}
	return past.Until, endExpired
}
