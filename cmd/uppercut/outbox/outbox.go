package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are an Outbox's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Version is what the webhook's requests say of us.
	Version string
}

// Outbox carries events to the sinks. All methods are safe for concurrent use.
type Outbox struct {
	logger  *slog.Logger
	version string
	webhook *sink
	syslog  *sink

	run    string // of this process, the first part of each event's ID
	number atomic.Uint64
}

// The names of the sinks, and their label values.
const (
	sinkWebhook = "webhook"
	sinkSyslog  = "syslog"
)

// New checks the configuration and reads the files that it names. It connects
// to nobody.
func New(c Config, o Options) (*Outbox, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := newMetrics()
	out := &Outbox{logger: o.Logger, version: o.Version, run: rand.Text()[:10]}
	out.webhook = newSink(sinkWebhook, webhookBatch, o.Logger, m)
	out.syslog = newSink(sinkSyslog, syslogBatch, o.Logger, m)
	use, err := out.Prepare(c)
	if err != nil {
		return nil, err
	}
	use()
	if o.Registerer != nil {
		if err := o.Registerer.Register(&collector{m, []*sink{out.webhook, out.syslog}}); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return out, nil
}

// Prepare checks a new configuration and reads the files that it names; use
// puts it in force. What waits is delivered to the new places.
func (o *Outbox) Prepare(c Config) (use func(), err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	hook, log, err := c.destinations(o.version)
	if err != nil {
		return nil, err
	}
	return func() {
		o.webhook.use(hook, c.Webhook.Queue)
		o.syslog.use(log, c.Syslog.Queue)
	}, nil
}

// destinations reads the files that c names and returns where events go; nil
// where they do not.
func (c Config) destinations(version string) (hook, log *destination, err error) {
	if c.Webhook.URL != "" {
		w, err := newWebhook(c.Webhook, version)
		if err != nil {
			return nil, nil, fmt.Errorf("webhook.%w", err)
		}
		hook = newDestination(w, c.Webhook.Delivery)
	}
	if c.Syslog.Address != "" {
		log = newDestination(newSyslog(c.Syslog.Address), c.Syslog.Delivery)
	}
	return hook, log, nil
}

// Publish hands an event to the sinks that want it. It never waits.
func (o *Outbox) Publish(e Event) {
	hook, log := o.webhook.wants(e.Kind), o.syslog.wants(e.Kind)
	if !hook && !log {
		return
	}
	e = e.bounded()
	e.ID = fmt.Sprintf("%s-%d", o.run, o.number.Add(1))
	if hook {
		o.webhook.put(e)
	}
	if log {
		e.Evidence = nil
		o.syslog.put(e)
	}
}

// drainTime is how long what waits may still be delivered after the end.
const drainTime = 5 * time.Second

// Run delivers until ctx is cancelled, then what waits for up to 5 s more.
func (o *Outbox) Run(ctx context.Context) error {
	delivering, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	cancel := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(drainTime, stop)
		context.AfterFunc(delivering, func() { timer.Stop() })
	})
	defer cancel()
	var sinks sync.WaitGroup
	sinks.Go(func() { o.webhook.run(ctx, delivering) })
	sinks.Go(func() { o.syslog.run(ctx, delivering) })
	sinks.Wait()
	return nil
}

// errOff says that a sink has been switched off while something waited for it.
var errOff = errors.New("switched off")
