package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of this test's own, a host on a small
// network made of veth pairs.
type namespace string

// newNamespace makes one, removed at the end of the test.
func newNamespace(t testing.TB, role string) namespace {
	t.Helper()
	ns := namespace(fmt.Sprintf("uc%d-%s", os.Getpid(), role))
	ip(t, "netns", "add", string(ns))
	t.Cleanup(func() { ip(t, "netns", "del", string(ns)) })
	ns.ip(t, "link", "set", "lo", "up")
	return ns
}

// ip runs ip(8) inside the namespace.
func (ns namespace) ip(t testing.TB, args ...string) {
	t.Helper()
	ip(t, append([]string{"-n", string(ns)}, args...)...)
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// command prepares a program to run inside the namespace.
func (ns namespace) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", string(ns), name}, args...)...)
}

// sysctl writes a setting below /proc/sys/net.
func (ns namespace) sysctl(t *testing.T, setting string) {
	t.Helper()
	if out, err := ns.command(t, "sysctl", "-qw", setting).CombinedOutput(); err != nil {
		t.Fatalf("sysctl %s: %v: %s", setting, err, out)
	}
}

// do runs f on a thread inside the namespace. Sockets that f opens stay there.
func (ns namespace) do(t testing.TB, f func() error) error {
	t.Helper()
	target, err := os.Open(filepath.Join("/run/netns", string(ns)))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	result := make(chan error)
	go func() {
		// The thread is never unlocked, so it ends with the goroutine and no
		// other goroutine finds itself inside the namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("setns %s: %w", ns, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// link joins two namespaces by a veth pair and gives each end its addresses.
func link(t *testing.T, a namespace, aDev string, aAddrs []string, b namespace, bDev string, bAddrs []string) {
	t.Helper()
	ip(t, "link", "add", aDev, "netns", string(a), "type", "veth", "peer", "name", bDev, "netns", string(b))
	for _, end := range []struct {
		ns    namespace
		dev   string
		addrs []string
	}{{a, aDev, aAddrs}, {b, bDev, bAddrs}} {
		for _, addr := range end.addrs {
			args := []string{"addr", "add", addr, "dev", end.dev}
			if strings.Contains(addr, ":") {
				args = append(args, "nodad")
			}
			end.ns.ip(t, args...)
		}
		end.ns.ip(t, "link", "set", end.dev, "up")
	}
}
