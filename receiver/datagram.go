package receiver

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the readers of UDP and of the local socket have in common.

const (
	// datagramsPerRead is how many datagrams are taken at once.
	datagramsPerRead = 64
	// drainGrace is for how long a listener that stops still waits for what is
	// on its way.
	drainGrace = 50 * time.Millisecond
)

// endReads makes reads of conn fail with os.ErrDeadlineExceeded drainGrace after
// ctx ends; by then deadline gives the time until which the reader may drain.
func endReads(ctx context.Context, conn net.Conn, timeout time.Duration) (deadline <-chan time.Time, stop func() bool) {
	ended := make(chan time.Time, 1)
	stop = context.AfterFunc(ctx, func() {
		ended <- time.Now().Add(timeout)
		_ = conn.SetReadDeadline(time.Now().Add(drainGrace))
	})
	return ended, stop
}

// drain takes what a socket still holds: Go reads nothing once a deadline has
// passed, however much there is. take hands over some of it; its error is EAGAIN
// when that was all. At the deadline the rest is dropped, unless the socket is
// inherited: systemd's, where it waits for who reads next.
func drain(raw syscall.RawConn, deadline time.Time, inherited bool, counts *counters, take func() error) error {
	for time.Now().Before(deadline) {
		err := take()
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil && !isTransient(err) {
			return err
		}
	}
	if inherited {
		return nil
	}
	return discard(raw, counts)
}

// discard empties a datagram socket that is about to be closed and counts what
// is lost so.
func discard(raw syscall.RawConn, counts *counters) error {
	var one [1]byte
	return control(raw, func(fd int) error {
		if err := admitNone(fd); err != nil {
			return err
		}
		for {
			switch _, _, err := unix.Recvfrom(fd, one[:], unix.MSG_DONTWAIT); {
			case err == nil:
				counts.drop(dropShutdown)
			case errors.Is(err, unix.EAGAIN):
				return nil
			case !isTransient(err):
				return err
			}
		}
	})
}

// admitNone lets no further datagram into a socket, so that who empties it comes
// to an end: it has a filter that passes nothing. The kernel counts what it keeps
// out as the socket's drops.
func admitNone(fd int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
}

// isTransient tells the errors that a datagram socket reports once, on behalf
// of the network, from those that end it.
func isTransient(err error) bool {
	return errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNREFUSED) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENETDOWN)
}
