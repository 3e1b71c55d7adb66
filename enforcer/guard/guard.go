package guard

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"uppercut/enforcer/prefix"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are a Guard's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// OnChange, if not nil, hears which prefixes became exempt and why, so
	// that blocks which overlap them can be lifted. It is called after Exempt
	// knows them, by any goroutine, also before New returns, and with no lock
	// of the Guard held.
	//
	// A block that is decided on while a prefix becomes exempt is seen by one
	// of the two if the enforcer looks at all its blocks again after it was
	// told, on the goroutine that asks Exempt and puts blocks on its list.
	OnChange func(cause string, added []netip.Prefix)
	// OnEnd, if not nil, hears which prefixes have left the allow list, so that
	// networks which are blocked around them are whole again. An address that
	// has left it may still be exempt for another entry or cause. It is called
	// as OnChange is.
	OnEnd func(removed []netip.Prefix)
	// NamesFile remembers the addresses of DNS names across restarts, for a
	// start without DNS; "" remembers nothing.
	NamesFile string
	// NetNS is a descriptor of the network namespace whose addresses, routes
	// and sockets count; 0 is the one of the process.
	NetNS int
	// Static: exempt only what the configuration says by itself: addresses,
	// prefixes, ranges, files, senders and reserved ranges. Neither kernel nor
	// DNS is asked. For judging the logs of another machine.
	Static bool
	// Dial reaches the DNS servers of resolv.conf; nil is net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Guard answers whether a prefix may be blocked. All methods are safe for
// concurrent use; Exempt, Holes and Matches take no lock.
type Guard struct {
	options Options
	log     *slog.Logger
	metrics *counters
	current atomic.Pointer[snapshot]
	// remembered is what is in NamesFile; only refreshNames uses it.
	remembered string
	// wake tells Run that names or timed entries have changed.
	wakeNames, wakeTimed chan struct{}

	mu          sync.Mutex // guards what follows, and writing current
	config      Config
	list        allowList
	names       map[string]allowName
	timed       map[netip.Prefix]time.Time // until when; zero is for ever
	connections map[netip.Prefix]int       // of each sender
	failing     map[string]bool            // sources that could not be read last time
}

// New checks the configuration and reads everything once: the kernel, the
// files and, within DNSTimeout, the names. It starts nothing. A name that
// cannot be resolved is no error (Run tries again); an allow file that cannot
// be read is one. The error begins with a key, as Validate's do.
func New(ctx context.Context, c Config, o Options) (*Guard, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Guard{
		options:     o,
		log:         o.Logger,
		wakeNames:   make(chan struct{}, 1),
		wakeTimed:   make(chan struct{}, 1),
		names:       map[string]allowName{},
		timed:       map[netip.Prefix]time.Time{},
		connections: map[netip.Prefix]int{},
		failing:     map[string]bool{},
	}
	g.current.Store(newSnapshot())
	g.metrics = newCounters(o.Registerer, g)
	if err := g.Reload(c); err != nil {
		return nil, err
	}
	if o.Static {
		return g, nil
	}
	if err := g.readAddressesAndRoutes(ctx); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g.settle(sourceSSH, g.RefreshSSHPeers(ctx))
	g.settle(sourceResolvers, g.readResolvers())
	g.settle(sourceNamesFile, g.recallNames())
	g.refreshNames(ctx)
	return g, nil
}

// Run keeps the exemptions current until ctx is cancelled and returns nil.
func (g *Guard) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { g.expireTimed(ctx) })
	wg.Go(func() { g.pollFiles(ctx) })
	if !g.options.Static {
		wg.Go(func() { g.watchKernel(ctx) })
		wg.Go(func() { g.pollSSHPeers(ctx) })
		wg.Go(func() { g.followNames(ctx) })
	}
	wg.Wait()
	return nil
}

// Exempt says why p must not be blocked, "" if it may be. An overlap counts in
// either direction: a network that holds an own address is exempt like an
// address in an allowed network. An invalid prefix is too wide.
func (g *Guard) Exempt(p netip.Prefix) (cause string) {
	return g.current.Load().exempt(prefix.Canonical(p))
}

// TooWide reports whether p is shorter than min_prefix4 or min_prefix6, or no
// prefix at all.
func (g *Guard) TooWide(p netip.Prefix) bool { return g.current.Load().tooWide(prefix.Canonical(p)) }

// Holes says what a block of the network p must leave out, for an enforcer
// that can: the allow list's entries inside p, in order and without overlap.
// If p must not be blocked even so, cause says why: it is too wide, lies in an
// allowed network, or overlaps anything exempt for another cause.
func (g *Guard) Holes(p netip.Prefix) (holes []netip.Prefix, cause string) {
	return g.current.Load().holes(prefix.Canonical(p))
}

// Match is an entry that exempts a prefix.
type Match struct {
	Cause string       `json:"cause"`
	Entry netip.Prefix `json:"entry"`
}

// Matches returns every entry that overlaps p, in the order in which Exempt
// looks for them. It is for people who ask why.
func (g *Guard) Matches(p netip.Prefix) (ms []Match) {
	for l, e := range g.current.Load().matches(prefix.Canonical(p)) {
		ms = append(ms, Match{Cause: l.cause(), Entry: e})
	}
	return ms
}

