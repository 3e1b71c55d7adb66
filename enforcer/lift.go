package enforcer

import "net/netip"

// BreakerAuthor is who orders, in the audit log, that blocks end because the
// judge no longer stands by them.
const BreakerAuthor = "breaker"

// Lift ends the blocks of exactly these prefixes, because what they were decided
// on does not count any more; why stands in the audit log. Blocks by hand stay.
// Like Block it never waits, and what was asked for before is done first.
func (e *Enforcer) Lift(why string, ps ...netip.Prefix) {
	wanted := canonicals(ps)
	e.queue.command(func() {
		var decided []netip.Prefix
		for _, p := range wanted {
			if b, ok := e.Current(p); ok && b.Rule != Manual {
				decided = append(decided, p)
			}
		}
		if len(decided) == 0 {
			return
		}
		lifted := e.unblock(decided, Unblock{Cause: causeBreaker, Why: why})
		e.record(ActionUnblock, BreakerAuthor, why, lifted, 0)
		e.journal.settle(func(error) {})
	})
}
