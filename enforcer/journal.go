package enforcer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"uppercut/enforcer/ledger"
)

// journal writes to the ledger in groups: while one group is on its way to the
// disk, the next gathers. So a power failure costs at most what came in while
// the disk was writing, some milliseconds; what is settled is on the disk.
type journal struct {
	ledger  *ledger.Ledger // nil: nothing is saved
	logger  *slog.Logger
	metrics *metrics
	wake    chan struct{}

	mu      sync.Mutex
	blocks  map[netip.Prefix]*ledger.Block // nil value: deleted
	allow   map[netip.Prefix]*ledger.Allow // likewise
	audit   []ledger.Audit
	settled []func(error)
	failing atomic.Bool // the last commit failed
}

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

func newJournal(l *ledger.Ledger, logger *slog.Logger, m *metrics) *journal {
	return &journal{
		ledger: l, logger: logger, metrics: m,
		wake:   make(chan struct{}, 1),
		blocks: map[netip.Prefix]*ledger.Block{},
		allow:  map[netip.Prefix]*ledger.Allow{},
	}
}

// entryOf is the ledger's form of b.
func entryOf(b Block) *ledger.Block {
	e := &ledger.Block{
		ID: b.ID, Prefix: b.Prefix, At: b.At, Until: b.Until, Rule: b.Rule, Score: b.Score,
		Reason: b.Reason, Host: b.Host, Observed: b.Observed, Note: b.Note, Author: b.Author,
	}
	if len(b.Evidence) > 0 {
		e.Detail, _ = json.Marshal(b.Evidence) // plain data always encodes
	}
	return e
}

func blockOf(e ledger.Block) Block {
	return Block{
		ID: e.ID, Prefix: e.Prefix, At: e.At, Until: e.Until, Rule: e.Rule, Score: e.Score,
		Reason: e.Reason, Host: e.Host, Observed: e.Observed, Note: e.Note, Author: e.Author,
	}
}

func (j *journal) put(b Block) {
	e := entryOf(b)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blocks[b.Prefix] = e
}

func (j *journal) delete(p netip.Prefix) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blocks[p] = nil
}

func (j *journal) setAllow(p netip.Prefix, a *ledger.Allow) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.allow[p] = a
}

func (j *journal) note(a ledger.Audit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.audit = append(j.audit, a)
}

// settle calls f once all that was put before is on the disk, or with the
// reason why it is not.
func (j *journal) settle(f func(error)) {
	j.mu.Lock()
	j.settled = append(j.settled, f)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run commits until ctx is cancelled, and then what is left.
func (j *journal) run(ctx context.Context) {
	pause := firstRetry
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			_ = j.commit() // it says so, and close tells
			return
		case <-j.wake:
		case <-retry:
		}
		retry = nil
		if err := j.commit(); err == nil {
			pause = firstRetry
		} else {
			retry = time.After(pause)
			pause = min(2*pause, lastRetry)
		}
	}
}

// commit writes all there is. What cannot be written stays, to be merged with
// what comes.
func (j *journal) commit() error {
	j.mu.Lock()
	blocks, allow, audit, settled := j.blocks, j.allow, j.audit, j.settled
	j.blocks, j.allow, j.audit, j.settled = map[netip.Prefix]*ledger.Block{}, map[netip.Prefix]*ledger.Allow{}, nil, nil
	j.mu.Unlock()
	err := j.write(blocks, allow, audit)
	if err != nil {
		j.restore(blocks, allow, audit)
	}
	j.report(err)
	for _, f := range settled {
		f(err)
	}
	return err
}

func (j *journal) write(blocks map[netip.Prefix]*ledger.Block, allow map[netip.Prefix]*ledger.Allow, audit []ledger.Audit) error {
	if j.ledger == nil || len(blocks)+len(allow)+len(audit) == 0 {
		return nil
	}
	b := ledger.Batch{Audit: audit}
	for p, e := range blocks {
		if e == nil {
			b.Delete = append(b.Delete, p)
		} else {
			b.Put = append(b.Put, *e)
		}
	}
	for p, a := range allow {
		if a == nil {
			b.Disallow = append(b.Disallow, p)
		} else {
			b.Allow = append(b.Allow, *a)
		}
	}
	return j.ledger.Commit(b)
}

// restore puts back what was not written, below what came since.
func (j *journal) restore(blocks map[netip.Prefix]*ledger.Block, allow map[netip.Prefix]*ledger.Allow, audit []ledger.Audit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, e := range blocks {
		if _, newer := j.blocks[p]; !newer {
			j.blocks[p] = e
		}
	}
	for p, a := range allow {
		if _, newer := j.allow[p]; !newer {
			j.allow[p] = a
		}
	}
	j.audit = append(audit, j.audit...)
}

// report counts a commit and logs the first failure of a row.
func (j *journal) report(err error) {
	if j.ledger == nil {
		return
	}
	if err == nil {
		j.metrics.saved.SetToCurrentTime()
		j.metrics.ledgerOK.Set(1)
		if j.failing.Swap(false) {
			j.logger.Info("ledger can be written again")
		}
		return
	}
	j.metrics.saveFailures.Inc()
	j.metrics.ledgerOK.Set(0)
	if !j.failing.Swap(true) {
		j.logger.Error("ledger cannot be written: blocks are enforced but not saved", "err", err)
	}
}

// pending reports whether anything is not on the disk.
func (j *journal) pending() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.blocks)+len(j.allow)+len(j.audit) > 0
}

func (j *journal) close() error {
	if j.ledger == nil {
		return nil
	}
	var unsaved error
	if j.pending() {
		unsaved = errors.New("ledger: the last blocks could not be saved")
	}
	return errors.Join(unsaved, j.ledger.Close())
}

// failed reports whether the last commit failed.
func (j *journal) failed() bool { return j.failing.Load() }
