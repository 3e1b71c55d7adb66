package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"uppercut/enforcer/prefix"

	"golang.org/x/net/dns/dnsmessage"
)

// allowName is what is known of a DNS name.
type allowName struct {
	addrs4, addrs6 []netip.Addr
	due            time.Time // when to look it up again
}

// keepNames makes names the ones to resolve and keeps what is known of them.
// The lock is held.
func (g *Guard) keepNames(names []string) {
	kept := make(map[string]allowName, len(names))
	for _, name := range names {
		kept[name] = g.names[name]
	}
	g.names = kept
}

// nameAddrs returns the addresses of all names. The lock is held.
func (g *Guard) nameAddrs() (ps []netip.Prefix) {
	for _, n := range g.names {
		for _, a := range n.addrs4 {
			ps = append(ps, prefix.Single(a))
		}
		for _, a := range n.addrs6 {
			ps = append(ps, prefix.Single(a))
		}
	}
	return ps
}

// followNames looks names up when they are due, until ctx is cancelled.
func (g *Guard) followNames(ctx context.Context) {
	for {
		timer := time.NewTimer(g.refreshNames(ctx))
		select {
		case <-ctx.Done():
			return
		case <-g.wakeNames:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// refreshNames looks up the names that are due, all at once, and returns the
// time until the next one is.
func (g *Guard) refreshNames(ctx context.Context) time.Duration {
	now := time.Now()
	g.mu.Lock()
	config, known := g.config, g.names
	g.mu.Unlock()
	var wg sync.WaitGroup
	for name, n := range known {
		if !n.due.After(now) {
			wg.Go(func() { g.refreshName(ctx, config, name, n) })
		}
	}
	wg.Wait()
	g.settle(sourceNamesFile, g.rememberNames())
	return g.nextName(time.Now().Add(config.DNSMaxRefresh))
}

// nextName returns the time until the first name is due, at the latest at end.
func (g *Guard) nextName(end time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.names {
		if n.due.Before(end) {
			end = n.due
		}
	}
	return time.Until(end)
}

// refreshName looks one name up.
func (g *Guard) refreshName(ctx context.Context, c Config, name string, known allowName) {
	ctx, cancel := context.WithTimeout(ctx, c.DNSTimeout)
	defer cancel()
	n, ttl, err := g.resolve(ctx, name, known)
	if err != nil {
		ttl = 0
	}
	g.settle(sourceName(name), err)
	n.due = time.Now().Add(min(max(ttl, c.DNSMinRefresh), c.DNSMaxRefresh))
	g.change(func(s *snapshot) {
		if _, ok := g.names[name]; !ok {
			return // a reload has dropped it meanwhile
		}
		g.names = maps.Clone(g.names) // refreshNames is reading the old one
		g.names[name] = n
		s.set(allowNames, g.nameAddrs())
	})
}

// resolve asks for both families on their own, because an answer for one must
// not hide that the other could not be asked. Where DNS fails the known
// addresses stay; that a name has no address at all counts as a failure, too,
// since nobody lists such a name on purpose.
func (g *Guard) resolve(ctx context.Context, name string, known allowName) (allowName, time.Duration, error) {
	addrs4, ttl4, err4 := g.lookup(ctx, "ip4", name)
	addrs6, ttl6, err6 := g.lookup(ctx, "ip6", name)
	if notFound(err4) && notFound(err6) {
		return known, 0, err4
	}
	n, ttl := known, time.Duration(0)
	if err4 == nil || notFound(err4) {
		n.addrs4, ttl, err4 = addrs4, ttl4, nil
	}
	if err6 == nil || notFound(err6) {
		n.addrs6, ttl, err6 = addrs6, shorter(ttl, ttl6), nil
	}
	return n, ttl, errors.Join(err4, err6)
}

// notFound reports whether err says that the name has no address of the family. Of
// a name in the hosts file that has one of the other family, an AddrError does.
func notFound(err error) bool {
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return true
	}
	dnsError, ok := errors.AsType[*net.DNSError](err)
	return ok && dnsError.IsNotFound
}

// lookup asks the system's resolvers as Go's resolver does (resolv.conf, hosts
// file, retries, TCP where the answer is long) and reads the TTL, which Go
// throws away, off the answers as they pass; 0 if none did, as for a name in
// the hosts file. Search domains are not used. ctx must end soon after.
func (g *Guard) lookup(ctx context.Context, network, name string) ([]netip.Addr, time.Duration, error) {
	var seen ttlMinimum
	r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := g.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		// Go's resolver goes on asking when its caller has given up; without
		// a connection it stops.
		context.AfterFunc(ctx, func() { conn.Close() })
		return seen.watch(conn), nil
	}}
	addrs, err := r.LookupNetIP(ctx, network, name+".")
	if err != nil {
		return nil, seen.ttl(), fmt.Errorf("look up %s: %w", name, err)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, seen.ttl(), nil
}

func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if g.options.Dial != nil {
		return g.options.Dial(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// ttlMinimum keeps the lowest TTL of the answers that it sees.
type ttlMinimum struct {
	mu  sync.Mutex
	low time.Duration
}

func (m *ttlMinimum) ttl() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.low
}

// watch returns conn with its reads looked at. Go's resolver tells UDP from
// TCP by whether a connection is a net.PacketConn.
func (m *ttlMinimum) watch(conn net.Conn) net.Conn {
	if packets, ok := conn.(net.PacketConn); ok {
		return watchedPackets{watchedStream{conn, m}, packets}
	}
	return watchedStream{conn, m}
}

type watchedStream struct {
	net.Conn
	seen *ttlMinimum
}

func (w watchedStream) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.seen.message(b[:n])
	return n, err
}

type watchedPackets struct {
	watchedStream
	packets net.PacketConn
}

func (w watchedPackets) ReadFrom(b []byte) (int, net.Addr, error) { return w.packets.ReadFrom(b) }

func (w watchedPackets) WriteTo(b []byte, a net.Addr) (int, error) { return w.packets.WriteTo(b, a) }

// message notes the TTLs of a DNS message; anything else is passed over, such
// as the length that goes before a message over TCP.
func (m *ttlMinimum) message(b []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(b); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil || p.SkipAnswer() != nil {
			return
		}
		m.note(time.Duration(h.TTL) * time.Second)
	}
}

func (m *ttlMinimum) note(ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.low = shorter(m.low, ttl)
}

// shorter returns the shorter of two times of which 0 is unknown.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
