package outbox

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// target is a place that takes events.
type target interface {
	// send delivers a batch, or returns why not. It is tried again unless the
	// error is a *backoff.PermanentError. Only one send runs at a time.
	send(context.Context, []Event) error
	close()
}

// destination is a target with what its configuration says of delivery.
type destination struct {
	target
	kinds  []string
	giveUp time.Duration
}

func newDestination(t target, d Delivery) *destination {
	return &destination{t, d.Kinds, d.GiveUp}
}

// sink is a queue and who empties it.
type sink struct {
	name    string
	batch   int // events in one send
	logger  *slog.Logger
	metrics *metrics
	queue   *queue
	to      atomic.Pointer[destination] // nil: switched off
	first   time.Duration               // pause after an attempt that failed

	// Of the goroutine in run.
	failing bool         // the last send failed
	opened  *destination // the last that was used
}

func newSink(name string, batch int, logger *slog.Logger, m *metrics) *sink {
	m.preset(name)
	return &sink{name: name, batch: batch, logger: logger, metrics: m, queue: newQueue(), first: firstPause}
}

func (s *sink) use(d *destination, limit int) {
	s.queue.setLimit(limit)
	s.to.Store(d)
	s.queue.rouse() // what is no longer used is closed
}

func (s *sink) wants(k Kind) bool {
	d := s.to.Load()
	return d != nil && slices.Contains(d.kinds, string(k))
}

func (s *sink) put(e Event) {
	if !s.queue.put(e) {
		s.metrics.drop(s.name, dropOverflow, 1)
	}
}

// run delivers until ctx ends, then what waits until delivering ends.
func (s *sink) run(ctx, delivering context.Context) {
	for batch, more := s.queue.take(ctx, s.batch); more; batch, more = s.queue.take(ctx, s.batch) {
		s.open(s.to.Load())
		if len(batch) > 0 {
			s.deliver(delivering, batch)
		}
	}
	s.open(nil)
}

// open makes d the destination whose connections are open.
func (s *sink) open(d *destination) {
	if s.opened != nil && s.opened != d {
		s.opened.close()
	}
	s.opened = d
}

// The pauses between attempts, each of them up to half longer or shorter.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// deliver sends a batch, again and again until it is taken, refused or too
// old. A new configuration is used from the next attempt on.
func (s *sink) deliver(ctx context.Context, batch []Event) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = s.first, lastPause
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, s.attempt(ctx, batch) },
		backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0), backoff.WithNotify(s.again))
	s.done(ctx, batch, err)
}

// attempt sends a batch once. A failure is final if the time to give up is over
// even for the batch's last event.
func (s *sink) attempt(ctx context.Context, batch []Event) error {
	d := s.to.Load()
	s.open(d)
	if d == nil {
		return backoff.Permanent(errOff)
	}
	err := d.send(ctx, batch)
	if err == nil {
		return nil
	}
	s.metrics.failures.WithLabelValues(s.name).Inc()
	if time.Since(batch[len(batch)-1].Time) >= d.giveUp {
		return backoff.Permanent(err)
	}
	return err
}

// again notes that an attempt has failed and will be repeated.
func (s *sink) again(err error, pause time.Duration) {
	level := slog.LevelDebug
	if !s.failing {
		level = slog.LevelWarn // the first of a row
	}
	s.failing = true
	s.logger.Log(context.Background(), level, "cannot deliver events; retrying",
		"sink", s.name, "error", err, "pause", pause.Round(time.Millisecond))
}

// done notes what has become of a batch.
func (s *sink) done(ctx context.Context, batch []Event, err error) {
	if err == nil {
		s.metrics.delivered.WithLabelValues(s.name).Add(float64(len(batch)))
		if s.failing {
			s.logger.Info("events are delivered again", "sink", s.name)
		}
		s.failing = false
		return
	}
	reason, lost := dropExpired, len(batch)
	switch {
	case errors.Is(err, errOff):
		reason = dropOff
	case errors.Is(err, errRefused):
		reason = dropRefused
	case ctx.Err() != nil:
		reason = dropShutdown
		lost += len(s.queue.next(math.MaxInt)) // there is no time for these either
	}
	s.metrics.drop(s.name, reason, lost)
	s.logger.Warn("events are lost", "sink", s.name, "reason", reason, "count", lost, "error", err)
}
