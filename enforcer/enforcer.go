package enforcer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/enforcer/blocklist"
	"uppercut/enforcer/ledger"
	"uppercut/enforcer/nft"
)

// LedgerFile is the ledger's name in the state directory.
const LedgerFile = "ledger.db"

// Block is one entry of the list.
type Block = blocklist.Block

// Evidence is a log line that led to a block, secrets masked.
type Evidence = blocklist.Evidence

// Query says which blocks to find.
type Query = blocklist.Query

// Place is where a block stands in a list.
type Place = blocklist.Place

// The rules of blocks that no offence led to: those by hand, and those that a block
// list asks for.
const (
	Manual = blocklist.Manual
	Listed = blocklist.Listed
)

// Forever is the end of a block that stays until somebody lifts it.
var Forever = blocklist.Forever

// endInLog is when a block ends, for the log.
func endInLog(b Block) any {
	if b.Permanent() {
		return "forever"
	}
	return b.Until
}

// Options are an Enforcer's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// StateDir is where the ledger lives; it is made if it is not there.
	StateDir string
	// Rules are the names of the rules that give blocks: their counters start
	// at 0, so that a rule's first block is seen as an increase.
	Rules []string
	// Listed is the block list at the start, see SetListed: its blocks are in the
	// kernel when New returns.
	Listed []netip.Prefix
	// Observe: decide and record, but touch no firewall.
	Observe bool
	// NetNS is the file descriptor of the network namespace to enforce in; 0
	// is the process's own.
	NetNS int
	// Exempt says why p must not be blocked, "" if it may be. It is asked
	// for every block of an address, also by hand and after a restart. nil
	// exempts nobody.
	Exempt func(p netip.Prefix) (cause string)
	// Holes says what a block of the network p must leave out, or why not
	// even that helps. It is asked instead of Exempt for every block of more
	// than an address. nil is Exempt without holes.
	Holes func(p netip.Prefix) (holes []netip.Prefix, cause string)
	// OnBlock hears of each block, with its evidence, when it is on the list
	// and the ledger has been written or cannot be; OnUnblock of its end, and
	// never before: what the log says of them. The block is in the kernel as
	// soon as that takes it, and not while the firewall is suspended. They are
	// called by the Enforcer's goroutines, must not wait and must not call the
	// Enforcer. nil hears nothing.
	OnBlock   func(Block)
	OnUnblock func(Unblock)

	noCounts bool // see nft.Config
}

// Unblock is the end of a block.
type Unblock struct {
	Block
	// Ended is when; zero in the history of a block that is still in force, or
	// of which that is not known.
	Ended time.Time
	// Cause is expired, manual, allowlisted, flushed, capacity or breaker (see
	// Lift), or what
	// Options.Exempt says of one that must not be blocked, as "ssh_peer".
	Cause string
	// By is who ordered it and Why what they noted, "" if nobody did.
	By, Why string
}

// Enforcer owns the list. All methods are safe for concurrent use.
type Enforcer struct {
	config   Config
	options  Options
	logger   *slog.Logger
	metrics  *metrics
	queue    *queue
	changes  *changes
	journal  *journal
	firewall *nft.Firewall // nil in observe mode
	kernel   kernelState   // of the goroutine in Run
	beat     atomic.Int64  // when that goroutine last came around, in Unix nanoseconds
	crowding crowding      // likewise
	around   around        // what goes past the rules
	lag      atomic.Int64  // what the slowest write since the last rebuild, and that, took, in nanoseconds
	deaf     atomic.Bool   // the kernel's announcements do not reach us

	// mu guards what follows. Only New and the goroutine in Run write it.
	mu        sync.RWMutex
	list      *blocklist.List
	allowed   map[netip.Prefix]ledger.Allow
	exempt    bart.Table[struct{}] // allowed
	lastID    uint64
	suspended bool
	since     time.Time // when it was suspended
	// pausedUntil is when that ends by itself, zero if it does not.
	pausedUntil time.Time
	trouble     error // why the kernel does not enforce the list; nil if it does
	lastDrops   [2]nft.Drops
	drift       []Drift
}

