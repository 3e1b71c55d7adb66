package appliance

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"uppercut/cmd/uppercut/config"
	"uppercut/enforcer"
)

// capability is a number of linux/capability.h.
type capability uint

const (
	// capNetAdmin is needed for as long as blocks are written, and to force
	// the size of receive buffers.
	capNetAdmin capability = unix.CAP_NET_ADMIN
	// capNetBindService is needed until ports below 1024 are bound.
	capNetBindService capability = unix.CAP_NET_BIND_SERVICE
	// capChown is needed until the control socket belongs to its group.
	capChown capability = unix.CAP_CHOWN
	// capSetPCAP is needed to shrink the bounding set once more.
	capSetPCAP capability = unix.CAP_SETPCAP
)

func (c capability) String() string {
	switch c {
	case capNetAdmin:
		return "CAP_NET_ADMIN"
	case capNetBindService:
		return "CAP_NET_BIND_SERVICE"
	case capChown:
		return "CAP_CHOWN"
	case capSetPCAP:
		return "CAP_SETPCAP"
	}
	return fmt.Sprintf("capability %d", uint(c))
}

// What is kept while the parts are built and the sockets bound. Root may still
// give the control socket to its group; see keptForGood for what is left then.
var keptToStart = []capability{capNetAdmin, capNetBindService, capChown, capSetPCAP}

// keptForGood returns what serving in a mode needs.
func keptForGood(mode string) []capability {
	if mode == config.ModeObserve {
		return nil
	}
	return []capability{capNetAdmin}
}

// beginWithLess leaves what starting needs, and refuses what would fail later
// without the rest: a firewall that is not ours to write, a state directory
// whose owner could not read what we write.
func (a *Appliance) beginWithLess(c *config.Config) error {
	if c.Mode == config.ModeEnforce && !hasNetAdmin() {
		return enforcer.ErrPrivilege
	}
	a.keepOnly(keptToStart)
	return checkStateDir(c.StateDir)
}

// keepOnly gives up all capabilities but some. Where it cannot be done we serve
// all the same.
func (a *Appliance) keepOnly(keep []capability) {
	if err := dropPrivileges(a.logger, keep...); err != nil {
		a.logger.Warn("privileges are kept", "error", err)
	}
}

// hasNetAdmin asks the kernel instead of reading our own capabilities, since
// they mean nothing for a network namespace of another user namespace: it
// answers no request to nfnetlink without CAP_NET_ADMIN over the namespace.
// The request changes nothing. Any other failure, such as a kernel without
// nftables, is for whoever builds the table to report.
func hasNetAdmin() bool {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return false
	}
	defer conn.Close()
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN,
			Flags: netlink.Request,
		},
		Data: make([]byte, 4), // struct nfgenmsg: any family
	})
	return !errors.Is(err, unix.EPERM)
}

// dropPrivileges takes every capability but keep from all threads, for good:
// no new privileges come with an exec, and where the kernel allows it
// (CAP_SETPCAP) the bounding set shrinks as well. What is not held cannot be
// kept, which is no error. It may be called again with fewer to keep.
//
// What root loses with it: the right to open files of others. So the state
// directory, the configuration and the keys of certificates must belong to the
// user that runs us or be readable to it; see checkStateDir.
//
// Go changes all threads at once only in a binary without cgo, which is how
// ours is built; elsewhere this is an error.
func dropPrivileges(log *slog.Logger, keep ...capability) error {
	if err := onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("drop privileges: forbid new ones: %w", err)
	}
	bounded, err := dropBounding(keep)
	if err != nil {
		return fmt.Errorf("drop privileges: %w", err)
	}
	err = onAllThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) { // before Linux 4.3
		return fmt.Errorf("drop privileges: clear ambient capabilities: %w", err)
	}
	kept, err := restrictCapabilities(keep)
	if err != nil {
		return fmt.Errorf("drop privileges: %w", err)
	}
	log.Info("privileges dropped", "kept", names(kept), "uid", os.Geteuid(), "bounding_set_dropped", bounded)
	return nil
}

// dropBounding takes all but keep out of the bounding set and reports whether
// we may.
func dropBounding(keep []capability) (bool, error) {
	for c := range capability(64) { // as many as fit into a set
		if slices.Contains(keep, c) {
			continue
		}
		switch err := onAllThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0); {
		case errors.Is(err, unix.EPERM):
			return false, nil
		case errors.Is(err, unix.EINVAL): // the kernel does not know it
		case err != nil:
			return false, fmt.Errorf("drop %v from the bounding set: %w", c, err)
		}
	}
	return true, nil
}

// restrictCapabilities makes what we hold of keep our effective and permitted
// set, empties the inheritable one and returns what is left.
func restrictCapabilities(keep []capability) (kept []capability, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // capabilities 0 to 31, and 32 to 63
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	var wanted [2]unix.CapUserData
	for _, c := range keep {
		word, bit := c/32, uint32(1)<<(c%32)
		if sets[word].Permitted&bit == 0 {
			continue
		}
		wanted[word].Permitted |= bit
		wanted[word].Effective |= bit
		kept = append(kept, c)
	}
	// Not by onAllThreads: the pointers must become integers in this very call.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&wanted[0])), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set capabilities: %w", errno)
	}
	return kept, nil
}

// onAllThreads makes a system call on every thread of the process.
func onAllThreads(trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
	switch {
	case errno == unix.ENOTSUP:
		return errors.New("this binary was built with cgo, build it with CGO_ENABLED=0")
	case errno != 0:
		return errno
	}
	return nil
}

// checkStateDir reports in one sentence that we may not write to the state
// directory with the privileges of now. Root without its capabilities is
// subject to modes like anybody else.
func checkStateDir(path string) error {
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil // or it will be ours
	}
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("state_dir: %q is on a read-only file system: remount it writable or choose another directory", path)
	}
	owner := "somebody else"
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		owner = fmt.Sprintf("user %d", st.Uid)
	}
	return fmt.Errorf("state_dir: %q belongs to %s and user %d cannot write to it: run uppercut as its owner, or chown it (%w)",
		path, owner, os.Geteuid(), err)
}

// names returns the capabilities as text, "none" if there are none.
func names(cs []capability) string {
	if len(cs) == 0 {
		return "none"
	}
	var ns []string
	for _, c := range cs {
		ns = append(ns, c.String())
	}
	return strings.Join(ns, " ")
}
