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
	past    []ledger.Block // have ended before they were written
	ends    []ledger.End
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
		Reason: b.Reason, Host: b.Host, Observed: b.Observed, Note: b.Note, Author: b.Author, Witness: b.Witness,
	}
	if len(b.Evidence) > 0 {
		e.Detail, _ = json.Marshal(b.Evidence) // plain data always encodes
	}
	return e
}

func blockOf(e ledger.Block) Block {
	return Block{
		ID: e.ID, Prefix: e.Prefix, At: e.At, Until: e.Until, Rule: e.Rule, Score: e.Score,
		Reason: e.Reason, Host: e.Host, Observed: e.Observed, Note: e.Note, Author: e.Author, Witness: e.Witness,
	}
}

func (j *journal) put(b Block) {
	if b.Rule == Listed {
		return // its list is kept elsewhere
	}
	e := entryOf(b)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blocks[b.Prefix] = e
}

// refused takes out a block that the kernel did not take.
func (j *journal) refused(p netip.Prefix) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blocks[p] = nil
}

// end notes how a block ended that is no longer in force.
func (j *journal) end(u Unblock) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteEnd(u)
	j.blocks[u.Prefix] = nil
}

// replaced notes the end of a block in whose place another comes.
func (j *journal) replaced(u Unblock) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteEnd(u)
}

// noteEnd is for the holder of the lock. A block that has not been written yet
// goes into the history with its end.
func (j *journal) noteEnd(u Unblock) {
	if u.Rule == Listed {
		return // the ledger does not know it
	}
	end := ledger.End{ID: u.ID, Ended: u.Ended, Cause: u.Cause, By: u.By, Why: u.Why}
	if waiting := j.blocks[u.Prefix]; waiting != nil && waiting.ID == u.ID {
		past := *waiting
		past.End = end
		j.past = append(j.past, past)
		return
	}
	j.ends = append(j.ends, end)
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

// group is what one commit writes.
type group struct {
	blocks  map[netip.Prefix]*ledger.Block
	allow   map[netip.Prefix]*ledger.Allow
	audit   []ledger.Audit
	past    []ledger.Block
	ends    []ledger.End
	settled []func(error)
}

// take takes all there is.
func (j *journal) take() group {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := group{j.blocks, j.allow, j.audit, j.past, j.ends, j.settled}
	j.blocks, j.allow = map[netip.Prefix]*ledger.Block{}, map[netip.Prefix]*ledger.Allow{}
	j.audit, j.past, j.ends, j.settled = nil, nil, nil, nil
	return g
}

// commit writes all there is. What cannot be written stays, to be merged with
// what comes.
func (j *journal) commit() error {
	g := j.take()
	err := j.write(&g)
	if err != nil {
		j.restore(&g)
	}
	j.report(err)
	for _, f := range g.settled {
		f(err)
	}
	return err
}

func (j *journal) write(g *group) error {
	if j.ledger == nil || len(g.blocks)+len(g.allow)+len(g.audit)+len(g.past)+len(g.ends) == 0 {
		return nil
	}
	b := ledger.Batch{Audit: g.audit, Past: g.past, Ends: g.ends}
	for p, e := range g.blocks {
		if e == nil {
			b.Delete = append(b.Delete, p)
		} else {
			b.Put = append(b.Put, *e)
		}
	}
	for p, a := range g.allow {
		if a == nil {
			b.Disallow = append(b.Disallow, p)
		} else {
			b.Allow = append(b.Allow, *a)
		}
	}
	return j.ledger.Commit(b)
}

// restore puts back what was not written, below what came since.
func (j *journal) restore(g *group) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, e := range g.blocks {
		if _, newer := j.blocks[p]; !newer {
			j.blocks[p] = e
		}
	}
	for p, a := range g.allow {
		if _, newer := j.allow[p]; !newer {
			j.allow[p] = a
		}
	}
	j.audit = append(g.audit, j.audit...)
	j.past = append(g.past, j.past...)
	j.ends = append(g.ends, j.ends...)
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
	return len(j.blocks)+len(j.allow)+len(j.audit)+len(j.past)+len(j.ends) > 0
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
