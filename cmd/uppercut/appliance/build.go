package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/feed"
	"uppercut/cmd/uppercut/outbox"
	"uppercut/detector"
	"uppercut/enforcer"
	"uppercut/enforcer/guard"
	"uppercut/enforcer/listfile"
	"uppercut/enforcer/statedir"
	"uppercut/metrics"
	"uppercut/receiver"
)

// Options are what an appliance takes from its process.
type Options struct {
	// Source says where the configuration comes from, also at a reload.
	Source config.Source
	Build  metrics.Build
	// Stdout gets the next steps, if there is no configuration file.
	Stdout io.Writer
	// Stderr gets the log, of which lines are dropped that it does not take.
	Stderr   io.Writer
	LogLevel slog.Leveler
	LogJSON  bool
}

// New builds an appliance, binds its sockets and gives up the privileges
// that it needs no more. Nothing is read from a socket before run. On error
// nothing stays bound or open.
func New(ctx context.Context, o Options) (*Appliance, error) {
	r := o.Source.Read()
	if err := r.Err(); err != nil {
		return nil, err
	}
	registry := metrics.NewRegistry(o.Build)
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may end before us
	log := newLogQueue(o.Stderr, registry, tellDropped(o.LogJSON))
	a := &Appliance{
		options:  o,
		started:  time.Now(),
		registry: registry,
		log:      log,
		logger:   slog.New(metrics.CountLogs(logHandler(o.LogJSON, log, o.LogLevel), registry)),
		metrics:  newApplianceMetrics(registry),
		reloads:  metrics.NewReload(registry),
		recheck:  make(chan []netip.Prefix, 64),
		ended:    make(chan []netip.Prefix, 64),
		release:  func() {},
	}
	if err := a.begin(ctx, &r); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// begin does what has to be done before the first line is read.
func (a *Appliance) begin(ctx context.Context, r *config.Reading) (err error) {
	c := r.Config
	a.config.Store(&c)
	metrics.NewMode(a.registry).Observe(c.Mode == config.ModeObserve)
	for _, warning := range c.Warnings() {
		a.logger.Warn("configuration", "warning", warning)
	}
	a.limitMemory(&c)
	if err := a.beginWithLess(&c); err != nil {
		return err
	}
	if err := r.CheckFiles(); err != nil {
		return err
	}
	if c.Mode == config.ModeEnforce {
		if a.release, err = ClaimTable(a.logger); err != nil {
			a.release = func() {}
			return err
		}
	}
	if err := a.build(ctx); err != nil {
		return err
	}
	a.keepOnly(keptForGood(c.Mode))
	a.reloads.Done(a.started, nil)
	return nil
}

// close gives the table to the next appliance and writes the last of the log.
func (a *Appliance) close() {
	a.release()
	a.log.close()
}

// build makes every part; on error nothing stays bound or open. What can fail
// comes first, and the kernel last: a start that fails must leave it the blocks
// that it has.
func (a *Appliance) build(ctx context.Context) (err error) {
	c := a.config.Load()
	if err := statedir.Prepare(c.StateDir); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	if err := a.buildJudge(ctx, c); err != nil {
		return err
	}
	a.receiver, err = receiver.New(c.ForReceiver(), receiver.Options{
		Logger: a.logger, Registerer: a.registry, Handle: a.pipeline.handle, Inherited: activation.Files(true), Met: a.meet, Hosts: a.hosts, Unread: a.samples.Frame,
	})
	if err != nil {
		return fmt.Errorf("receiver.%w", err)
	}
	a.console, err = console.New(c.Web, console.Options{
		Logger: a.logger, Registerer: a.registry, Gatherer: a.registry,
		Appliance: a, Health: a.health(), StateDir: c.StateDir,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("web.%w", err), a.receiver.Close())
	}
	a.toFeed.appliance = a
	a.feed, err = feed.New(c.Feed, feed.Options{Logger: a.logger, Registerer: a.registry, Source: &a.toFeed})
	if err != nil {
		return errors.Join(fmt.Errorf("feed.%w", err), a.console.Close(), a.receiver.Close())
	}
	if err := a.buildEnforcer(ctx, c); err != nil {
		return errors.Join(err, a.feed.Close(), a.console.Close(), a.receiver.Close())
	}
	return nil
}

// buildJudge makes what stands behind the receiver, but for the enforcer.
func (a *Appliance) buildJudge(ctx context.Context, c *config.Config) error {
	var err error
	if a.hosts, err = receiver.NewHosts(c.Receiver, a.registry); err != nil {
		return err
	}
	reader, err := detector.NewReader(c.Detector)
	if err != nil {
		return fmt.Errorf("detector.texts: %w", err)
	}
	if err := a.buildEvents(c); err != nil {
		return err
	}
	a.guard, err = guard.New(ctx, c.ForGuard(), guard.Options{
		Logger: a.logger, Registerer: a.registry, OnChange: a.exempted, OnEnd: a.noLongerAllowed,
		NamesFile: filepath.Join(c.StateDir, "names.json"),
	})
	if err != nil {
		return fmt.Errorf("enforcer.%w", err)
	}
	d, err := detector.New(c.Detector, detector.Options{
		Registerer: a.registry, HostLabel: a.hosts.Label, HostRow: a.hosts.Row, Witness: a.witness,
		Exempt: a.guard.Exempt, Holes: a.guard.Holes,
		OnEvent: a.rejections.event, OnUnknown: a.samples.Line, OnNotice: a.notice, Blocked: a.onTheList, OnBlockedSeen: a.blockedSeen,
	})
	if err != nil {
		return fmt.Errorf("detector.%w", err)
	}
	if err := restoreScores(d, c.StateDir, a.started); err != nil {
		a.metrics.restoreFailures.Inc()
		a.logger.Error("cannot restore the scores of the last run", "error", err)
	}
	durable := func(done func()) { a.enforcer.Flushed(done) } // it is there before the first line is read
	a.pipeline = newPipeline(reader, d, a.block, durable)
	return nil
}

// buildEnforcer makes the enforcer. When it returns, every block that is still
// due is in the kernel.
func (a *Appliance) buildEnforcer(ctx context.Context, c *config.Config) (err error) {
	a.lists, err = listfile.New(c.Enforcer.Block, listfile.Options{
		Logger: a.logger, Registerer: a.registry, Poll: c.Enforcer.Guard.Poll, Apply: a.applyLists,
	})
	if err != nil {
		return fmt.Errorf("enforcer.block%w", err)
	}
	a.enforcer, err = enforcer.New(ctx, c.ForEnforcer(), enforcer.Options{
		Logger: a.logger, Registerer: a.registry, StateDir: c.StateDir, Rules: c.RuleNames(), Listed: a.lists.Prefixes(),
		Observe: c.Mode == config.ModeObserve, Exempt: a.guard.Exempt, Holes: a.guard.Holes,
		OnBlock: a.blocked, OnUnblock: a.unblocked,
	})
	if err != nil {
		return err
	}
	for e := range a.enforcer.Allowed() {
		a.guard.Allow(e.Prefix, e.Until)
	}
	a.registry.MustRegister(gauges{a}, heartbeats{a})
	return nil
}

func (a *Appliance) buildEvents(c *config.Config) (err error) {
	a.events, err = outbox.New(c.Events, outbox.Options{
		Logger: a.logger, Registerer: a.registry, Version: a.options.Build.Version,
	})
	if err != nil {
		return fmt.Errorf("events.%w", err)
	}
	return nil
}

// stage is a part that runs until it is stopped.
type stage struct {
	stop context.CancelFunc
	done chan struct{}
}

// end stops the stage and waits for it.
func (s stage) end() {
	s.stop()
	<-s.done
}

// Run starts the parts and, when ctx ends or one of them fails, ends them one
// after the other, each when nothing can reach it any more: receiver, judge,
// scores, kernel and ledger, events, page.
func (a *Appliance) Run(ctx context.Context) error {
	defer a.close()
	if _, err := os.Stat(cmp.Or(a.options.Source.File, config.DefaultFile)); errors.Is(err, os.ErrNotExist) {
		a.sayWhatNext()
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	start := func(run func(context.Context) error) stage {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		s := stage{stop, make(chan struct{})}
		go func() {
			defer close(s.done)
			if err := run(own); err != nil {
				fail(err)
			}
		}()
		return s
	}
	page := start(a.console.Run)
	out := start(a.events.Run)
	kernel := start(a.enforcer.Run)
	feed := start(a.feed.Run)
	guards := start(a.guard.Run)
	lists := start(a.lists.Run)
	watch := start(a.watch)
	judge := start(func(context.Context) error { a.pipeline.run(); return nil })
	receive := start(a.receiver.Run)
	a.notify("READY=1")
	a.sayListening()
	a.logger.Info("ready", "mode", a.config.Load().Mode)

	<-ctx.Done()
	a.logger.Info("stopping", "cause", context.Cause(ctx))
	a.notify("STOPPING=1")
	receive.end()
	watch.end()
	a.pipeline.close()
	judge.end()
	a.scoresSaved(a.saveScores(a.pipeline.own))
	guards.end()
	lists.end()
	feed.end()
	kernel.end()
	out.end()
	page.end()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
