package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/enforcer"
)

// reload reads the configuration again and puts in force what can change while
// running: rules, weights, texts, allow and block lists, guard, senders, certificates
// and receivers of events.
// A bad file changes nothing. No message and no score is lost. Either way it
// stands in the audit log.
func (a *Appliance) reload(ctx context.Context, by console.By) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	ctx = context.WithoutCancel(ctx) // who asked may hang up, and half a reload is none
	err := a.tryReload(ctx)
	a.reloads.Done(time.Now(), err)
	entry := enforcer.Audit{Action: auditReload, Author: by.Author, Note: by.Note}
	if err != nil {
		a.logger.Error("cannot reload the configuration; the old one stays in force", "error", err)
		entry.Undone = 1
		return fmt.Errorf("%w: %w", console.ErrRefused, errors.Join(err, a.enforcer.Record(ctx, entry)))
	}
	a.logger.Info("configuration reloaded")
	if err := inForce(ctx, a.enforcer.Record(ctx, entry)); err != nil {
		return fmt.Errorf("reloaded, but this is not in the audit log: %w", err)
	}
	return nil
}

func (a *Appliance) tryReload(ctx context.Context) error {
	old := a.config.Load()
	r := a.options.Source.Read()
	if err := r.Err(); err != nil {
		return err
	}
	c := r.Config
	if err := config.NeedsRestart(old, &c); err != nil {
		return err
	}
	if err := r.CheckFiles(); err != nil {
		return err
	}
	reader, err := detector.NewReader(c.Detector)
	if err != nil {
		return fmt.Errorf("detector.texts: %w", err)
	}
	useEvents, err := a.events.Prepare(c.Events)
	if err != nil {
		return fmt.Errorf("events.%w", err)
	}
	useFeed, err := a.feed.Prepare(c.Feed)
	if err != nil {
		return fmt.Errorf("feed.%w", err)
	}
	if err := a.guard.Reload(c.ForGuard()); err != nil {
		return fmt.Errorf("enforcer.%w", err)
	}
	// The files have just been read: this fails only if one has changed since.
	if err := a.lists.Reload(c.Enforcer.Block); err != nil {
		return errors.Join(fmt.Errorf("enforcer.block%w", err), a.guard.Reload(old.ForGuard()))
	}
	if err := a.receiver.Reconfigure(c.ForReceiver()); err != nil {
		return errors.Join(fmt.Errorf("receiver.%w", err), a.backTo(old))
	}
	var refused error
	if err := a.pipeline.ask(ctx, func(d *detector.Detector) { refused = d.Reconfigure(c.Detector) }); err != nil {
		return err
	}
	if refused != nil {
		return errors.Join(fmt.Errorf("detector.%w", refused), a.backTo(old), a.receiver.Reconfigure(old.ForReceiver()))
	}
	useEvents()
	useFeed()
	a.pipeline.reader.Store(reader)
	a.config.Store(&c)
	a.limitMemory(&c)
	return nil
}

// backTo puts back in force who may be blocked by the old configuration.
func (a *Appliance) backTo(old *config.Config) error {
	return errors.Join(a.guard.Reload(old.ForGuard()), a.lists.Reload(old.Enforcer.Block))
}
