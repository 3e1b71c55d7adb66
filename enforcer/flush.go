package enforcer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"uppercut/enforcer/ledger"
	"uppercut/enforcer/nft"
)

// FlushStopped removes the table when no appliance runs, and nothing else. The
// ledger in o.StateDir stays, so the next start brings its blocks back, unless
// forget is set. The order stands in the audit log if there is a ledger. Without
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
		if err := noteFlush(filepath.Join(o.StateDir, LedgerFile), author, note); err != nil {
			return found, fmt.Errorf("the table was removed, but this is not in the audit log: %w", err)
		}
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
	err = e.Flush(ctx, author, note, time.Time{}, true)
	stop()
	return found, errors.Join(err, <-ended)
}

// noteFlush adds to the audit log of a ledger that is not in use, if it exists.
func noteFlush(path, author, note string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	const all = math.MaxInt64 // the configuration, which says how much is kept, may be what is wrong
	l, err := ledger.Open(path, ledger.Options{History: all, Audit: all})
	if err != nil {
		return err
	}
	entry := Audit{Time: time.Now(), Action: ActionFlush, Author: author, Note: note}
	return errors.Join(l.Commit(ledger.Batch{Audit: []Audit{entry}}), l.Close())
}
