package appliance

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/feed"
	"uppercut/cmd/uppercut/outbox"
	"uppercut/cmd/uppercut/samples"
	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/enforcer"
	"uppercut/enforcer/guard"
	"uppercut/enforcer/listfile"
	"uppercut/metrics"
	"uppercut/receiver"
)

// Appliance is a running uppercut: every part, introduced to the others.
type Appliance struct {
	options       Options
	started       time.Time
	config        atomic.Pointer[config.Config]
	log           *logQueue // on its way to standard error
	logger        *slog.Logger
	registry      *prometheus.Registry
	metrics       *applianceMetrics
	reloads       *metrics.Reload
	samples       samples.Samples
	rejections    rejections
	understanding understanding
	reloading     sync.Mutex                   // one reload after the other
	verified      atomic.Pointer[verification] // nil until somebody asks
	hosts         *receiver.Hosts

	recheck    chan []netip.Prefix // who has become exempt
	ended      chan []netip.Prefix // what has left the allow list
	recheckAll atomic.Bool         // more has changed than these two could hold

	guard    *guard.Guard
	lists    *listfile.Lists
	enforcer *enforcer.Enforcer
	pipeline *pipeline
	receiver *receiver.Receiver
	console  *console.Console
	release  func() // gives up the claim to the table
	events   *outbox.Outbox
	feed     *feed.Feed
	toFeed   feedSource
}

// applianceMetrics are those of the wiring itself.
type applianceMetrics struct {
	lastSave                      prometheus.Gauge
	saveFailures                  prometheus.Counter
	restoreFailures               prometheus.Counter
	memoryBudget, memoryAvailable prometheus.Gauge
}

func newApplianceMetrics(reg prometheus.Registerer) *applianceMetrics {
	m := &applianceMetrics{
		lastSave: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_scores_last_save_timestamp_seconds",
			Help: "Time of the last successful save of the scores.",
		}),
		saveFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uppercut_scores_save_failures_total",
			Help: "Failed saves of the scores.",
		}),
		restoreFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uppercut_scores_restore_failures_total",
			Help: "Starts at which the saved scores could not be read; the file is kept aside.",
		}),
	}
	m.memoryBudget = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "uppercut_memory_budget_bytes",
		Help: "Most memory that the process uses when every limit of the configuration is reached.",
	})
	m.memoryAvailable = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "uppercut_memory_available_bytes",
		Help: "Memory available to the process: the limit of its control group, or the machine's memory.",
	})
	reg.MustRegister(m.lastSave, m.saveFailures, m.restoreFailures, m.memoryBudget, m.memoryAvailable)
	return m
}

// witness says who a sender is.
func (a *Appliance) witness(sender string) detector.Witness {
	name, known, relay := a.hosts.Witness(sender)
	return detector.Witness{Name: name, Known: known, Relay: relay}
}

// block hands a verdict to the enforcer.
func (a *Appliance) block(v detector.Verdict) {
	if len(v.Lift) > 0 {
		a.enforcer.Lift("mail host "+a.hosts.Label(v.Sender, v.Host)+" refuses clients whose mail others accept; its reports are ignored", v.Lift...)
		return
	}
	b := enforcer.Block{
		Prefix: v.Prefix, At: v.At, Until: v.Until, Received: v.Received, Rule: v.Rule, Score: v.Score, Witness: v.Witness,
		Evidence: make([]enforcer.Evidence, len(v.Evidence)),
	}
	for i, e := range v.Evidence {
		b.Evidence[i] = enforcer.Evidence{
			Time: e.Time, Sender: e.Sender, Host: e.Host, Transport: e.Transport, Reason: e.Reason.String(), Text: e.Text,
		}
	}
	b.Reason, b.Host = a.weightiest(b.Evidence)
	a.enforcer.Block(b)
}

// weightiest returns the reason that most lines name, and the label of the host.
func (a *Appliance) weightiest(lines []enforcer.Evidence) (reason, host string) {
	if len(lines) == 0 {
		return "", a.hosts.Label("", "") // as in a list of a million, which must be quick
	}
	reasons, hosts := make(map[string]int), make(map[string]int)
	for _, line := range lines {
		reasons[line.Reason]++
		hosts[a.hosts.Label(line.Sender, line.Host)]++
	}
	return most(reasons), most(hosts)
}