// New opens the ledger and builds the firewall objects; every block that is
// still due is in the kernel when it returns.
//
// Without CAP_NET_ADMIN the error wraps fs.ErrPermission and says what to do.
// A ledger that cannot be used is logged as an error and no reason to let
// packets pass: what the kernel has stays there, and new blocks are enforced
// but not saved.
func New(ctx context.Context, c Config, o Options) (*Enforcer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	m := newMetrics(o.Registerer)
	m.presetRules(o.Rules)
	e := &Enforcer{
		config: c, options: o, logger: o.Logger, metrics: m,
		queue:   newQueue(),
		changes: newChanges(time.Now()),
		list:    blocklist.New(c.IPv6PrefixLength, time.Now()),
		allowed: map[netip.Prefix]ledger.Allow{},
	}
	e.comeAround()
	e.journal = newJournal(e.openLedger(), o.Logger, m)
	e.journal.keep, e.journal.current = uint64(c.History), e.listed
	if err := e.restore(ctx); err != nil {
		return nil, errors.Join(err, e.journal.close())
	}
	e.enlist(canonicals(o.Listed))
	if err := e.start(); err != nil {
		return nil, errors.Join(err, e.journal.close())
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(newCollector(e)); err != nil {
			return nil, errors.Join(fmt.Errorf("register metrics: %w", err), e.Close())
		}
	}
	return e, nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnBlock == nil {
		o.OnBlock = func(Block) {}
	}
	if o.OnUnblock == nil {
		o.OnUnblock = func(Unblock) {}
	}
}

// openLedger returns nil for one that cannot be used.
func (e *Enforcer) openLedger() *ledger.Ledger {
	path := filepath.Join(e.options.StateDir, LedgerFile)
	err := os.MkdirAll(e.options.StateDir, 0o750)
	var l *ledger.Ledger
	if err == nil {
		l, err = ledger.Open(path, ledger.Options{History: uint64(e.config.History), Audit: uint64(e.config.Audit)})
	}
	if err != nil {
		e.unsaved(err)
		return nil
	}
	e.metrics.ledgerOK.Set(1)
	return l
}

// unsaved says that there is no ledger, and what to do about it.
func (e *Enforcer) unsaved(err error) {
	e.metrics.ledgerOK.Set(0)
	e.logger.Error("ledger cannot be used: existing blocks stay in the kernel, new blocks are enforced but not saved",
		"error", err, "remedy", remedyOf(err))
}

func remedyOf(err error) string {
	switch {
	case errors.Is(err, ledger.ErrLocked):
		return "stop the other uppercut that uses this state_dir, then restart"
	case errors.Is(err, ledger.ErrNewer):
		return "run the newer uppercut; or move the ledger away and restart, with enforcer.foreign: adopt to keep the blocks in the kernel"
	case errors.Is(err, ledger.ErrDamaged):
		return "restore a copy and restart; or move the ledger away and restart, with enforcer.foreign: adopt to keep the blocks in the kernel"
	case errors.Is(err, ledger.ErrLink):
		return "set state_dir to the directory that holds the ledger itself, then restart"
	case errors.Is(err, fs.ErrPermission):
		return "give the user that runs uppercut write access to state_dir, then restart"
	}
	return "make sure that state_dir is writable and has free space, then restart"
}

// restore reads the ledger into the list: what is still due and not exempt.
func (e *Enforcer) restore(ctx context.Context) error {
	if e.journal.ledger == nil {
		return nil
	}
	err := errors.Join(e.restoreAllowed(), e.restoreBlocks(ctx), e.restorePause(time.Now()))
	if errors.Is(err, ledger.ErrDamaged) || errors.Is(err, ledger.ErrNewer) {
		err = errors.Join(err, e.journal.ledger.Close())
		e.journal.ledger = nil
		e.list = e.emptyList() // what was read may be what was long lifted
		e.unsaved(err)
		return nil
	}
	return err
}

// emptyList is a list that has the holes of the allow list and no blocks.
func (e *Enforcer) emptyList() *blocklist.List {
	l := blocklist.New(e.config.IPv6PrefixLength, time.Now())
	for p := range e.allowed {
		l.AddHole(p)
	}
	return l
}

func (e *Enforcer) restoreAllowed() error {
	list, err := e.journal.ledger.Allowed()
	if err != nil {
		return err
	}
	now := time.Now()
	for _, a := range list {
		if !a.Until.IsZero() && !a.Until.After(now) {
			e.journal.setAllow(a.Prefix, nil)
			continue
		}
		e.allowed[a.Prefix] = a
		e.exempt.Insert(a.Prefix, struct{}{})
		e.list.AddHole(a.Prefix)
	}
	return nil
}

