package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Handler takes over a batch of messages of one sender or one read. It is
// called by many goroutines at once and may block, which slows the sender
// where the protocol can. The slice belongs to the receiver again when Handle
// returns.
//
// judged, if not nil, must be called exactly once, from any goroutine, when
// every message of the batch has been judged and any block that came of it is
// durable; RELP acknowledges then. release, if not nil, may be called once, from
// any goroutine, when nothing refers to a string of the batch any more: their
// memory is used again.
type Handler func(batch []Message, judged, release func())

// Unread is a frame that could not be read.
type Unread struct {
	// Stage is framing if it is no frame, syslog if its header says nothing that
	// is known; Reason the label of the latter in the metrics, else "".
	Stage, Reason string
	// Sender is what Message.Sender is, Host the name that the configuration
	// gives to the sender, "" for none.
	Sender, Host string
	Received     time.Time
	// Text is the frame, or the beginning of what is none.
	Text string
}

// Options are a Receiver's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Handle takes the messages; it must not be nil.
	Handle Handler
	// Unread, if not nil, hears of every frame that could not be read. It is
	// called by many goroutines at once; the text is valid until it returns.
	Unread func(Unread)
	// Inherited are sockets that systemd passed (activation.Files). Each takes
	// the place of one that the configuration lists; others are taken for what
	// they are: UDP, plain TCP, the local socket. New closes the files. A
	// datagram that came before the socket had IP_PKTINFO (PassPacketInfo=yes
	// in the unit) does not pass the reverse-path check.
	Inherited []*os.File
	// Met, if not nil, hears of every stream sender that has sent a message
	// which could be read; it returns what to call when that connection has
	// ended. It is called by many goroutines at once.
	Met func(netip.Addr) (parted func())
	// Hosts names the mail hosts in metrics; nil makes one of the
	// configuration. The Receiver tells it of a new configuration.
	Hosts *Hosts
}

// Receiver owns the listening sockets.
type Receiver struct {
	log      *slog.Logger
	handle   Handler
	unread   func(Unread)
	met      func(netip.Addr) (parted func())
	metrics  *metrics
	door     *door
	fleet    *fleet
	refusals *refusals
	routes   *routes // nil without the reverse-path check
	policy   atomic.Pointer[policy]
	places   chan struct{} // see MaxBatches
	visits   visits

	mu           sync.Mutex // guards config after New
	config       Config
	certificates *certificates // nil without TLS
	inherited    *inherited
	udp          []*net.UDPConn
	kept         []net.PacketConn // those that systemd keeps
	unix         []*net.UnixConn
	unixPaths    []string // those to remove
	datagrams    []*datagramSocket
	streams      []*streamListener
}

