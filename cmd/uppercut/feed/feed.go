package feed

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"

	"uppercut/cmd/uppercut/console"
)

// Source is the block list as its owner keeps it. Its methods are called from one
// goroutine and may take their time.
type Source interface {
	// Blocked yields what does not come through now: without what is exempt, and
	// nothing while blocking is suspended.
	Blocked() iter.Seq[Entry]
	// Changed reports whether Blocked may yield something else than at the last
	// call. It is asked once a second.
	Changed() bool
	// Ended yields blocks that were ended before their time, as far as known.
	Ended() iter.Seq[Entry]
	// Seen returns the addresses in the block of a network for which it was made.
	Seen(e Entry) []netip.Addr
}

// Options are a Feed's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Source must not be nil.
	Source Source
}

// Feed serves the block list to other firewalls.
type Feed struct {
	config  Config
	logger  *slog.Logger
	source  Source
	metrics *metrics
	run     string // of this process, in tags
	mirror  *mirror
	clients atomic.Pointer[clients]
	cursors cursors
	ready   chan struct{} // closed when the copy is filled

	listener net.Listener // nil: off
}

// The deadlines of a request. That on writing is set for each piece.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	maxHeader       = 16 << 10 // bytes
)

// New checks the configuration, reads the files that it names and binds the
// listener, if there is to be one. On error nothing stays bound.
func New(c Config, o Options) (*Feed, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed{
		config: c, logger: o.Logger, source: o.Source, run: rand.Text()[:10], mirror: newMirror(),
		cursors: cursors{all: map[cursorKey]*cursor{}}, ready: make(chan struct{}),
	}
	f.mirror.seen = f.seen
	f.metrics = newMetrics(o.Registerer, f.mirror)
	use, err := f.Prepare(c)
	if err != nil {
		return nil, err
	}
	use()
	if c.Listen == "" {
		return f, nil
	}
	if f.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return f, nil
}

// Prepare checks a new configuration and reads the files that it names; use puts
// its clients in force.
func (f *Feed) Prepare(c Config) (use func(), err error) {
	if err := errors.Join(c.Validate(), c.CheckFiles()); err != nil {
		return nil, err
	}
	known := &clients{}
	if c.Listen != "" {
		if known, err = newClients(c.Clients); err != nil {
			return nil, err
		}
	}
	return func() {
		f.metrics.preset(known)
		f.clients.Store(known)
	}, nil
}

// Addr is the address of the listener, nil if there is none.
func (f *Feed) Addr() net.Addr {
	if f.listener == nil {
		return nil
	}
	return f.listener.Addr()
}

// Close gives the listener back when Run will not be called.
func (f *Feed) Close() error {
	if f.listener == nil {
		return nil
	}
	return f.listener.Close()
}

// Run follows the list and serves it until ctx is cancelled. It returns nil, or
// why the listener broke.
func (f *Feed) Run(ctx context.Context) error {
	if !f.config.on() {
		<-ctx.Done()
		return nil
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	running.Go(func() { f.follow(ctx) })
	if f.config.Zones.Directory != "" {
		running.Go(func() { f.keepZones(ctx) })
	}
	if f.listener == nil {
		<-ctx.Done()
		return nil
	}
	server := f.server()
	running.Go(func() {
		err := web.Serve(f.listener, server, &web.FlagConfig{WebConfigFile: &f.config.ConfigFile}, f.logger)
		if !errors.Is(err, http.ErrServerClosed) {
			cancel(err)
		}
	})
	<-ctx.Done()
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer done()
	if server.Shutdown(stopping) != nil {
		_ = server.Close() // clients that are slow ask again after the start
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("feed: %w", err)
	}
	return nil
}

func (f *Feed) server() *http.Server {
	// Whether an answer has arrived is seen by the next request on its
	// connection: HTTP/2 has many at a time on one.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	numbers := new(connections)
	return &http.Server{
		Handler:           f.handler(),
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(f.logger.Handler(), slog.LevelDebug),
		ConnContext:       numbers.context,
		ConnState:         console.LimitConnections(f.config.MaxConnections, f.metrics.open, f.metrics.turnedAway),
	}
}

// The copy is compared with the list when that may have changed, once a second at
// most, and takes at most one part in so many of the time.
const (
	followInterval = time.Second
	followShare    = 20
)

// follow keeps the copy as the list is.
func (f *Feed) follow(ctx context.Context) {
	for e := range f.source.Ended() {
		f.mirror.departedBefore(e, time.Now())
	}
	next := time.Now().Add(f.update())
	close(f.ready)
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mirror.sweep(time.Now())
		if now := time.Now(); now.After(next) && f.source.Changed() {
			next = now.Add(f.update())
		}
	}
}