func (e *Enforcer) restoreBlocks(ctx context.Context) error {
	now := time.Now()
	last, err := e.journal.ledger.LastID()
	if err != nil {
		return err
	}
	e.lastID = last
	var nets []netip.Prefix
	err = e.journal.ledger.Blocks(func(r ledger.Block) error {
		b := blockOf(r)
		cause, holes := e.unwanted(&b, now)
		if cause != "" {
			e.metrics.ended(cause, 1)
			ended := now
			if cause == causeExpired {
				ended = b.Until
			}
			e.journal.end(Unblock{Block: b, Ended: ended, Cause: cause})
			return ctx.Err()
		}
		for _, hole := range canonicals(holes) {
			e.list.AddHole(hole)
		}
		if e.list.Restore(&b, now) { // since now, for we may have been away
			nets = append(nets, b.Prefix)
		}
		return nil
	})
	for _, p := range nets {
		e.list.Recut(p)
	}
	e.journal.settle(func(error) {}) // the ends of those that are over
	return err
}

// unwanted says why a block of the ledger is not restored, and else what to
// leave out of it.
func (e *Enforcer) unwanted(b *Block, now time.Time) (cause string, holes []netip.Prefix) {
	switch {
	case !b.Until.After(now):
		return causeExpired, nil
	case b.Observed && !e.options.Observe:
		return causeReplaced, nil // what was only observed is not enforced later
	}
	holes, cause = e.exemption(b.Prefix)
	return endOf(cause), holes
}

// start makes the kernel agree with the list.
func (e *Enforcer) start() error {
	if e.options.Observe {
		return nil
	}
	f, err := nft.Open(e.options.firewall(e.config))
	if err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	e.firewall = f
	if e.suspended {
		if err := e.removeTable(); err != nil {
			return errors.Join(err, f.Close())
		}
		return nil
	}
	if err := e.takeOver(); err != nil {
		return errors.Join(explain(err), f.Close())
	}
	e.follow(nft.Change{})
	debug.FreeOSMemory() // a million elements in one message leave a large buffer
	return nil
}

// ErrPrivilege says that the kernel does not let us write the firewall.
var ErrPrivilege = fmt.Errorf("%w: writing nftables needs CAP_NET_ADMIN: grant it (as root, AmbientCapabilities=CAP_NET_ADMIN, or --cap-add NET_ADMIN), or set `mode: observe`", fs.ErrPermission)

// explain says what can be done about err.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("firewall: %w", ErrPrivilege)
	}
	return fmt.Errorf("firewall: %w", err)
}

// Close closes ledger and sockets of an Enforcer whose Run was never called or
// has returned. The kernel's blocks stay.
func (e *Enforcer) Close() error {
	e.queue.close()
	err := e.journal.close()
	if e.firewall != nil {
		err = errors.Join(err, e.firewall.Close())
	}
	return err
}

// Run writes blocks to the kernel and the ledger until ctx is cancelled, then
// writes what is still waiting, closes the ledger and returns. The kernel's
// blocks stay. It is called once.
func (e *Enforcer) Run(ctx context.Context) error {
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() { e.journal.run(saving) })
	changes, stopWatching := e.watch(&others)
	e.loop(ctx, changes)
	e.queue.close()
	e.drain()
	stopWatching()
	stopSaving()
	others.Wait()
	return e.Close()
}

// sweepInterval is how often ended blocks are taken out of the list. The
// kernel has let them go by itself.
const sweepInterval = time.Second

func (e *Enforcer) loop(ctx context.Context, changes <-chan nft.Change) {
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	check := time.NewTicker(e.config.CheckInterval)
	defer check.Stop()
	for {
		e.comeAround()
		select {
		case <-ctx.Done():
			return
		case <-e.queue.wake:
			e.drain()
		case c := <-changes:
			e.changed(c)
		case <-check.C:
			e.check()
		case now := <-sweep.C:
			e.expire(now)
			e.endPause(now)
		}
	}
}

func (e *Enforcer) comeAround() { e.beat.Store(time.Now().UnixNano()) }

