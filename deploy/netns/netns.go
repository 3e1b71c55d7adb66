package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// dir is where ip(8) keeps named namespaces.
const dir = "/run/netns"

// Namespace is a named network namespace with a loopback that is up. IPv6
// addresses can be used at once: duplicate address detection is off.
type Namespace struct {
	name   string
	handle *os.File
}

// Add makes a namespace of this name. The caller removes it with Close.
func Add(name string) (*Namespace, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces can be made by root only")
	}
	if err := ip("netns", "add", name); err != nil {
		return nil, err
	}
	n := &Namespace{name: name}
	if err := n.prepare(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Namespace) prepare() (err error) {
	if n.handle, err = os.Open(filepath.Join(dir, n.name)); err != nil {
		return err
	}
	return errors.Join(
		n.Sysctl("net.ipv6.conf.all.accept_dad", "0"),
		n.Sysctl("net.ipv6.conf.default.accept_dad", "0"),
		n.IP("link set lo up"))
}

// Close removes the namespace. The kernel keeps what processes and sockets in
// it still use, without a name, until they are gone.
func (n *Namespace) Close() error {
	if n.handle != nil {
		n.handle.Close()
	}
	return ip("netns", "del", n.name)
}

// Name is what ip netns exec takes.
func (n *Namespace) Name() string { return n.name }

// FD is a descriptor of the namespace, open until Close.
func (n *Namespace) FD() int { return int(n.handle.Fd()) }

// Do runs f on a thread inside the namespace and returns its error. Sockets
// that f makes stay in the namespace; goroutines and processes that f starts
// need not be in it.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other
		// goroutine finds itself in the namespace.
		runtime.LockOSThread()
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter network namespace %s: %w", n.name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// Dial connects from inside the namespace. to is an address, not a name.
func (n *Namespace) Dial(ctx context.Context, dialer *net.Dialer, network, to string) (conn net.Conn, err error) {
	err = n.Do(func() (err error) {
		conn, err = dialer.DialContext(ctx, network, to)
		return err
	})
	return conn, err
}

// Listen is net.Listen inside the namespace.
func (n *Namespace) Listen(network, address string) (listener net.Listener, err error) {
	err = n.Do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// ListenPacket is net.ListenPacket inside the namespace.
func (n *Namespace) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = n.Do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Command prepares a program to run inside the namespace. What is started is
// ip(8), which becomes the program, so that signals reach it.
func (n *Namespace) Command(program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.name, program}, args...)...)
}

// CommandContext is Command with a context that kills the program when it ends.
func (n *Namespace) CommandContext(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", n.Command(program, args...).Args[1:]...)
}

// starter is one thread that starts all programs of Start.
var starter = sync.OnceValue(func() chan<- func() {
	starts := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
	return starts
})

// Start starts cmd, which may be of any namespace or of none, so that the kernel
// kills it when this process ends, however it ends. The kernel does so already
// when the thread that started it ends, and the threads of Do end; so one thread
// that lasts starts every program.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	return <-started
}

// Run runs a program inside the namespace to its end and returns what it
// printed on both outputs; if it fails, that is part of the error, too.
func (n *Namespace) Run(program string, args ...string) (string, error) {
	return output(n.Command(program, args...))
}

// IP runs commands of ip(8) in the namespace, such as "link set lo up", until
// one fails.
func (n *Namespace) IP(commands ...string) error {
	for _, command := range commands {
		if err := ip(append([]string{"-n", n.name}, strings.Fields(command)...)...); err != nil {
			return err
		}
	}
	return nil
}

// Sysctl writes a setting of the network, such as net.ipv4.ip_forward.
func (n *Namespace) Sysctl(key, value string) error {
	return n.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/")), []byte(value), 0)
	})
}

// End is one end of a cable: an interface of a namespace.
type End struct {
	In        *Namespace
	Device    string
	Addresses []string // with their prefix length, such as 10.25.0.1/24
}

// Cable joins two namespaces by a veth pair and brings both ends up.
func Cable(a, b End) error {
	if err := ip("link", "add", a.Device, "netns", a.In.name, "type", "veth", "peer", "name", b.Device, "netns", b.In.name); err != nil {
		return err
	}
	for _, end := range []End{a, b} {
		for _, addr := range end.Addresses {
			if err := end.In.IP("addr add " + addr + " dev " + end.Device); err != nil {
				return err
			}
		}
		if err := end.In.IP("link set " + end.Device + " up"); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error {
	_, err := output(exec.Command("ip", args...))
	return err
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}