// Reload replaces the configuration, or changes nothing and says why. What is
// known of names, timed entries and connected senders stays.
func (g *Guard) Reload(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	list, err := readAllow(c.Allow)
	if err != nil {
		return err
	}
	g.change(func(s *snapshot) {
		g.config, g.list = c, list
		s.minPrefix4, s.minPrefix6 = c.MinPrefix4, c.MinPrefix6
		s.set(allowConfigured, list.prefixes)
		s.set(reservedRanges, c.Reserved)
		s.set(listedSenders, singles(c.Senders))
		g.applyFiles(s)
	})
	wake(g.wakeNames)
	return nil
}

// singles returns the prefixes that hold one address.
func singles(ps []netip.Prefix) (out []netip.Prefix) {
	for _, p := range ps {
		if p.IsSingleIP() {
			out = append(out, p)
		}
	}
	return out
}

// AddSender exempts a mail host that has connected, until RemoveSender has been
// called as often as AddSender for it.
func (g *Guard) AddSender(a netip.Addr) {
	p := prefix.Single(a.Unmap().WithZone(""))
	g.change(func(s *snapshot) {
		g.connections[p]++
		s.add(connectedSenders, p)
	})
}

// RemoveSender takes back one AddSender.
func (g *Guard) RemoveSender(a netip.Addr) {
	p := prefix.Single(a.Unmap().WithZone(""))
	g.change(func(s *snapshot) {
		if g.connections[p]--; g.connections[p] <= 0 {
			delete(g.connections, p)
			s.remove(connectedSenders, p)
		}
	})
}

// Allow exempts p until until, for ever if that is zero. It replaces an earlier
// end for the same prefix.
func (g *Guard) Allow(p netip.Prefix, until time.Time) {
	p = prefix.Canonical(p)
	g.change(func(s *snapshot) {
		g.timed[p] = until
		s.add(allowTimed, p)
	})
	wake(g.wakeTimed)
}

// Disallow takes back an Allow for exactly p.
func (g *Guard) Disallow(p netip.Prefix) {
	p = prefix.Canonical(p)
	g.change(func(s *snapshot) {
		delete(g.timed, p)
		s.remove(allowTimed, p)
	})
}

// expireTimed ends timed entries when their time has come.
func (g *Guard) expireTimed(ctx context.Context) {
	for {
		timer := time.NewTimer(g.dropExpired(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-g.wakeTimed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// dropExpired removes the timed entries whose end has come by now and returns
// the time to the next end, at most an hour.
func (g *Guard) dropExpired(now time.Time) time.Duration {
	wait := time.Hour
	g.change(func(s *snapshot) {
		for p, until := range g.timed {
			switch left := until.Sub(now); {
			case until.IsZero():
			case left <= 0:
				delete(g.timed, p)
				s.remove(allowTimed, p)
			default:
				wait = min(wait, left)
			}
		}
	})
	return wait
}

// change is the one way to a new snapshot: f gets a copy of the current one
// and alters it with the lock held, so it may also alter what mu guards. What
// became exempt, or has left the allow list, is reported when the lock is free
// again.
func (g *Guard) change(f func(s *snapshot)) {
	g.mu.Lock()
	old := g.current.Load()
	s := *old
	f(&s)
	g.current.Store(&s)
	g.mu.Unlock()
	g.tell(old, &s)
}

// tell reports the differences between two snapshots.
func (g *Guard) tell(old, s *snapshot) {
	var removed []netip.Prefix
	for l := range layerCount {
		if s.layers[l] == old.layers[l] {
			continue
		}
		if added := missingFrom(old.layers[l], s.layers[l]); len(added) > 0 && g.options.OnChange != nil {
			g.options.OnChange(l.cause(), added)
		}
		if l.cause() == CauseAllowlist {
			removed = append(removed, missingFrom(s.layers[l], old.layers[l])...)
		}
	}
	if len(removed) > 0 && g.options.OnEnd != nil {
		g.options.OnEnd(removed)
	}
}

// configuration returns what is in force.
func (g *Guard) configuration() Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config
}

// settle notes how reading a source went. It counts every failure and logs the
// first of a row and the end of the row.
func (g *Guard) settle(source string, err error) {
	g.mu.Lock()
	was := g.failing[source]
	g.failing[source] = err != nil
	g.mu.Unlock()
	if err != nil {
		g.metrics.refreshFailures.WithLabelValues(label(source)).Inc()
	}
	switch {
	case err != nil && !was:
		g.log.Warn("could not refresh the exemptions; the last known ones stay in force", "source", source, "error", err)
	case err == nil && was:
		g.log.Info("exemptions refreshed again", "source", source)
	}
}

// wake sends to c unless somebody has already.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Allowed yields every prefix of the allow list, that of the configuration,
// its files and names included: what must stay reachable inside a blocked
// network.
func (g *Guard) Allowed() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		s := g.current.Load()
		for l, t := range s.layers {
			if layer(l).cause() != CauseAllowlist {
				continue
			}
			for p := range t.AllSorted() {
				if !yield(p) {
					return
				}
			}
		}
	}
}
