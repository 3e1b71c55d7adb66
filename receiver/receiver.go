package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Handler takes over a batch of messages of one sender or one read. It is
// called by many goroutines at once and may block, which slows the sender
// where the protocol can. The slice belongs to the receiver again when Handle
// returns. judged, if not nil, must be called exactly once, from any
// goroutine, when every message of the batch has been judged and any block
// that came of it is durable; RELP acknowledges then.
type Handler func(batch []Message, judged func())

// Options are a Receiver's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Handle takes the messages; it must not be nil.
	Handle Handler
}

// Receiver owns the listening sockets.
type Receiver struct {
	config  Config
	log     *slog.Logger
	handle  Handler
	metrics *metrics
	policy  *policy
	door    *door
	routes  *routes

	udp       []*net.UDPConn
	datagrams map[Transport][]*datagramSocket
	streams   []*streamListener
}

// New checks the configuration and binds every socket, but reads nothing. On
// error nothing stays bound.
func New(c Config, o Options) (*Receiver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Receiver{
		config:    c,
		log:       o.Logger,
		handle:    o.Handle,
		policy:    newPolicy(c),
		door:      newDoor(c),
		datagrams: make(map[Transport][]*datagramSocket),
	}
	if err := r.bind(o.Registerer); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// bind does everything that can fail.
func (r *Receiver) bind(registerer prometheus.Registerer) (err error) {
	for i, address := range r.config.UDP {
		if err := r.bindUDP(fmt.Sprintf("udp[%d]", i), address); err != nil {
			return err
		}
	}
	for i, address := range r.config.TCP {
		if err := r.bindTCP(fmt.Sprintf("tcp[%d]", i), address); err != nil {
			return err
		}
	}
	if len(r.udp) > 0 && r.config.ReversePath {
		if r.routes, err = dialRoutes(); err != nil {
			return err
		}
	}
	return r.count(registerer)
}

func (r *Receiver) bindUDP(key, address string) error {
	conns, err := listenUDP(address, r.readers())
	if err != nil {
		return bindError(key, address, err)
	}
	r.udp = append(r.udp, conns...)
	for _, conn := range conns {
		socket, err := newDatagramSocket(conn, r.config.ReceiveBuffer)
		if err != nil {
			return bindError(key, address, err)
		}
		if err := socket.wantInterface(); err != nil {
			return bindError(key, address, err)
		}
		r.datagrams[UDP] = append(r.datagrams[UDP], socket)
	}
	return nil
}

func (r *Receiver) readers() int {
	if r.config.Readers > 0 {
		return r.config.Readers
	}
	return min(runtime.GOMAXPROCS(0), 4)
}

func (r *Receiver) bindTCP(key, address string) error {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return bindError(key, address, err)
	}
	l := &streamListener{
		transport: TCP,
		socket:    socket.(*net.TCPListener),
		policy:    r.policy,
		door:      r.door,
		log:       r.log,
		timeout:   r.config.StopTimeout,
	}
	l.serve = func(ctx context.Context, conn *net.TCPConn, from *origin, spoke func()) {
		r.newStream(conn, from, spoke).run(ctx)
	}
	r.streams = append(r.streams, l)
	return nil
}

func (r *Receiver) newStream(conn net.Conn, from *origin, spoke func()) *stream {
	return &stream{
		conn:    conn,
		from:    from,
		intake:  r.newIntake(from.transport),
		frames:  splitter{max: r.config.MaxMessageSize},
		spoke:   spoke,
		timeout: r.config.StopTimeout,
	}
}

func (r *Receiver) newIntake(t Transport) intake {
	return intake{handle: r.handle, counts: r.metrics.of(t)}
}

// count makes the metrics and gives the listeners theirs.
func (r *Receiver) count(registerer prometheus.Registerer) (err error) {
	if r.metrics, err = newMetrics(registerer); err != nil {
		return err
	}
	for _, l := range r.streams {
		l.counts = r.metrics.of(l.transport)
	}
	return register(registerer, newSocketCollector(r.datagrams))
}

// Addrs returns the addresses that are listened on, in the order of the
// configuration: UDP, then TCP.
func (r *Receiver) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, conn := range r.udp {
		addrs = append(addrs, conn.LocalAddr())
	}
	for _, l := range r.streams {
		addrs = append(addrs, l.socket.Addr())
	}
	return addrs
}

// Run reads until ctx is cancelled, then drains: datagram sockets are read
// empty, streams are half-closed and read to their end, at most for
// Config.StopTimeout. It returns when no goroutine of the receiver is left and
// Handle will not be called again; the error is that of a listener that ended
// by itself, which ends the others.
func (r *Receiver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		running sync.WaitGroup
		once    sync.Once
		failure error
	)
	start := func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil {
				once.Do(func() { failure = err })
				cancel()
			}
		})
	}
	for _, conn := range r.udp {
		start(newUDPReader(conn, r).run)
	}
	for _, l := range r.streams {
		start(l.run)
	}
	running.Wait()
	return errors.Join(failure, r.Close())
}

// Close releases the sockets of a Receiver that was not run.
func (r *Receiver) Close() error {
	for _, conn := range r.udp {
		conn.Close()
	}
	for _, l := range r.streams {
		l.socket.Close()
	}
	if r.routes != nil {
		return r.routes.close()
	}
	return nil
}