// update compares, and returns how long to wait with the next time.
func (f *Feed) update() time.Duration {
	began := time.Now()
	f.mirror.replace(f.source.Blocked(), began)
	f.metrics.updated.SetToCurrentTime()
	return followShare * time.Since(began)
}

// seen asks for the addresses in a network if a client gets these.
func (f *Feed) seen(e Entry) []netip.Addr {
	if !f.clients.Load().single() {
		return nil
	}
	return f.source.Seen(e)
}

// tooMany says that a client has to wait.
type tooMany struct{ wait time.Duration }

func (t tooMany) Error() string { return "too many requests; wait " + t.wait.String() }

// errDenied: nobody who may have the list.
var errDenied = errors.New("access forbidden")

// handler is what the listener serves.
func (f *Feed) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request, *client) error{
		"GET /v1/decisions":        f.serveDecisions,
		"GET /v1/decisions/stream": f.serveStream,
		"POST /v1/usage-metrics":   f.serveUsage,
		"GET /lists/blocked.txt":   f.serveText,
		"GET /lists/blocked.json":  f.serveJSON,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, serve) })
	}
	return mux
}

// serve finds out who asks, and lets answer.
func (f *Feed) serve(w http.ResponseWriter, r *http.Request, answer func(http.ResponseWriter, *http.Request, *client) error) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(pieceTimeout)) // a test's recorder has none
	c := f.clients.Load().of(r)
	if c == nil {
		f.metrics.requests.WithLabelValues(nobody, outcomeDenied).Inc()
		f.logger.Debug("feed request denied", "remote", r.RemoteAddr)
		h.Set("WWW-Authenticate", `Basic realm="uppercut"`)
		_ = refuse(w, http.StatusForbidden, errDenied)
		return
	}
	err := f.answer(w, r, c, answer)
	f.metrics.requests.WithLabelValues(c.name, outcomeOf(err)).Inc()
	if err == nil && r.URL.Path == "/v1/decisions/stream" {
		f.metrics.lastPull.WithLabelValues(c.name).SetToCurrentTime()
	}
}

func (f *Feed) answer(w http.ResponseWriter, r *http.Request, c *client, answer func(http.ResponseWriter, *http.Request, *client) error) error {
	if wait := c.pace.admit(time.Now()); wait > 0 {
		return refuse(w, http.StatusTooManyRequests, tooMany{wait})
	}
	select {
	case <-f.ready:
	default: // an empty list would unblock everybody
		w.Header().Set("Retry-After", "1")
		return refuse(w, http.StatusServiceUnavailable, tooMany{time.Second})
	}
	w.Header().Set("Content-Type", "application/json")
	err := answer(w, r, c)
	switch e, limited := errors.AsType[tooMany](err); {
	case limited:
		return refuse(w, http.StatusTooManyRequests, e)
	case errors.Is(err, errBadQuery):
		return refuse(w, http.StatusBadRequest, err)
	}
	return err
}

// refuse answers with an error as CrowdSec's API words it.
func refuse(w http.ResponseWriter, status int, err error) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Del("ETag")
	if e, limited := errors.AsType[tooMany](err); limited {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	}
	text, _ := json.Marshal(map[string]string{"message": err.Error()}) // strings always have a form
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // it is gone: nobody to tell
	return err
}

func outcomeOf(err error) string {
	_, limited := errors.AsType[tooMany](err)
	switch {
	case err == nil:
		return outcomeAnswered
	case limited:
		return outcomeLimited
	case errors.Is(err, errBadQuery):
		return outcomeRefused
	}
	return outcomeFailed
}
