package enforcer

import (
	"context"
	"errors"

	"uppercut/enforcer/nft"
)

// FlushStopped removes the table when no appliance runs, and nothing else. The
// ledger in o.StateDir stays, so the next start brings its blocks back, unless
// forget is set. The author of an order to forget is in the audit log.
func FlushStopped(ctx context.Context, c Config, o Options, author, note string, forget bool) error {
	firewall, err := nft.Open(c.firewall(o.NetNS))
	if err != nil {
		return explain(err)
	}
	if err := errors.Join(firewall.Remove(), firewall.Close()); err != nil {
		return explain(err)
	}
	if !forget {
		return nil
	}
	// One that observes has the list and the ledger, and no firewall to fill.
	o.Observe = true
	e, err := New(ctx, c, o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	err = e.Flush(ctx, author, note, true)
	stop()
	return errors.Join(err, <-ended)
}
