package enforcer

import (
	"context"
	"net/netip"
)

// Recheck asks Options.Exempt and Options.Holes again, about every block or
// about those that overlap one of changed, which have become exempt or have
// ceased to be. It lifts the blocks that have become exempt, and blocks what is
// no longer left out of networks.
func (e *Enforcer) Recheck(ctx context.Context, changed ...netip.Prefix) error {
	return e.do(ctx, func() error {
		region := canonicals(changed)
		exempt, touched := e.refit(region, e.list.Overlapping(region))
		e.write(touched)
		for cause, ps := range exempt {
			e.unblock(ps, Unblock{Cause: endOf(cause)})
		}
		return e.kernelError()
	})
}
