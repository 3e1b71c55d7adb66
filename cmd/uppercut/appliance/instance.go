package appliance

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"uppercut/cmd/uppercut/console"
)

// claimName is an abstract Unix socket: there is one of a name in each network
// namespace, as there is one table, also where containers share it, and it goes
// with its process.
const claimName = "@uppercut/inet/uppercut"

// claimUser is who runs the packaged service.
const claimUser = "uppercut"

// ClaimTable makes this process the only uppercut that writes the table in the
// network namespace, until release is called: each of two would take
// the other's blocks for damage and remove them.
//
// Everybody on the machine may take an abstract name, so it is believed only of
// those who may run an uppercut; of others it is a warning, or they could keep
// the real one from starting.
func ClaimTable(logger *slog.Logger) (release func(), err error) {
	claim, err := net.Listen("unix", claimName)
	switch {
	case err == nil:
		return func() { _ = claim.Close() }, nil
	case !errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("claim the table: %w", err)
	}
	holder, err := claimHolder()
	if err != nil || !mayServe(int(holder.Uid)) {
		logger.Warn("cannot detect a second uppercut in this network namespace: another process holds the name that marks a running one",
			"name", claimName, "error", err, "pid", holder.Pid, "uid", holder.Uid)
		return func() {}, nil
	}
	return nil, fmt.Errorf("firewall: process %d (user %d) is an uppercut that already enforces in this network namespace: "+
		"name its state directory (--state-dir) to ask it, or stop it", holder.Pid, holder.Uid)
}

// mayServe tells whether a user is one who runs an uppercut: root, we, or the
// user of the packaged service.
func mayServe(uid int) bool {
	if uid == 0 || uid == os.Geteuid() {
		return true
	}
	service, err := user.Lookup(claimUser)
	return err == nil && service.Uid == strconv.Itoa(uid)
}

// claimHolder returns who listens on the name.
func claimHolder() (unix.Ucred, error) {
	conn, err := net.Dial("unix", claimName)
	if err != nil {
		return unix.Ucred{}, err
	}
	defer conn.Close()
	return console.Peer(conn)
}
