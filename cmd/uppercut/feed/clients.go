package feed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// clients are those who may have the list. They do not change: a reload makes
// others.
type clients struct {
	byKey  map[[sha256.Size]byte]*client
	byName map[string]*client // by the name in a certificate
	all    []*client
}

// client is one of them.
type client struct {
	name      string
	addresses []netip.Prefix
	// single: it gets addresses in place of IPv6 networks.
	single bool
	pace   pace
}

// newClients reads the clients' keys. Each mistake begins with its key.
func newClients(configs []ClientConfig) (*clients, error) {
	c := &clients{byKey: map[[sha256.Size]byte]*client{}, byName: map[string]*client{}}
	var mistakes []error
	for i, config := range configs {
		one := &client{name: config.Name, addresses: config.Addresses, single: config.IPv6 == ipv6Address}
		c.all = append(c.all, one)
		if config.Certificate != "" {
			if c.byName[config.Certificate] != nil {
				mistakes = append(mistakes, fmt.Errorf("clients[%d].certificate: %q is another client's, too", i, config.Certificate))
			}
			c.byName[config.Certificate] = one
		}
		if config.KeyFile == "" {
			continue
		}
		key, err := readKey(config.KeyFile)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("clients[%d].key_file: %w", i, err))
			continue
		}
		sum := sha256.Sum256([]byte(key))
		if c.byKey[sum] != nil {
			mistakes = append(mistakes, fmt.Errorf("clients[%d].key_file: the key is that of another client", i))
		}
		c.byKey[sum] = one
	}
	return c, errors.Join(mistakes...)
}

// single reports whether some client gets addresses in place of IPv6 networks.
func (c *clients) single() bool {
	return slices.ContainsFunc(c.all, func(one *client) bool { return one.single })
}

// of returns who sends a request, nil if that is nobody who may have the list: by
// the certificate, or by the key in the header X-Api-Key or as the password of
// basic authentication.
func (c *clients) of(r *http.Request) *client {
	one := c.certified(r)
	if one == nil {
		key := r.Header.Get("X-Api-Key")
		if key == "" {
			_, key, _ = r.BasicAuth()
		}
		one = c.byKey[sha256.Sum256([]byte(key))] // a sum tells nobody how near a guess was
	}
	if one == nil || !one.mayComeFrom(remoteAddr(r)) {
		return nil
	}
	return one
}

// certified returns the client that a certificate which was verified names.
func (c *clients) certified(r *http.Request) *client {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	leaf := r.TLS.VerifiedChains[0][0]
	for _, name := range leaf.DNSNames {
		if one := c.byName[name]; one != nil {
			return one
		}
	}
	return c.byName[leaf.Subject.CommonName]
}

func (c *client) mayComeFrom(a netip.Addr) bool {
	return len(c.addresses) == 0 ||
		slices.ContainsFunc(c.addresses, func(p netip.Prefix) bool { return p.Contains(a) })
}

// remoteAddr is the address that a request comes from.
func remoteAddr(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap().WithZone("")
}

// How often a client may ask: so many requests at once and one more each
// interval, and answers that hold the whole list, which cost more, apart.
const (
	requestBurst, requestInterval = 100, 50 * time.Millisecond
	wholeBurst, wholeInterval     = 10, 10 * time.Second
)

// pace keeps one client from asking too often.
type pace struct {
	mu             sync.Mutex
	request, whole bucket
}

// bucket is one limit: the time up to which what was asked for is paid.
type bucket struct{ paid time.Time }

// take reports whether there is room for one more now, and if not, how long to
// wait.
func (b *bucket) take(now time.Time, burst int, interval time.Duration) (wait time.Duration) {
	from := now.Add(-time.Duration(burst) * interval)
	if b.paid.Before(from) {
		b.paid = from
	}
	if next := b.paid.Add(interval); next.After(now) {
		return next.Sub(now)
	}
	b.paid = b.paid.Add(interval)
	return 0
}

// admit counts a request. It returns how long the client has to wait, 0 if it
// need not.
func (p *pace) admit(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.request.take(now, requestBurst, requestInterval)
}

// admitWhole is admit for an answer that holds the whole list.
func (p *pace) admitWhole(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.whole.take(now, wholeBurst, wholeInterval)
}
