package enforcer

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"uppercut/enforcer/ledger"
)

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
