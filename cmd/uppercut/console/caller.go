package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// caller is who sends a request.
type caller struct {
	// name is the author in the audit log, "" for nobody in particular.
	name string
	// trusted callers see evidence and, unless they are readers, may act.
	trusted bool
	// reader is a user whom web.readers lists: one who sees and does not act.
	reader bool
	// local callers came over the control socket, not from a browser.
	local bool
}

// may reports whether the caller has the access that something needs.
func (c caller) may(needs access) bool {
	switch needs {
	case counts:
		return true
	case evidence:
		return c.trusted
	default:
		return c.trusted && !c.reader
	}
}

type callerKey struct{}

func withCaller(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// peerContext keeps what the kernel says of who connected to a Unix socket; it
// is an http.Server.ConnContext.
func peerContext(ctx context.Context, conn net.Conn) context.Context {
	name, err := peerName(conn)
	if err != nil {
		return ctx // an unknown peer is nobody: the handlers refuse it
	}
	return context.WithValue(ctx, callerKey{}, caller{name: name, trusted: true, local: true})
}

// peerName returns the name of the user at the other end, "uid N" for one that
// the machine does not know.
func peerName(conn net.Conn) (string, error) {
	cred, err := Peer(conn)
	if err != nil {
		return "", err
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username, nil
	}
	return "uid " + uid, nil
}

// Peer returns what the kernel says of the process at the other end of a Unix
// socket: who connected, or who began to listen.
func Peer(conn net.Conn) (unix.Ucred, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return unix.Ucred{}, fmt.Errorf("no peer credentials on %s", conn.LocalAddr().Network())
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return unix.Ucred{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return unix.Ucred{}, err
	}
	if credErr != nil {
		return unix.Ucred{}, fmt.Errorf("read peer credentials: %w", credErr)
	}
	return *cred, nil
}