// New checks the configuration and binds every socket, but reads nothing. On
// error nothing stays bound. The error begins with the key that is wrong.
func New(c Config, o Options) (_ *Receiver, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Hosts == nil {
		if o.Hosts, err = NewHosts(c, o.Registerer); err != nil {
			return nil, err
		}
	}
	r := &Receiver{
		config:   c,
		log:      o.Logger,
		handle:   o.Handle,
		unread:   o.Unread,
		met:      o.Met,
		door:     newDoor(c),
		fleet:    newFleet(o.Hosts, c.Hosts, time.Now()),
		refusals: newRefusals(o.Logger),
		places:   make(chan struct{}, MaxBatches),
	}
	r.policy.Store(newPolicy(c))
	if r.inherited, err = inherit(o.Inherited); err != nil {
		return nil, err
	}
	if err := r.bind(o.Registerer); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// bind does everything that can fail: first what binds nothing.
func (r *Receiver) bind(registerer prometheus.Registerer) (err error) {
	c := r.config
	if c.TLS.enabled() {
		if r.certificates, err = loadCertificates(c.TLS, r.log); err != nil {
			return err
		}
	}
	for _, kind := range []struct {
		key       string
		addresses []string
		bind      func(address string) error
	}{
		{"udp", c.UDP, r.bindUDP},
		{"unix", c.Unix, r.bindUnix},
		{"tcp", c.TCP, r.streamBinder(TCP, nil, r.serveSyslog)},
		{"tls.listen", c.TLS.Listen, r.streamBinder(TLS, r.certificates, r.serveSyslog)},
		{"relp", c.RELP, r.streamBinder(RELP, nil, r.serveRELP)},
		{"tls.relp_listen", c.TLS.RELPListen, r.streamBinder(RELP, r.certificates, r.serveRELP)},
	} {
		for i, address := range kind.addresses {
			key := fmt.Sprintf("%s[%d]", kind.key, i)
			if err := kind.bind(address); err != nil {
				return bindError(key, address, err)
			}
		}
	}
	if err := r.adopt(); err != nil {
		return err
	}
	if len(r.udp) > 0 && c.ReversePath {
		if r.routes, err = dialRoutes(); err != nil {
			return err
		}
	}
	return r.count(registerer)
}

func (r *Receiver) bindUDP(address string) (err error) {
	var conns []*net.UDPConn
	if conn := takePacket[*net.UDPConn](r.inherited, address); conn != nil {
		conns = append(conns, conn)
		r.kept = append(r.kept, conn)
	} else if conns, err = listenUDP(address, r.readers()); err != nil {
		return err
	}
	return r.useUDP(conns...)
}

// useUDP makes listeners of bound sockets.
func (r *Receiver) useUDP(conns ...*net.UDPConn) error {
	r.udp = append(r.udp, conns...)
	for _, conn := range conns {
		socket, err := newDatagramSocket(conn, r.config.ReceiveBuffer)
		if err != nil {
			return err
		}
		r.datagrams = append(r.datagrams, socket)
	}
	return nil
}

func (r *Receiver) readers() int {
	if r.config.Readers > 0 {
		return r.config.Readers
	}
	return min(runtime.GOMAXPROCS(0), 4)
}

func (r *Receiver) bindUnix(path string) error {
	conn := takePacket[*net.UnixConn](r.inherited, path)
	if conn == nil {
		var err error
		if conn, err = listenUnix(path); err != nil {
			return err
		}
		r.unixPaths = append(r.unixPaths, path)
	} else {
		r.kept = append(r.kept, conn)
	}
	r.unix = append(r.unix, conn)
	return nil
}

// streamBinder returns what binds the listeners of one kind.
func (r *Receiver) streamBinder(t Transport, k *certificates, serve func(context.Context, *visit)) func(address string) error {
	return func(address string) error {
		socket := r.inherited.takeStream(address)
		if socket == nil {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			socket = l.(*net.TCPListener)
		}
		r.useStream(t, socket, k, serve)
		return nil
	}
}

func (r *Receiver) useStream(t Transport, socket *net.TCPListener, k *certificates, serve func(context.Context, *visit)) {
	r.streams = append(r.streams, &streamListener{
		receiver: r, transport: t, socket: socket, certificates: k, serve: serve,
	})
}

// adopt takes the inherited sockets that no key lists for what they are: UDP,
// the local socket, plain TCP.
func (r *Receiver) adopt() error {
	for _, p := range r.inherited.packets {
		switch conn := p.(type) {
		case *net.UDPConn:
			r.kept = append(r.kept, conn)
			if err := r.useUDP(conn); err != nil {
				return err
			}
		case *net.UnixConn:
			r.kept = append(r.kept, conn)
			r.unix = append(r.unix, conn)
		default:
			return fmt.Errorf("socket activation: %s %s: list only datagram and stream sockets in the .socket unit", p.LocalAddr().Network(), p.LocalAddr())
		}
	}
	for _, s := range r.inherited.streams {
		socket, ok := s.(*net.TCPListener)
		if !ok {
			return fmt.Errorf("socket activation: %s %s: local sockets must be datagram sockets", s.Addr().Network(), s.Addr())
		}
		r.useStream(TCP, socket, nil, r.serveSyslog)
	}
	r.inherited = new(inherited)
	return nil
}

func (r *Receiver) serveSyslog(ctx context.Context, v *visit) {
	s := &stream{
		visit:  v,
		intake: r.newStreamIntake(v.from.transport),
		frames: splitter{max: r.config.MaxMessageSize},
	}
	s.run(ctx)
}

func (r *Receiver) serveRELP(ctx context.Context, v *visit) {
	s := &relpSession{
		visit:   v,
		intake:  r.newStreamIntake(v.from.transport),
		frames:  relpSplitter{max: r.config.MaxMessageSize},
		timeout: r.config.StopTimeout,
	}
	s.run(ctx)
}

func (r *Receiver) newIntake(t Transport) intake {
	return intake{handle: r.handle, counts: r.metrics.kinds[t], fleet: r.fleet, rules: &r.policy, unread: r.unread}
}

func (r *Receiver) newStreamIntake(t Transport) intake {
	in := r.newIntake(t)
	in.places = r.places
	return in
}

// count makes the metrics and gives the listeners theirs.
func (r *Receiver) count(registerer prometheus.Registerer) (err error) {
	if r.metrics, err = newMetrics(registerer, r); err != nil {
		return err
	}
	for _, l := range r.streams {
		l.counts = r.metrics.kinds[l.transport]
	}
	return nil
}

// transports returns the kinds of listeners that there are.
func (r *Receiver) transports() (all []Transport) {
	for _, t := range []Transport{UDP, TCP, TLS, RELP, Unix} {
		if len(r.Addrs(t)) > 0 {
			all = append(all, t)
		}
	}
	return all
}

// Reconfigure puts a new configuration in force: senders, hosts, limits and
// certificates. It closes the connections of those who may no longer log, and
// no others. An error, which begins with the
// key, leaves everything as it was; so does a change of what only a restart
// can change, such as an address to listen on.
func (r *Receiver) Reconfigure(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := NeedsRestart(r.config, c); err != nil {
		return err
	}
	if r.certificates != nil {
		if err := r.certificates.reconfigure(c.TLS); err != nil {
			return err
		}
	}
	p := newPolicy(c)
	r.policy.Store(p)
	r.fleet.labels.configure(p)
	r.refusals.listed(p)
	r.door.limit(c)
	r.fleet.configure(c.Hosts)
	r.endRights(time.Now())
	return nil
}

// Senders returns what is known of each sender, sorted by name, with the hosts
// of the configuration that never sent.
func (r *Receiver) Senders() []SenderStatus { return r.fleet.status(time.Now()) }

// Unread returns how many frames could not be read, of all senders.
func (r *Receiver) Unread() uint64 { return r.fleet.allUnread() }

// Refusals returns who tried to send within RefusalMemory and is not heard, the
// last first.
func (r *Receiver) Refusals() []Refusal { return r.refusals.list(time.Now()) }

// meet tells who wants to know that a sender has shown itself, and returns what
// to call when it has gone.
func (r *Receiver) meet(a netip.Addr) (parted func()) {
	if r.met == nil {
		return func() {}
	}
	return r.met(a)
}

// Addrs returns the addresses that are listened on: where the configuration
// says port 0, the one that the kernel chose.
func (r *Receiver) Addrs(t Transport) []net.Addr {
	var addrs []net.Addr
	switch t {
	case UDP:
		for _, conn := range r.udp {
			addrs = append(addrs, conn.LocalAddr())
		}
	case Unix:
		for _, conn := range r.unix {
			addrs = append(addrs, conn.LocalAddr())
		}
	case TCP, TLS, RELP:
		for _, l := range r.streams {
			if l.transport == t {
				addrs = append(addrs, l.socket.Addr())
			}
		}
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
	for _, run := range r.runs() {
		running.Go(func() {
			if err := run(ctx); err != nil {
				once.Do(func() { failure = err })
				cancel()
			}
		})
	}
	running.Wait()
	return errors.Join(failure, r.Close())
}

// runs returns what to run for each socket.
func (r *Receiver) runs() (runs []func(context.Context) error) {
	for _, conn := range r.udp {
		runs = append(runs, newUDPReader(conn, r).run)
	}
	for _, conn := range r.unix {
		runs = append(runs, newUnixReader(conn, r).run)
	}
	for _, l := range r.streams {
		runs = append(runs, l.run)
	}
	if r.certificates != nil {
		runs = append(runs, r.watchRights)
	}
	return runs
}

// Close releases the sockets of a Receiver that does not run.
func (r *Receiver) Close() error {
	for _, conn := range r.udp {
		conn.Close()
	}
	for _, conn := range r.unix {
		conn.Close()
	}
	for _, path := range r.unixPaths {
		_ = os.Remove(path)
	}
	r.unixPaths = nil
	for _, l := range r.streams {
		l.socket.Close()
	}
	errs := []error{r.inherited.close()}
	if r.routes != nil {
		errs = append(errs, r.routes.close())
	}
	return errors.Join(errs...)
}
