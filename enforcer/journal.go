package enforcer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"uppercut/enforcer/ledger"
	"uppercut/enforcer/nft"
)

// journal writes to the ledger in groups: while one group is on its way to the
// disk, the next gathers. So a power failure costs at most what came in while
// the disk was writing, some milliseconds; what is settled is on the disk.
//
// A group is bounded: while the disk takes what it is given, who brings more
// waits (await). If it does not, blocking goes on, and of what is too much only
// the prefixes are kept, to be looked up in the list when the time has come: their
// evidence is lost.
type journal struct {
	ledger  *ledger.Ledger // nil: nothing is saved
	logger  *slog.Logger
	metrics *metrics
	wake    chan struct{}
	keep    uint64                           // blocks in the history
	current func(netip.Prefix) (Block, bool) // the list's

	mu      sync.Mutex
	room    sync.Cond                      // a group was taken
	blocks  map[netip.Prefix]*ledger.Block // nil value: deleted
	lean    map[netip.Prefix]uint32        // to be looked up in the list; how often it changed
	allow   map[netip.Prefix]*ledger.Allow // as blocks
	audit   []ledger.Audit
	past    []ledger.Block // have ended before they were written
	ends    []ledger.End
	lastID  uint64 // of what was put
	settled []func(error)
	held    []func()    // wait until all is saved
	failing atomic.Bool // the last commit failed
	// busy is since when a commit has been running, in Unix nanoseconds, 0 while
	// none is.
	busy atomic.Int64
}

const (
	// journalBlocks is how many blocks gather before others wait.
	journalBlocks = 8 * nft.MaxBatch
	// journalPatience is how long a commit may take before nobody waits for it.
	journalPatience = time.Second
)

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

func newJournal(l *ledger.Ledger, logger *slog.Logger, m *metrics) *journal {
	j := &journal{
		ledger: l, logger: logger, metrics: m,
		wake:    make(chan struct{}, 1),
		keep:    math.MaxUint64,
		current: func(netip.Prefix) (Block, bool) { return Block{}, false },
		blocks:  map[netip.Prefix]*ledger.Block{},
		lean:    map[netip.Prefix]uint32{},
		allow:   map[netip.Prefix]*ledger.Allow{},
	}
	j.room.L = &j.mu
	return j
}

// await waits while a whole group is waiting for the disk, as long as that takes
// what it is given.
func (j *journal) await() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.ledger != nil && !j.failing.Load() && len(j.blocks) >= journalBlocks && !j.stalled(time.Now()) {
		timer := time.AfterFunc(journalPatience, j.room.Broadcast)
		j.room.Wait()
		timer.Stop()
	}
}

// stalled reports whether a commit has been running for too long.
func (j *journal) stalled(now time.Time) bool {
	since := j.busy.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) >= journalPatience
}

// set notes what becomes of p's block: e, or none if that is nil. The caller holds
// the lock.
func (j *journal) set(p netip.Prefix, e *ledger.Block) {
	if _, waits := j.blocks[p]; !waits && len(j.blocks) >= 2*journalBlocks && j.ledger != nil {
		j.lean[p]++
		return
	}
	delete(j.lean, p)
	j.blocks[p] = e
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
	j.lastID = max(j.lastID, b.ID)
	j.set(b.Prefix, e)
}

// refused takes out a block that the kernel did not take.
func (j *journal) refused(p netip.Prefix) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.set(p, nil)
}

// end notes how a block ended that is no longer in force.
func (j *journal) end(u Unblock) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteEnd(u)
	j.set(u.Prefix, nil)
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
	if j.ledger == nil || u.Rule == Listed || u.ID < j.lastID && j.lastID-u.ID >= j.keep {
		return // its history is not kept
	}
	end := ledger.End{ID: u.ID, Ended: u.Ended, Cause: u.Cause, By: u.By, Why: u.Why}
	if waiting := j.blocks[u.Prefix]; waiting != nil && waiting.ID == u.ID {
		past := *waiting
		past.End = end
		j.past = newest(append(j.past, past), j.keep)
		return
	}
	j.ends = newest(append(j.ends, end), j.keep)
}

// newest drops the oldest of more than twice what is kept.
func newest[T any](all []T, keep uint64) []T {
	if n := uint64(len(all)); n/2 > keep {
		return slices.Clone(all[n-keep:])
	}
	return all
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
	j.awaken()
}

