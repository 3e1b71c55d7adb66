package guard

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// netlinkConn speaks netlink (RFC 3549) a buffer at a time. The usual library
// collects a whole dump before it gives it out; the routes of a gateway that
// speaks BGP are a million, and we want a handful of addresses out of them.
type netlinkConn struct {
	*socket.Conn
	buffer []byte
}

// maxMessage is more than the kernel puts into one datagram of a dump.
const maxMessage = 64 << 10

func openNetlink(protocol, netns int) (*netlinkConn, error) {
	c, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol, "netlink", &socket.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := c.Bind(&unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("bind netlink socket: %w", join(err, c.Close()))
	}
	return &netlinkConn{Conn: c, buffer: make([]byte, maxMessage)}, nil
}

// join returns err and, if closing failed as well, that.
func join(err, closing error) error {
	if closing != nil {
		return fmt.Errorf("%w (and %w)", err, closing)
	}
	return err
}

// subscribe joins multicast groups (RTNLGRP_*).
func (c *netlinkConn) subscribe(groups ...int) error {
	for _, group := range groups {
		if err := c.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("join netlink group %d: %w", group, err)
		}
	}
	return nil
}

// visitor gets the type and the payload of a message; the payload is valid
// until it returns.
type visitor func(kind uint16, payload []byte)

// dump asks for everything of one kind and gives each answer to visit. When
// something changed meanwhile, an entry may have been left out, and it asks once
// more: an entry may come twice. It reports an error that the kernel answers with
// as a unix.Errno.
func (c *netlinkConn) dump(ctx context.Context, kind uint16, request []byte, visit visitor) error {
	changed, err := c.dumpOnce(ctx, kind, request, visit)
	if changed && err == nil {
		_, err = c.dumpOnce(ctx, kind, request, visit)
	}
	return err
}

func (c *netlinkConn) dumpOnce(ctx context.Context, kind uint16, request []byte, visit visitor) (changed bool, err error) {
	m := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(request))
	m = append(m, request...)
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := c.Sendto(ctx, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("ask the kernel: %w", err)
	}
	for {
		end, err := c.receive(ctx, visit)
		changed = changed || end.changed
		if end.reached || err != nil {
			return changed, err
		}
	}
}

// dumpEnd is what a datagram tells of the dump that it is of.
type dumpEnd struct {
	reached bool // nothing follows
	changed bool // NLM_F_DUMP_INTR: it may not be whole
}

// receive reads one datagram. What did not come from the kernel is passed over.
func (c *netlinkConn) receive(ctx context.Context, visit visitor) (end dumpEnd, err error) {
	n, from, err := c.Recvfrom(ctx, c.buffer, 0)
	if err != nil {
		return end, fmt.Errorf("read netlink: %w", err)
	}
	if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
		return end, nil
	}
	return walk(c.buffer[:n], visit)
}

// walk gives the messages in b to visit until the one that ends a dump.
func walk(b []byte, visit visitor) (end dumpEnd, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return end, fmt.Errorf("read netlink: a message of %d bytes in %d", size, len(b))
		}
		kind, payload := binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:size]
		end.changed = end.changed || binary.NativeEndian.Uint16(b[6:])&unix.NLM_F_DUMP_INTR != 0
		switch kind {
		case unix.NLMSG_DONE:
			end.reached = true
			return end, nil
		case unix.NLMSG_ERROR:
			end.reached = true
			return end, kernelError(payload)
		}
		visit(kind, payload)
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return end, nil
}

func kernelError(payload []byte) error {
	if len(payload) < 4 {
		return fmt.Errorf("read netlink: an error message of %d bytes", len(payload))
	}
	code := int32(binary.NativeEndian.Uint32(payload))
	if code == 0 {
		return nil
	}
	return os.NewSyscallError("netlink", unix.Errno(-code))
}
