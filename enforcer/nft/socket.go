package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// answerTimeout bounds the wait for an answer. The kernel answers while it
	// takes the request, so what is not there then does not come.
	answerTimeout = 30 * time.Second
	// receiveBuffer is the size of a read. A dump's cost falls with it: the
	// kernel fills at most 32 KiB a read.
	receiveBuffer = 64 << 10
	// smallestSendBuffer is asked for at the start; transact grows it.
	smallestSendBuffer = 1 << 20
)

// ErrAnswerLost says that the kernel had no room for its answer (ENOBUFS): the
// transaction may have been carried out.
var ErrAnswerLost = errors.New("the kernel's answer was lost")

// socket is a netlink socket and its buffers, for one request at a time.
type socket struct {
	mu   sync.Mutex
	conn *netlink.Conn
	raw  syscall.RawConn
	enc  encoder
	in   []byte
	sndb int
	// commits counts the transactions that the kernel took, modulo 1<<32 like
	// its generation.
	commits uint32
}

func dial(netns int) (*socket, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netfilter socket: %w", err), c.Close())
	}
	s := &socket{conn: c, raw: raw, in: make([]byte, receiveBuffer)}
	_ = s.growSendBuffer(smallestSendBuffer)
	_ = c.SetReadBuffer(smallestSendBuffer)
	return s, nil
}

// take closes s and takes over what another socket has, except its lock.
func (s *socket) take(o *socket) {
	_ = s.conn.Close() // it may be closed already
	s.conn, s.raw, s.sndb = o.conn, o.raw, o.sndb
}

func (s *socket) close() error { return s.conn.Close() }

// growSendBuffer makes room for a message of n bytes; without CAP_NET_ADMIN
// the system's limit stays.
func (s *socket) growSendBuffer(n int) error {
	if n < s.sndb {
		return nil
	}
	if err := s.conn.SetWriteBuffer(n); err != nil {
		return fmt.Errorf("set send buffer to %d bytes: %w", n, err)
	}
	s.sndb = n
	return nil
}

func (s *socket) send(bufs ...[]byte) error {
	size := 0
	for _, b := range bufs {
		size += len(b)
	}
	_ = s.growSendBuffer(size) // if it stays small, send says so: EMSGSIZE
	var sent error
	err := s.raw.Write(func(fd uintptr) bool {
		_, sent = unix.SendmsgBuffers(int(fd), bufs, nil, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}, unix.MSG_DONTWAIT)
		return !errors.Is(sent, unix.EAGAIN)
	})
	if err != nil {
		return fmt.Errorf("send to kernel: %w", err)
	}
	if sent != nil {
		return fmt.Errorf("send %d bytes to kernel: %w", size, sent)
	}
	return nil
}

// receive reads once. It returns os.ErrDeadlineExceeded after deadline.
func (s *socket) receive(deadline time.Time) ([]byte, error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return nil, fmt.Errorf("receive from kernel: %w", err)
	}
	var n int
	var got error
	err := s.raw.Read(func(fd uintptr) bool {
		n, _, got = unix.Recvfrom(int(fd), s.in, unix.MSG_DONTWAIT)
		return !errors.Is(got, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("receive from kernel: %w", err)
	case errors.Is(got, unix.ENOBUFS):
		return nil, ErrAnswerLost
	case got != nil:
		return nil, fmt.Errorf("receive from kernel: %w", got)
	}
	return s.in[:n], nil
}

// drop throws away the answers that are already there.
func (s *socket) drop() {
	_ = s.raw.Control(func(fd uintptr) {
		for {
			_, _, err := unix.Recvfrom(int(fd), s.in, unix.MSG_DONTWAIT)
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
		}
	})
}

// answer is the kernel's verdict on the message with that sequence number.
type answer struct {
	seq   uint32
	errno unix.Errno
}

// exchange sends the encoder's messages and reads until ends of them have
// been acknowledged, refused or dumped to the end. It returns the refusals.
// To a process without CAP_NET_ADMIN the kernel answers once for all messages.
func (s *socket) exchange(ends int, each func(message)) ([]answer, error) {
	if err := s.send(s.enc.buf); err != nil {
		return nil, err
	}
	defer s.drop()
	var refused []answer
	deadline := time.Now().Add(answerTimeout)
	for ends > 0 {
		b, err := s.receive(deadline)
		if err != nil {
			return refused, err
		}
		for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
			switch m.kind {
			case unix.NLMSG_ERROR:
				ends--
				e := errno(m.body)
				if e != 0 {
					refused = append(refused, answer{m.seq, e})
				}
				if e == unix.EPERM {
					return refused, nil
				}
			case unix.NLMSG_DONE:
				ends--
			default:
				if each != nil {
					each(m)
				}
			}
		}
	}
	return refused, nil
}

func errno(body []byte) unix.Errno {
	if len(body) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
}

// commit sends a whole batch, the end of which the encoder wrote last and the
// message before asks for an acknowledgement. It returns the first refusal.
// Nothing of a refused batch is in force.
func (s *socket) commit(bufs ...[]byte) error {
	last := s.enc.seq - 1 // the end marker comes after it
	if err := s.send(bufs...); err != nil {
		return err
	}
	defer s.drop()
	deadline := time.Now().Add(answerTimeout)
	for {
		b, err := s.receive(deadline)
		if err != nil {
			return err
		}
		for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
			if m.kind != unix.NLMSG_ERROR {
				continue
			}
			if e := errno(m.body); e != 0 {
				return e
			}
			if m.seq == last {
				s.commits++
				return nil
			}
		}
	}
}
