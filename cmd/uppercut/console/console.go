package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"

	"uppercut/metrics"
)

// The deadlines of a request. That on writing is set for each answer, since a
// live page is one long answer.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 30 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeader       = 16 << 10 // bytes
)

// Options are a Console's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Audit takes a line for each action; nil is Logger.
	Audit *slog.Logger
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Gatherer is what /metrics serves and what the history is made from; it
	// must not be nil.
	Gatherer prometheus.Gatherer
	// Appliance answers and acts; it must not be nil.
	Appliance Appliance
	// Health holds the checks of /-/ready; nil has none.
	Health *metrics.Health
	// StateDir is where the control socket and the file of the history are made.
	StateDir string
}

// Console serves people: the status page, the control API, metrics and health.
type Console struct {
	config    Config
	logger    *slog.Logger
	audits    *slog.Logger
	appliance Appliance
	gatherer  prometheus.Gatherer
	scrapes   http.Handler
	ready     *metrics.Health
	users     *users
	tokens    tokens
	attempts  *attempts
	history   *history
	feed      *feed
	metrics   *consoleMetrics
	recent    recentStatus
	stateDir  string
	networks  *networks

	liveCount atomic.Int64 // pages that follow what happens

	socket, page net.Listener
	closing      chan struct{} // closed when Run ends: live pages hang up
}

// New checks the configuration and binds the control socket and the web
// listener, but answers nobody. On error nothing stays bound.
func New(c Config, o Options) (*Console, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	con := newConsole(c, o)
	var err error
	if con.socket, err = listenSocket(filepath.Join(o.StateDir, SocketName)); err != nil {
		return nil, err
	}
	if con.page, err = listenWeb(c); err != nil {
		return nil, errors.Join(err, con.socket.Close())
	}
	return con, nil
}

func newConsole(c Config, o Options) *Console {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Audit == nil {
		o.Audit = o.Logger
	}
	if o.Health == nil {
		o.Health = new(metrics.Health)
	}
	if c.ConfigFile != "" && o.Registerer != nil {
		o.Registerer.MustRegister(webCertificate{c.ConfigFile})
	}
	con := &Console{
		config: c, logger: o.Logger, audits: o.Audit, stateDir: o.StateDir,
		networks:  newNetworks(c.NetworkFiles, o.Logger),
		appliance: o.Appliance, gatherer: o.Gatherer, ready: o.Health,
		scrapes: metrics.Handler(o.Gatherer, o.Registerer),
		users:   newUsers(c.ConfigFile), tokens: newTokens(), attempts: newAttempts(),
		history: newHistory(), feed: newFeed(),
		metrics: newConsoleMetrics(o.Registerer),
		closing: make(chan struct{}),
	}
	con.loadHistory()
	return con
}

// listenWeb binds the web listener; nil if there is to be none.
func listenWeb(c Config) (net.Listener, error) {
	if c.Listen == "" {
		return nil, nil
	}
	if err := c.CheckFiles(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, listenError(err)
	}
	return l, nil
}

// listenError says what to do about an address that cannot be listened on.
func listenError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen: %w: stop the program that has it (ss -ltnp shows which) or choose another port", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen: %w: choose an address of this host", err)
	}
	return fmt.Errorf("listen: %w", err)
}

// Addr is the address of the web listener, nil if there is none.
func (c *Console) Addr() net.Addr {
	if c.page == nil {
		return nil
	}
	return c.page.Addr()
}

// Close gives the listeners back when Run will not be called.
func (c *Console) Close() error {
	if c.page == nil {
		return c.socket.Close()
	}
	return errors.Join(c.socket.Close(), c.page.Close())
}

// Run serves until ctx is cancelled, then lets requests in flight finish for up
// to 5 s. It returns nil, or why a listener broke.
func (c *Console) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	control := c.server(c.controlHandler())
	control.ConnContext = peerContext
	pages := c.server(c.webHandler())
	pages.ConnState = LimitConnections(c.config.MaxConnections, c.metrics.open, c.metrics.turnedAway)
	pages.BaseContext = func(net.Listener) context.Context {
		// By now the toolkit has put its handler, which asks for passwords, in
		// front of ours.
		pages.Handler = withHeaders(c.withPasswords(pages.Handler))
		return context.Background()
	}

	var running sync.WaitGroup
	start := func(serve func() error) {
		running.Go(func() {
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				cancel(err)
			}
		})
	}
	start(func() error { return control.Serve(c.socket) })
	if c.page != nil {
		start(func() error {
			return web.Serve(c.page, pages, &web.FlagConfig{WebConfigFile: &c.config.ConfigFile}, c.logger)
		})
	}
	running.Go(func() { c.keepHistory(ctx) })

	<-ctx.Done()
	close(c.closing)
	stop(control, pages)
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (c *Console) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(c.logger.Handler(), slog.LevelDebug),
	}
}

// stop ends both servers within one deadline.
func stop(servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}
}

// controlHandler is what the Unix socket serves.
func (c *Console) controlHandler() http.Handler { return c.api() }
