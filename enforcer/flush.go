package enforcer

import (
	"context"
	"errors"

	"uppercut/enforcer/nft"
)

// FlushStopped removes the table when no appliance runs, and nothing else. The
// ledger in o.StateDir stays, so the next start brings its blocks back, unless
// forget is set. The author of an order to forget is in the audit log. Without
// forget c may be anything: the table has one name, whatever is in it. It reports
// whether there was a table.
func FlushStopped(ctx context.Context, c Config, o Options, author, note string, forget bool) (found bool, err error) {
	firewall, err := nft.Open(DefaultConfig().firewall(o.NetNS))
	if err != nil {
		return false, explain(err)
	}
	found, err = firewall.Present()
	if err := errors.Join(err, firewall.Remove(), firewall.Close()); err != nil {
		return found, explain(err)
	}
	if !forget {
		return found, nil
	}
	// One that observes has the list and the ledger, and no firewall to fill.
	o.Observe = true
	e, err := New(ctx, c, o)
	if err != nil {
		return found, err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	err = e.Flush(ctx, author, note, true)
	stop()
	return found, errors.Join(err, <-ended)
}
