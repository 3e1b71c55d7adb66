package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control runs f on the descriptor of c.
func control(c syscall.RawConn, f func(fd int) error) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// listenUDP binds n sockets to address, among which the kernel spreads the
// senders. SO_REUSEPORT would also let a second uppercut take half of the
// datagrams, so a socket without it must be able to bind first.
func listenUDP(address string, n int) ([]*net.UDPConn, error) {
	first, err := bindUDP(address, false)
	if err != nil {
		return nil, err
	}
	bound := first.LocalAddr().String() // the port, if address left it to the kernel
	if n == 1 {
		return []*net.UDPConn{first}, nil
	}
	if err := first.Close(); err != nil {
		return nil, err
	}
	var conns []*net.UDPConn
	for range n {
		conn, err := bindUDP(bound, true)
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func bindUDP(address string, shared bool) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if !shared {
			return nil
		}
		return control(c, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// datagramSocket is a datagram socket whose memory the kernel accounts for.
type datagramSocket struct {
	raw syscall.RawConn

	mu   sync.Mutex
	last socketMemory // what was true when the socket was closed
}

// socketMemory is the part of SO_MEMINFO that is exported.
type socketMemory struct {
	buffer uint32 // size of the receive buffer, as the kernel counts it, in bytes
	drops  uint32 // datagrams that did not fit
}

// newDatagramSocket asks for a receive buffer of size bytes, beyond
// net.core.rmem_max where the process may, and for the interface that each
// datagram arrives on.
func newDatagramSocket(conn syscall.Conn, size int) (*datagramSocket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = control(raw, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) == nil {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	})
	if err != nil {
		return nil, err
	}
	return &datagramSocket{raw: raw}, control(raw, wantInterface)
}

// wantInterface asks for the interface with each datagram: IP_PKTINFO, and
// IPV6_PKTINFO on a socket of that family, which has it for mapped IPv4 too.
func wantInterface(fd int) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	switch {
	case err != nil:
		return err
	case family == unix.AF_INET6:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	default:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
}

// memory returns what the kernel says now, or what it said last.
func (s *datagramSocket) memory() socketMemory {
	s.mu.Lock()
	defer s.mu.Unlock()
	var info [unix.SK_MEMINFO_VARS]uint32
	err := control(s.raw, func(fd int) error {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err == nil {
		s.last = socketMemory{buffer: info[unix.SK_MEMINFO_RCVBUF], drops: info[unix.SK_MEMINFO_DROPS]}
	}
	return s.last
}

// arrivalInterface reads the interface index out of the control messages of a
// datagram; 0 if they do not say.
func arrivalInterface(oob []byte) int {
	for len(oob) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return int((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Ifindex)
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return int((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Ifindex)
		}
		oob = rest
	}
	return 0
}

// bindError says in one sentence what to do about an address that cannot be
// listened on.
func bindError(key, address string, err error) error {
	remedy := "choose an address of this host"
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the address is said already
	}
	switch {
	case errors.Is(err, os.ErrExist):
		remedy = "it is not a socket: choose another path"
	case strings.HasPrefix(key, "unix"):
		remedy = "choose a path whose directory exists and may be written to"
	case errors.Is(err, unix.EADDRINUSE):
		remedy = "stop the program that has it (ss -lnp shows which) or choose another port"
	case errors.Is(err, os.ErrPermission):
		remedy = "grant CAP_NET_BIND_SERVICE, let systemd pass the socket, or choose a port from 1024 up"
	}
	return fmt.Errorf("%s: listen on %s: %w: %s", key, address, err, remedy)
}
