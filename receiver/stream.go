package receiver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// drainIdle is for how long a connection that was half-closed may send
	// nothing before it is closed: an idle rsyslog reads the FIN only before
	// its next message, and then does not send it here.
	drainIdle = time.Second
	// maxAcceptPause is the longest pause between two attempts to accept
	// while the process has no descriptor left.
	maxAcceptPause = time.Second
)

// streamListener accepts connections of one kind at one address.
type streamListener struct {
	receiver     *Receiver
	transport    Transport
	socket       *net.TCPListener
	certificates *certificates // nil without TLS
	counts       *counters
	// serve reads a connection to its end.
	serve func(context.Context, *visit)
	// until is when connections that drain must have ended. It is set before
	// their context is cancelled.
	until time.Time
}

// visit is a connection that is served.
type visit struct {
	listener *streamListener
	tcp      *net.TCPConn
	conn     net.Conn // tcp itself, or TLS over it
	from     *origin
	ended    sync.Once // its right has ended
	deadline time.Time // for its next bytes; zero before the first read
	// spoke must be called when a message has come that could be read.
	spoke func()
}

// run accepts until ctx is cancelled and what the kernel has queued is
// accepted; it returns when every connection has ended. Only when nobody can
// connect any more are the connections told to end: a sender that connected
// again at once could be in the kernel's queue when the socket closes, and what
// it had written would be lost.
func (l *streamListener) run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	draining, drain := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		l.until = time.Now().Add(l.receiver.config.StopTimeout)
		drain()
	}()
	defer l.socket.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.socket.SetDeadline(time.Now().Add(drainGrace)) })
	defer stop()
	for pause := time.Duration(0); ; {
		conn, err := l.socket.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			serving.Go(func() { l.welcome(draining, conn) })
		case isExhausted(err):
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
			l.starve(ctx, pause)
		case errors.Is(err, unix.ECONNABORTED):
		case ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// isExhausted reports whether accepting failed for want of what other
// connections hold.
func isExhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// starve makes room for a descriptor and waits. While the listener stops,
// connections end by themselves, and none is closed before it has drained.
func (l *streamListener) starve(ctx context.Context, pause time.Duration) {
	l.counts.reject(refuseDescriptors)
	ended := ctx.Done()
	if ctx.Err() != nil {
		ended, pause = nil, min(pause, drainGrace/10)
	} else if l.receiver.door.makeRoom() {
		l.counts.reject(refuseSilent)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// welcome judges whether to serve conn, by its address before a byte is read,
// and serves it.
func (l *streamListener) welcome(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	door := l.receiver.door
	g, ok := l.admit(conn)
	if !ok {
		return
	}
	defer door.leave(g)
	l.counts.accepted.Inc()
	l.counts.connections.Inc()
	defer l.counts.connections.Dec()
	part := func() {}
	defer func() { part() }()
	v := &visit{
		listener: l,
		tcp:      conn,
		conn:     conn,
		from:     &origin{sender: g.addr.String(), addr: g.addr, transport: l.transport},
		spoke: sync.OnceFunc(func() {
			door.spoke(g)
			part = l.receiver.meet(g.addr)
		}),
	}
	if l.certificates != nil && !l.secure(ctx, v, g) {
		return
	}
	l.receiver.visits.add(v)
	defer l.receiver.visits.remove(v)
	if l.receiver.endIfMayNot(v, time.Now()) { // it may have ended meanwhile
		return
	}
	v.from.host = l.receiver.policy.Load().host(v.from)
	l.receiver.fleet.greet(v.from)
	l.serve(ctx, v)
	l.receiver.fleet.part(v.from)
}

// admit lets conn in or refuses it. With mutual TLS the certificate decides
// instead of the address.
func (l *streamListener) admit(conn *net.TCPConn) (*guest, bool) {
	addr := peerOf(conn)
	listed := l.receiver.policy.Load().allows(addr)
	if !listed && (l.certificates == nil || !l.certificates.mutual()) {
		l.receiver.refusals.add(Refusal{Addr: addr, Transport: l.transport, Reason: refuseSender, Last: time.Now()})
		l.refuse(conn, refuseSender)
		return nil, false
	}
	g := &guest{addr: addr, listed: listed, evict: func() { reset(conn) }}
	evicted, refusal := l.receiver.door.enter(g)
	if evicted {
		l.counts.reject(refuseSilent)
	}
	if refusal != "" {
		l.refuse(conn, refusal)
		return nil, false
	}
	return g, true
}

// secure makes a TLS connection of v.
func (l *streamListener) secure(ctx context.Context, v *visit, g *guest) bool {
	door := l.receiver.door
	door.beginHandshake(g)
	conn := &knock{Conn: v.tcp}
	secure, err := l.certificates.handshake(ctx, conn, v.from)
	door.endHandshake(g)
	if err != nil && conn.isProbe(err) {
		l.counts.probes.Inc()
		return false
	}
	if err != nil {
		reason := handshakeFailure(err)
		l.counts.reject(reason)
		if g.listed || reason != refuseHandshake {
			l.receiver.refusals.add(Refusal{Addr: g.addr, Transport: l.transport, Reason: reason, Name: certificateName(err), Last: time.Now()})
		}
		l.receiver.log.Debug("handshake failed", "listener", l.transport.String(), "peer", v.tcp.RemoteAddr().String(), "error", err)
		return false
	}
	l.receiver.refusals.heard(g.addr)
	v.conn, v.from.encrypted = secure, true
	return true
}

// refuse closes conn so that its sender notices at once.
func (l *streamListener) refuse(conn *net.TCPConn, reason string) {
	l.counts.reject(reason)
	l.receiver.log.Debug("connection refused", "listener", l.transport.String(), "peer", conn.RemoteAddr().String(), "reason", reason)
	reset(conn)
}

// reset closes conn with an RST and leaves nothing behind in the kernel.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	conn.Close()
}

// peerOf returns the address of the other end in canonical form.
func peerOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// stream reads frames from a connection: the part that plain TCP and TLS have
// in common.
type stream struct {
	*visit
	intake intake
	frames splitter
	buffer buffer
}

// run reads to the end of the stream. When ctx is cancelled the other side is
// told to end and gets until the timeout to do so. Over TLS too that is a FIN:
// rsyslog does not look for close_notify before it sends.
func (s *stream) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		_ = s.tcp.CloseWrite()
		_ = s.conn.SetReadDeadline(time.Now().Add(min(drainIdle, time.Until(s.listener.until))))
	})
	defer stop()
	for told := false; ; {
		now := time.Now()
		if s.late(ctx, now) {
			s.giveUp()
			return
		}
		s.arm(now)
		if ctx.Err() != nil {
			_ = s.conn.SetReadDeadline(earlier(now.Add(drainIdle), s.listener.until))
		}
		n, err := s.conn.Read(s.buffer.space(s.frames.max))
		if n > 0 {
			s.buffer.filled(n)
			// A buffer of tiny frames holds many batches.
			for received := time.Now(); s.take(received) && !s.late(ctx, time.Now()); {
				continue
			}
		}
		if !told && s.isIdle(ctx, err) {
			told = true
			_ = s.tcp.CloseWrite()
			continue
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// late reports whether the time to drain is over.
func (v *visit) late(ctx context.Context, now time.Time) bool {
	return ctx.Err() != nil && !now.Before(v.listener.until)
}

// giveUp counts the frames that were read and are not taken any more.
func (s *stream) giveUp() {
	left := s.buffer.bytes()
	for spans := make([]span, 0, MaxBatch); ; {
		frames, used := s.frames.split(left, spans)
		if len(frames) == 0 {
			return
		}
		for range frames {
			s.intake.counts.drop(dropShutdown)
		}
		left = left[used:]
	}
}

// arm gives the other end Config.IdleTimeout for its next bytes. The deadline is
// moved when a sixteenth of it has passed: that is cheaper than at each read.
func (v *visit) arm(now time.Time) {
	idle := v.listener.receiver.policy.Load().idle
	if idle == 0 {
		if !v.deadline.IsZero() {
			v.deadline = time.Time{}
			_ = v.conn.SetReadDeadline(v.deadline)
		}
		return
	}
	if left := v.deadline.Sub(now); left < idle-idle/16 || left > idle {
		v.deadline = now.Add(idle)
		_ = v.conn.SetReadDeadline(v.deadline)
	}
}

// isIdle reports, and counts, whether a read ended since nothing has come for
// Config.IdleTimeout.
func (v *visit) isIdle(ctx context.Context, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return false
	}
	v.listener.counts.reject(refuseIdle)
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// take hands over whole frames in the buffer, as many as a batch holds; more
// reports whether there may be others.
func (s *stream) take(received time.Time) (more bool) {
	s.intake.begin()
	b := s.intake.batch
	var used int
	b.frames, used = s.frames.split(s.buffer.bytes(), b.frames)
	text, release := s.buffer.take(used)
	if len(b.frames) > 0 {
		s.intake.addAll(text, received, func(int) *origin { return s.from })
	}
	if len(b.messages) > 0 {
		s.spoke()
	}
	more = s.intake.full()
	s.intake.flush(nil, release)
	return more
}

// end takes what the stream ended with, if its sender closed it in order.
func (s *stream) end(err error) {
	left := s.buffer.bytes()
	frame, ok := s.frames.rest(left)
	if errors.Is(err, io.EOF) && ok {
		s.intake.begin()
		s.intake.batch.frames = append(s.intake.batch.frames, frame)
		s.intake.addAll(string(left), time.Now(), func(int) *origin { return s.from })
		s.intake.flush(nil, nil)
	} else if len(left) > 0 {
		s.intake.tear(left, s.from)
	}
}
