package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is a named network namespace, as made by ip netns add.
type Namespace string

// do runs f on a thread inside the namespace. Sockets that f makes stay there.
func (n Namespace) do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other
		// goroutine finds itself in the namespace.
		runtime.LockOSThread()
		if err := n.enter(); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

func (n Namespace) enter() error {
	handle, err := os.Open(filepath.Join("/run/netns", string(n)))
	if err != nil {
		return err
	}
	defer handle.Close()
	if err := unix.Setns(int(handle.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", n, err)
	}
	return nil
}

// Dial connects from inside the namespace; from may be the zero Addr.
func (n Namespace) Dial(ctx context.Context, network string, from netip.Addr, to string) (conn net.Conn, err error) {
	dialer := net.Dialer{}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	err = n.do(func() (err error) {
		conn, err = dialer.DialContext(ctx, network, to)
		return err
	})
	return conn, err
}

// Listen listens inside the namespace.
func (n Namespace) Listen(network, address string) (listener net.Listener, err error) {
	err = n.do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// ListenPacket is Listen for datagrams.
func (n Namespace) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = n.do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Command prepares a program to run inside the namespace.
func (n Namespace) Command(program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", string(n), program}, args...)...)
}
