package receiver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// maxDatagram is the largest payload that UDP can carry.
	maxDatagram = 65535
	// maxPeers bounds the sources whose names a reader keeps.
	maxPeers = 4096
)

// udpReader reads one UDP socket.
type udpReader struct {
	conn     *net.UDPConn
	packets  *ipv4.PacketConn
	policy   *atomic.Pointer[policy]
	refusals *refusals
	paths    *paths // nil: not asked for
	intake   intake
	buffers  []ipv4.Message
	peers    map[netip.AddrPort]*origin
	// peersPolicy is the policy by which peers were named.
	peersPolicy *policy
	timeout     time.Duration // to drain, see Config.StopTimeout
	inherited   bool          // systemd keeps the socket
}

func newUDPReader(conn *net.UDPConn, r *Receiver) *udpReader {
	u := &udpReader{
		conn:     conn,
		packets:  ipv4.NewPacketConn(conn),
		policy:   &r.policy,
		refusals: r.refusals,
		intake:   r.newIntake(UDP),
		buffers:  make([]ipv4.Message, datagramsPerRead),
		peers:    make(map[netip.AddrPort]*origin),
		timeout:  r.config.StopTimeout,

		inherited: slices.Contains(r.kept, net.PacketConn(conn)),
	}
	if r.routes != nil {
		u.paths = &paths{ask: r.routes.interfacesTo, known: make(map[netip.Addr]path)}
	}
	for i := range u.buffers {
		u.buffers[i].Buffers = [][]byte{make([]byte, min(r.config.MaxMessageSize, maxDatagram))}
		u.buffers[i].OOB = make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
	}
	return u
}

// run reads until ctx is cancelled and the socket is empty.
func (u *udpReader) run(ctx context.Context) error {
	defer u.conn.Close()
	deadline, stop := endReads(ctx, u.conn, u.timeout)
	defer stop()
	for {
		n, err := u.packets.ReadBatch(u.buffers, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return u.drain(<-deadline)
		}
		if err != nil && !isTransient(err) {
			return err
		}
		u.take(u.buffers[:max(n, 0)], time.Now())
	}
}

func (u *udpReader) drain(deadline time.Time) error {
	raw, err := u.conn.SyscallConn()
	if err != nil {
		return err
	}
	return drain(raw, deadline, u.inherited, u.intake.counts, func() error { return u.takeNow(raw) })
}

// takeNow hands over what the socket holds, up to datagramsPerRead, without
// waiting. The error is EAGAIN if that was all.
func (u *udpReader) takeNow(raw syscall.RawConn) error {
	n := 0
	err := control(raw, func(fd int) (err error) {
		for n < len(u.buffers) && err == nil {
			if err = receive(fd, &u.buffers[n]); err == nil {
				n++
			}
		}
		return err
	})
	u.take(u.buffers[:n], time.Now())
	return err
}

// receive takes one datagram off the socket, if there is one.
func receive(fd int, d *ipv4.Message) error {
	n, oobn, flags, from, err := unix.Recvmsg(fd, d.Buffers[0], d.OOB, unix.MSG_DONTWAIT)
	if err != nil {
		return err
	}
	d.N, d.NN, d.Flags, d.Addr = n, oobn, flags, nil
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		d.Addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port)))
	case *unix.SockaddrInet6:
		d.Addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(from.Addr), uint16(from.Port)))
	}
	return nil
}

// take judges whom each datagram comes from, and hands over what remains: all
// of it in one string.
func (u *udpReader) take(datagrams []ipv4.Message, received time.Time) {
	u.intake.begin()
	froms := make([]*origin, 0, datagramsPerRead)
	var all strings.Builder
	all.Grow(totalSize(datagrams))
	for i := range datagrams {
		d := &datagrams[i]
		from := u.origin(d, received)
		if from == nil {
			continue
		}
		u.intake.batch.frames = append(u.intake.batch.frames, span{
			start: all.Len(), end: all.Len() + d.N, cut: d.Flags&unix.MSG_TRUNC != 0,
		})
		froms = append(froms, from)
		all.Write(d.Buffers[0][:d.N])
	}
	u.intake.addAll(all.String(), received, func(i int) *origin { return froms[i] })
	u.intake.flush(nil, nil)
}

func totalSize(datagrams []ipv4.Message) int {
	total := 0
	for i := range datagrams {
		total += datagrams[i].N
	}
	return total
}

// origin returns who sent d; nil, counted, if it is not to be taken.
func (u *udpReader) origin(d *ipv4.Message, received time.Time) *origin {
	source := sourceOf(d.Addr)
	policy := u.policy.Load()
	if !policy.allows(source.Addr()) {
		u.refuse(source.Addr(), dropSender, received)
		return nil
	}
	if u.paths != nil && !u.paths.accepts(source.Addr(), arrivalInterface(d.OOB[:d.NN]), received) {
		u.refuse(source.Addr(), dropPath, received)
		return nil
	}
	return u.peer(source, policy)
}

// refuse counts a datagram that is not taken for where it comes from.
func (u *udpReader) refuse(addr netip.Addr, reason string, received time.Time) {
	u.intake.counts.drop(reason)
	u.refusals.add(Refusal{Addr: addr, Transport: UDP, Reason: reason, Last: received})
}

// peer returns what is kept of a source. Sources are told apart by port, since
// each program that numbers its messages has a port of its own.
func (u *udpReader) peer(source netip.AddrPort, p *policy) *origin {
	if p != u.peersPolicy || len(u.peers) >= maxPeers {
		clear(u.peers)
		u.peersPolicy = p
	}
	from, ok := u.peers[source]
	if !ok {
		from = &origin{sender: source.Addr().String(), addr: source.Addr(), transport: UDP}
		from.host = p.host(from)
		u.peers[source] = from
	}
	return from
}

// sourceOf returns the address of a datagram's sender in canonical form.
func sourceOf(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	source := udp.AddrPort()
	return netip.AddrPortFrom(source.Addr().Unmap().WithZone(""), source.Port())
}
