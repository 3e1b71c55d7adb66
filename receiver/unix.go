package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unixMode lets the members of our group write to the socket, and root, as
// which sendmail's daemon runs.
const unixMode = 0o660

// unixReader reads one Unix datagram socket.
type unixReader struct {
	conn      *net.UnixConn
	intake    intake
	from      *origin
	buffer    []byte
	timeout   time.Duration // to drain, see Config.StopTimeout
	inherited bool          // systemd keeps the socket
}

func newUnixReader(conn *net.UnixConn, r *Receiver) *unixReader {
	return &unixReader{
		conn:   conn,
		intake: r.newIntake(Unix),
		from:   &origin{sender: "unix", transport: Unix},
		buffer: make([]byte, r.config.MaxMessageSize),

		timeout:   r.config.StopTimeout,
		inherited: slices.Contains(r.kept, net.PacketConn(conn)),
	}
}

// run reads until ctx is cancelled and the socket is empty.
func (u *unixReader) run(ctx context.Context) error {
	defer u.conn.Close()
	deadline, stop := endReads(ctx, u.conn, u.timeout)
	defer stop()
	raw, err := u.conn.SyscallConn()
	for err == nil {
		var failed error
		err = raw.Read(func(fd uintptr) (done bool) {
			failed = u.take(int(fd))
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err == nil && failed != nil && !isTransient(failed) {
			return failed
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		take := func() error { return control(raw, u.take) }
		return drain(raw, <-deadline, u.inherited, u.intake.counts, take)
	}
	return err
}

// take reads what is there, up to datagramsPerRead, and hands it over. The
// error is EAGAIN if there was nothing.
func (u *unixReader) take(fd int) error {
	var (
		all strings.Builder
		err error
	)
	u.intake.begin()
	for range datagramsPerRead {
		var n int
		if n, _, err = unix.Recvfrom(fd, u.buffer, unix.MSG_DONTWAIT|unix.MSG_TRUNC); err != nil {
			break
		}
		kept := min(n, len(u.buffer))
		u.intake.batch.frames = append(u.intake.batch.frames, span{start: all.Len(), end: all.Len() + kept, cut: n > kept})
		all.Write(u.buffer[:kept])
	}
	some := len(u.intake.batch.frames) > 0
	u.intake.addAll(all.String(), time.Now(), func(int) *origin { return u.from })
	u.intake.flush(nil, nil)
	if some {
		return nil
	}
	return err
}

// listenUnix binds a datagram socket to path, in place of one that a process
// left behind.
func listenUnix(path string) (*net.UnixConn, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, unixMode); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// removeStale removes a socket that nobody listens on, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	conn, err := net.Dial("unixgram", path)
	if err == nil {
		conn.Close()
		return unix.EADDRINUSE
	}
	return os.Remove(path)
}
