package receiver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// datagramsPerRead is how many datagrams one recvmmsg takes.
	datagramsPerRead = 64
	// maxDatagram is the largest payload that UDP can carry.
	maxDatagram = 65535
	// maxPeers bounds the sources whose names a reader keeps.
	maxPeers = 4096
	// drainGrace is for how long a listener that stops still takes what the
	// kernel has queued for it.
	drainGrace = 50 * time.Millisecond
)

// udpReader reads one UDP socket.
type udpReader struct {
	conn    *net.UDPConn
	packets *ipv4.PacketConn
	policy  *atomic.Pointer[policy]
	paths   *paths // nil: not asked for
	intake  intake
	buffers []ipv4.Message
	peers   map[netip.AddrPort]*origin
	// peersPolicy is the policy by which peers were named.
	peersPolicy *policy
}

func newUDPReader(conn *net.UDPConn, r *Receiver) *udpReader {
	u := &udpReader{
		conn:    conn,
		packets: ipv4.NewPacketConn(conn),
		policy:  &r.policy,
		intake:  r.newIntake(UDP),
		buffers: make([]ipv4.Message, datagramsPerRead),
		peers:   make(map[netip.AddrPort]*origin),
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
	stop := context.AfterFunc(ctx, func() { _ = u.conn.SetReadDeadline(time.Now().Add(drainGrace)) })
	defer stop()
	for {
		n, err := u.packets.ReadBatch(u.buffers, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil && !isTransient(err) {
			return err
		}
		u.take(u.buffers[:max(n, 0)], time.Now())
	}
}

// isTransient tells the errors that a datagram socket reports once, on behalf
// of the network, from those that end it.
func isTransient(err error) bool {
	return errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNREFUSED) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENETDOWN)
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
	u.intake.flush(nil)
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
		u.intake.counts.drop(dropSender)
		return nil
	}
	if u.paths != nil && !u.paths.accepts(source.Addr(), arrivalInterface(d.OOB[:d.NN]), received) {
		u.intake.counts.drop(dropPath)
		return nil
	}
	return u.peer(source, policy)
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