// run commits until ctx is cancelled, and then what is left.
func (j *journal) run(ctx context.Context) {
	pause := firstRetry
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			for j.commit() == nil && j.pending() { // else it says so, and close tells
			}
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

// settleSaved calls f once all that was put before is on the disk, however long
// that takes.
func (j *journal) settleSaved(f func()) {
	j.settle(func(err error) {
		if err == nil {
			f()
			return
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.held = append(j.held, f)
	})
}

// commitGroup is what one commit writes.
type commitGroup struct {
	blocks  map[netip.Prefix]*ledger.Block
	lean    []netip.Prefix
	allow   map[netip.Prefix]*ledger.Allow
	audit   []ledger.Audit
	past    []ledger.Block
	ends    []ledger.End
	settled []func(error)
	held    []func()
}

// take takes all there is, of prefixes alone no more than a group. As long as
// some are left nothing is settled.
func (j *journal) take() commitGroup {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := commitGroup{blocks: j.blocks, allow: j.allow, audit: j.audit, past: j.past, ends: j.ends}
	j.blocks, j.allow = map[netip.Prefix]*ledger.Block{}, map[netip.Prefix]*ledger.Allow{}
	j.audit, j.past, j.ends = nil, nil, nil
	for p := range j.lean {
		if len(g.lean) == journalBlocks {
			break
		}
		g.lean = append(g.lean, p)
		delete(j.lean, p)
	}
	if len(j.lean) == 0 || j.failing.Load() {
		g.settled, g.held = j.settled, j.held
		j.settled, j.held = nil, nil
	} else {
		j.awaken()
	}
	j.room.Broadcast()
	return g
}

func (j *journal) awaken() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// commit writes all there is. What cannot be written stays, to be merged with
// what comes.
func (j *journal) commit() error {
	g := j.take()
	j.busy.Store(time.Now().UnixNano())
	err := j.write(&g)
	j.busy.Store(0)
	if err != nil {
		j.restore(&g)
	}
	j.report(err)
	for _, f := range g.settled {
		f(err)
	}
	if err == nil {
		for _, f := range g.held {
			f()
		}
	}
	return err
}

func (j *journal) write(g *commitGroup) error {
	if j.ledger == nil || len(g.blocks)+len(g.lean)+len(g.allow)+len(g.audit)+len(g.past)+len(g.ends) == 0 {
		return nil
	}
	b := ledger.Batch{Audit: g.audit, Past: g.past, Ends: g.ends}
	for _, p := range g.lean {
		if _, newer := g.blocks[p]; newer {
			continue
		}
		if current, ok := j.current(p); ok && current.Rule != Listed {
			b.Put = append(b.Put, *entryOf(current))
		} else {
			b.Delete = append(b.Delete, p)
		}
	}
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
func (j *journal) restore(g *commitGroup) {
	defer j.prune()
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, e := range g.blocks {
		if _, newer := j.blocks[p]; !newer {
			j.set(p, e)
		}
	}
	for _, p := range g.lean {
		if _, newer := j.blocks[p]; !newer {
			j.lean[p]++
		}
	}
	for p, a := range g.allow {
		if _, newer := j.allow[p]; !newer {
			j.allow[p] = a
		}
	}
	j.audit = append(g.audit, j.audit...)
	j.past = newest(append(g.past, j.past...), j.keep)
	j.ends = newest(append(g.ends, j.ends...), j.keep)
	j.held = append(g.held, j.held...)
}

// manyLean is how many prefixes alone may wait before they are looked through.
const manyLean = 1 << 20

// prune forgets prefixes that are neither blocked nor in the ledger.
func (j *journal) prune() {
	j.mu.Lock()
	var waiting map[netip.Prefix]uint32
	if len(j.lean) >= manyLean {
		waiting = maps.Clone(j.lean)
	}
	j.mu.Unlock()
	for p := range waiting {
		if _, blocked := j.current(p); blocked || j.ledger.Has(p) {
			delete(waiting, p)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, changes := range waiting {
		if j.lean[p] == changes { // nothing has become of it since
			delete(j.lean, p)
		}
	}
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
			j.logger.Info("ledger is writable again")
		}
		return
	}
	j.metrics.saveFailures.Inc()
	j.metrics.ledgerOK.Set(0)
	if !j.failing.Swap(true) {
		j.logger.Error("cannot write the ledger: blocks are enforced but not saved", "error", err)
	}
}

// pending reports whether anything is not on the disk.
func (j *journal) pending() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.blocks)+len(j.lean)+len(j.allow)+len(j.audit)+len(j.past)+len(j.ends) > 0
}

// waiting is the number of blocks that are not on the disk.
func (j *journal) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.blocks) + len(j.lean)
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