// most returns the key with the highest count, the first in order among equals.
func most(counts map[string]int) (key string) {
	for k, n := range counts {
		if n > counts[key] || n == counts[key] && k < key {
			key = k
		}
	}
	return key
}

// onTheList says whether a source is blocked, as the enforcer knows it.
func (a *Appliance) onTheList(source netip.Prefix) bool {
	_, ok := a.enforcer.Lookup(source.Addr())
	return ok
}

// blockedSeen tells the enforcer that a source which should be blocked has
// reached a mail host all the same. What only says that a session has ended does
// not show that, and what was written before says nothing of today.
func (a *Appliance) blockedSeen(l *detector.Line, e *offence.Event, _ netip.Prefix, _ time.Time) {
	if at, ok := sighting(l, e); ok {
		a.enforcer.SeenAfterBlock(e.Addr, at)
	}
}

// sighting says when a source must have been there for an event, false if it need
// not have been.
func sighting(l *detector.Line, e *offence.Event) (at time.Time, ok bool) {
	if e.Kind == offence.Offence && detector.EndsSession(e.Reason) {
		return time.Time{}, false
	}
	if e.Time.Before(l.Received) {
		return e.Time, true
	}
	return l.Received, true
}

// meet keeps a mail host from being blocked for as long as it is connected.
func (a *Appliance) meet(addr netip.Addr) (parted func()) {
	a.guard.AddSender(addr)
	return func() { a.guard.RemoveSender(addr) }
}

// applyLists puts the block lists in force, and tells the judge who has left them.
func (a *Appliance) applyLists(ctx context.Context, ps []netip.Prefix) error {
	l, err := a.enforcer.SetListed(ctx, ps)
	if err != nil {
		return err
	}
	a.logger.Debug("block lists in force", "blocked", l.Blocked, "exempt", l.Exempt, "no_room", l.NoRoom, "removed", len(l.Removed))
	return a.lifted(ctx, l.Removed)
}

// exempted hears from the guard who must no longer be blocked. It is called by
// any goroutine, also before the enforcer exists.
func (a *Appliance) exempted(_ string, added []netip.Prefix) {
	a.recheckLater(a.recheck, added)
}

// noLongerAllowed hears from the guard what has left the allow list, as exempted.
func (a *Appliance) noLongerAllowed(removed []netip.Prefix) {
	a.recheckLater(a.ended, removed)
}

func (a *Appliance) recheckLater(queue chan []netip.Prefix, changed []netip.Prefix) {
	select {
	case queue <- changed:
	default: // so many changes at once that a look at every block is due
		a.recheckAll.Store(true)
	}
}

// watch does what has to be done beside the way of a log line, until ctx ends.
func (a *Appliance) watch(ctx context.Context) error {
	var saving sync.WaitGroup
	saving.Go(func() { a.keepScores(ctx) })
	defer saving.Wait() // or an older save could replace the last one
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	watchdog := time.NewTicker(watchdogInterval())
	defer watchdog.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case added := <-a.recheck:
			a.liftExempt(ctx, added)
		case removed := <-a.ended:
			a.recheckBlocks(ctx, removed)
		case <-hangup:
			_ = a.reload(ctx, console.By{Author: "SIGHUP"}) // it has said what was wrong
		case now := <-watchdog.C:
			if a.pipeline.alive(now) && a.enforcer.Heartbeats(now).Writer < pipelineStall {
				a.notify("WATCHDOG=1")
			}
		}
	}
}

// liftExempt lifts the blocks of who must no longer be blocked.
func (a *Appliance) liftExempt(ctx context.Context, added []netip.Prefix) {
	a.recheckBlocks(ctx, added)
	_ = a.lifted(ctx, added) // it fails only when we are asked to stop
}

// recheckBlocks makes the blocks around these what the guard allows.
func (a *Appliance) recheckBlocks(ctx context.Context, changed []netip.Prefix) {
	if a.recheckAll.Swap(false) {
		changed = nil
	}
	if err := a.enforcer.Recheck(ctx, changed...); err != nil && ctx.Err() == nil {
		a.logger.Error("blocks do not match the allow list", "error", err)
	}
}

// watchdogInterval is half of what systemd wants, or a minute without systemd.
func watchdogInterval() time.Duration {
	if d, err := daemon.SdWatchdogEnabled(false); err == nil && d > 0 {
		return d / 2
	}
	return time.Minute
}

// notify tells systemd, where there is one.
func (a *Appliance) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.logger.Warn("notify systemd", "error", err)
	}
}
