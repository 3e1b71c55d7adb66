package console

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	socketMode  = 0o660
	socketGroup = "uppercut"
)

// listenSocket binds the control socket. One that a crash left behind is
// replaced; one that somebody answers on is not.
func listenSocket(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %q: %w", path, err)
	}
	if err := shareWithGroup(path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("control socket %q: another uppercut answers on it", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil // mostly: there is none. Anything worse, Listen will say.
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale control socket %q: %w", path, err)
	}
	return nil
}

// changeGroup does not call the kernel where it need not: the unit's system call
// filter refuses this call, and what it refuses is written to the audit log.
func changeGroup(path string, gid int) error {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err == nil && int(stat.Gid) == gid {
		return nil
	}
	return os.Chown(path, -1, gid)
}

// shareWithGroup gives the socket to group uppercut if the machine has one and
// we may; without it only the owner gets in. The group comes first: there must
// be no moment in which the wrong one may write.
func shareWithGroup(path string) error {
	if g, err := user.LookupGroup(socketGroup); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil {
			if err := changeGroup(path, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("give control socket %q to group %s: %w", path, socketGroup, err)
			}
		}
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return fmt.Errorf("set mode of control socket %q: %w", path, err)
	}
	return nil
}
