package receiver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// smallBuffer is what a connection holds until it sends more at once.
	smallBuffer = 4 << 10
	// largeBuffer is what a busy connection reads at once.
	largeBuffer = 128 << 10
	// calmReads is after how many small reads a busy connection's buffer
	// shrinks again.
	calmReads = 256
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
	transport Transport
	socket    *net.TCPListener
	policy    *policy
	door      *door
	counts    *counters
	log       *slog.Logger
	timeout   time.Duration // to drain, see Config.StopTimeout
	// serve reads a connection to its end. It must call spoke when the first
	// whole message has come.
	serve func(ctx context.Context, conn *net.TCPConn, from *origin, spoke func())
}

// run accepts until ctx is cancelled and what the kernel has queued is
// accepted; it returns when every connection has ended.
func (l *streamListener) run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	defer l.socket.Close()
	stop := context.AfterFunc(ctx, func() { l.socket.SetDeadline(time.Now().Add(drainGrace)) })
	defer stop()
	for pause := time.Duration(0); ; {
		conn, err := l.socket.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			serving.Go(func() { l.welcome(ctx, conn) })
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

// starve makes room for a descriptor and waits.
func (l *streamListener) starve(ctx context.Context, pause time.Duration) {
	l.counts.reject(refuseDescriptors)
	if l.door.makeRoom() {
		l.counts.reject(refuseSilent)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// welcome judges whether to serve conn, by its address alone, and serves it.
func (l *streamListener) welcome(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	addr := peerOf(conn)
	if !l.policy.allows(addr) {
		l.refuse(conn, refuseSender)
		return
	}
	g := &guest{addr: addr, evict: func() { reset(conn) }}
	evicted, refusal := l.door.enter(g)
	if evicted {
		l.counts.reject(refuseSilent)
	}
	if refusal != "" {
		l.refuse(conn, refusal)
		return
	}
	defer l.door.leave(g)
	l.counts.accepted.Inc()
	l.counts.connections.Inc()
	defer l.counts.connections.Dec()
	stop := context.AfterFunc(ctx, func() { conn.CloseWrite() })
	defer stop()
	from := &origin{sender: addr.String(), addr: addr, transport: l.transport}
	l.serve(ctx, conn, from, sync.OnceFunc(func() { l.door.spoke(g) }))
}

// refuse closes conn so that its sender notices at once.
func (l *streamListener) refuse(conn *net.TCPConn, reason string) {
	l.counts.reject(reason)
	l.log.Debug("connection refused", "listener", l.transport.String(), "peer", conn.RemoteAddr().String(), "reason", reason)
	reset(conn)
}

// reset closes conn with an RST and leaves nothing behind in the kernel.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
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
	conn    net.Conn
	from    *origin
	intake  intake
	frames  splitter
	buffer  buffer
	spoke   func()
	timeout time.Duration
}

// run reads to the end of the stream. When ctx is cancelled the other side has
// been told to end (a FIN), and gets until the timeout to do so.
func (s *stream) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { s.conn.SetReadDeadline(time.Now().Add(min(drainIdle, s.timeout))) })
	defer stop()
	var deadline time.Time
	for {
		n, err := s.conn.Read(s.buffer.space(s.frames.max))
		if n > 0 {
			s.buffer.filled(n)
			s.take(time.Now())
		}
		if err != nil {
			s.end(err)
			return
		}
		if ctx.Err() != nil {
			now := time.Now()
			if deadline.IsZero() {
				deadline = now.Add(s.timeout)
			}
			s.conn.SetReadDeadline(earlier(now.Add(drainIdle), deadline))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// take hands over the whole frames in the buffer.
func (s *stream) take(received time.Time) {
	s.intake.begin()
	b := s.intake.batch
	var used int
	b.frames, used = s.frames.split(s.buffer.bytes(), b.frames)
	if len(b.frames) > 0 {
		s.spoke()
		text := string(s.buffer.bytes()[:used])
		s.intake.addAll(text, received, func(int) *origin { return s.from })
	}
	s.intake.flush(nil)
	s.buffer.drop(used)
}

// end takes what the stream ended with, if its sender closed it in order.
func (s *stream) end(err error) {
	left := s.buffer.bytes()
	frame, ok := s.frames.rest(left)
	if errors.Is(err, io.EOF) && ok {
		s.intake.begin()
		s.intake.batch.frames = append(s.intake.batch.frames, frame)
		s.intake.addAll(string(left), time.Now(), func(int) *origin { return s.from })
		s.intake.flush(nil)
	} else if len(left) > 0 {
		s.intake.counts.drop(dropFraming)
		s.intake.counts.framingFailures.Inc()
	}
}

// buffer holds what was read of a stream and is not yet a whole frame. It
// starts small, since most connections are idle, and grows with the load.
type buffer struct {
	data []byte
	have int
	calm int // reads since the last one that filled a quarter
}

// space returns where to read to; the buffer grows up to a frame of max bytes
// with its count.
func (b *buffer) space(limit int) []byte {
	if b.have == len(b.data) {
		size := min(max(2*len(b.data), smallBuffer), max(largeBuffer, limit+maxCountDigits+2))
		b.resize(size)
	} else if b.have == 0 && b.calm > calmReads && len(b.data) > smallBuffer {
		b.resize(smallBuffer)
	}
	return b.data[b.have:]
}

func (b *buffer) resize(size int) {
	data := make([]byte, size)
	copy(data, b.data[:b.have])
	b.data, b.calm = data, 0
}

func (b *buffer) filled(n int) {
	b.have += n
	if b.calm++; n > len(b.data)/4 {
		b.calm = 0
	}
}

func (b *buffer) bytes() []byte { return b.data[:b.have] }

// drop forgets the first n bytes.
func (b *buffer) drop(n int) { b.have = copy(b.data, b.data[n:b.have]) }