// Heartbeats say how long ago the parts that must not stand still came around.
type Heartbeats struct {
	// Writer is the goroutine of Run, which comes around every second and with
	// each batch; before Run its age is that of the Enforcer.
	Writer time.Duration
	// Ledger is how long a write to the ledger has been going on, 0 if none is.
	Ledger time.Duration
}

// Heartbeats returns the ages at now.
func (e *Enforcer) Heartbeats(now time.Time) Heartbeats {
	h := Heartbeats{Writer: max(0, now.Sub(time.Unix(0, e.beat.Load())))}
	if since := e.journal.busy.Load(); since != 0 {
		h.Ledger = max(0, now.Sub(time.Unix(0, since)))
	}
	return h
}

// drain does what is in the queue.
func (e *Enforcer) drain() {
	for it := e.queue.take(); it != nil; it = e.queue.take() {
		e.comeAround()
		if it.command != nil {
			it.command()
		}
		e.enforceAll(it.blocks)
		e.settle(it)
	}
}

// settle says that an item is done when it is saved, or cannot be and that is what
// is wanted.
func (e *Enforcer) settle(it *item) {
	if e.config.Unsaved == UnsavedHold {
		e.journal.settleSaved(func() { e.queue.settle(it) })
		return
	}
	e.journal.settle(func(error) { e.queue.settle(it) })
}

// Block asks for a block. It loses none: what arrives while the kernel is busy is
// merged by prefix, and when some thousands wait, so does Block, until there is
// room or Run has ended. A verdict never shortens a block; by hand (rule Manual)
// it becomes what was said.
func (e *Enforcer) Block(b Block) {
	p, ok := blocklist.Canonical(b.Prefix)
	if !ok || !e.queue.block(withPrefix(b, p)) {
		e.metrics.suppressed.WithLabelValues(causeError).Inc()
	}
}

func withPrefix(b Block, p netip.Prefix) Block {
	b.Prefix = p
	return b
}

// Flushed calls done, from any goroutine, once everything asked for before is
// in the kernel and in the ledger: at once, if nothing is on its way. If the ledger
// cannot be written, Config.Unsaved says whether it waits until that is mended; if
// it could not even be opened, it does not.
func (e *Enforcer) Flushed(done func()) { e.queue.flushed(done) }

// Lookup returns the narrowest block that covers a, without evidence.
func (e *Enforcer) Lookup(a netip.Addr) (Block, bool) {
	if !a.IsValid() {
		return Block{}, false
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	slot, ok := e.list.Lookup(a, time.Now().UnixNano())
	if !ok {
		return Block{}, false
	}
	return e.list.BlockAt(slot), true
}

// Current returns the block of exactly p, without evidence.
func (e *Enforcer) Current(p netip.Prefix) (Block, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	b, ok := e.list.Block(p)
	if !ok || !b.Until.After(time.Now()) {
		return Block{}, false
	}
	return b, true
}

// listed returns the block of exactly p, in force or about to be swept.
func (e *Enforcer) listed(p netip.Prefix) (Block, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.list.Block(p)
}

// Suspended reports whether an operator has flushed the firewall.
func (e *Enforcer) Suspended() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.suspended
}

// Blocks yields every block in force, in no order; evidence is left out. It
// holds no lock while yielding: blocks that come or go meanwhile may be in it
// or not.
func (e *Enforcer) Blocks() iter.Seq[Block] {
	return func(yield func(Block) bool) {
		page := make([]Block, 0, 1024)
		for from, more := uint32(0), true; more; {
			page, from, more = e.page(page[:0], from)
			for _, b := range page {
				if !yield(b) {
					return
				}
			}
		}
	}
}

// page fills page from the slots behind from.
func (e *Enforcer) page(page []Block, from uint32) ([]Block, uint32, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	now := time.Now().UnixNano()
	for slot := range e.list.Slots(from) {
		if len(page) == cap(page) {
			return page, slot, true
		}
		if e.list.At(slot).Until() > now {
			page = append(page, e.list.BlockAt(slot))
		}
	}
	return page, 0, false
}

// Healthy returns nil if blocks reach the kernel, or need not (observe mode),
// else what stands in the way.
func (e *Enforcer) Healthy() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch {
	case e.firewall == nil:
		return nil
	case e.suspended:
		return ErrSuspended
	case e.trouble != nil:
		return explain(e.trouble)
	}
	return nil
}

// Count is the number of blocks in force.
func (e *Enforcer) Count() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.list.Len()
}
