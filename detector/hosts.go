package detector

import (
	"time"

	"uppercut/detector/sendmail"

	"github.com/cespare/xxhash/v2"
)

// Senders are a fact but may be many (a private /8 over UDP), and the hosts
// that they name are a claim: both are bounded. Those above the limit share
// one sender or host, which learns no zone and counts as one host.
const (
	maxSenders        = 1024
	maxHostsPerSender = 512
)

// hosts knows who sends lines and for whom.
type hosts struct {
	senders  map[string]*sender
	byNumber []*host
	byKey    map[sendmail.HostKey]*host // those that have their own name
	last     *host                      // of the last line: lines come in batches
	lastKey  sendmail.HostKey
	zones    map[string]*time.Location // configured, by sender
	local    *time.Location
	label    func(sender, host string) string
	metrics  *metrics
	// everAside: a breaker was open within the memory of some host.
	everAside bool
}

// sender is who sends lines over the wire.
type sender struct {
	name       string
	hosts      map[string]*host
	duplicates duplicates
	zone       *time.Location // configured, else nil
}

// host is who a sender says has written a line.
type host struct {
	number   uint16
	name     string
	hash     uint64 // of the name
	lagShown int64  // second of arrival at which the lag was last exported
	sender   *sender
	clock    clock
	breaker  breaker
	admitted minute // blocks that used the ceiling
	counters hostCounters
}

func newHosts(o Options, m *metrics) *hosts {
	h := &hosts{
		senders: map[string]*sender{}, byKey: map[sendmail.HostKey]*host{},
		label: o.HostLabel, local: o.Local, metrics: m, zones: map[string]*time.Location{},
	}
	if h.label == nil {
		h.label = func(string, string) string { return "other" }
	}
	if h.local == nil {
		h.local = time.Local
	}
	return h
}

// configure takes new zones. Hosts of a sender whose zone is the same keep
// what they have learned.
func (h *hosts) configure(zones []Zone) {
	h.zones = map[string]*time.Location{}
	for _, z := range zones {
		h.zones[z.Sender], _ = loadZone(z.Zone) // Validate has seen it
	}
	for _, s := range h.senders {
		zone := h.zones[s.name]
		if zoneName(zone) == zoneName(s.zone) {
			continue
		}
		s.zone = zone
		for _, host := range s.hosts {
			host.clock = h.newClock(s)
		}
	}
}

func zoneName(zone *time.Location) string {
	if zone == nil {
		return ""
	}
	return zone.String()
}

// of returns the host of a line.
func (h *hosts) of(l *Line) *host {
	if h.last == nil || l.hostKey != h.lastKey {
		known, ok := h.byKey[l.hostKey]
		if !ok {
			known = h.named(l.Sender, l.Host)
		}
		h.last, h.lastKey = known, l.hostKey
	}
	return h.last
}

// named returns the host with a name of a sender.
func (h *hosts) named(senderName, hostName string) *host {
	found := h.host(h.sender(senderName), hostName)
	if found.name == hostName && found.sender.name == senderName {
		h.byKey[sendmail.HostKeyOf(senderName, hostName)] = found
	}
	return found
}

func (h *hosts) sender(name string) *sender {
	if s, ok := h.senders[name]; ok {
		return s
	}
	if len(h.senders) >= maxSenders {
		name = ""
		if s, ok := h.senders[name]; ok {
			return s
		}
	}
	name = clone(name)
	s := &sender{name: name, hosts: map[string]*host{}, zone: h.zones[name]}
	h.senders[name] = s
	return s
}

func (h *hosts) host(s *sender, name string) *host {
	if known, ok := s.hosts[name]; ok {
		return known
	}
	if len(s.hosts) >= maxHostsPerSender || len(h.byNumber) >= maxHosts {
		return h.further(s)
	}
	return h.add(s, clone(name))
}

// tells reports whether a line was not seen before.
func (h *host) tells(l *Line) bool {
	if l.digest == 0 {
		l.digest = l.hash()
	}
	return !h.sender.duplicates.seen(lineHash(l, h))
}

// further returns the host that stands for all above the limits.
func (h *hosts) further(s *sender) *host {
	if len(h.byNumber) > maxHosts {
		return h.byNumber[maxHosts]
	}
	if known, ok := s.hosts[""]; ok {
		return known
	}
	return h.add(s, "")
}

func (h *hosts) add(s *sender, name string) *host {
	label := h.label(s.name, name)
	added := &host{
		number: uint16(len(h.byNumber)), name: name, hash: xxhash.Sum64String(name), sender: s, clock: h.newClock(s),
		counters: h.metrics.forHost(label),
	}
	h.byNumber = append(h.byNumber, added)
	s.hosts[name] = added
	return added
}

func (h *hosts) newClock(s *sender) clock {
	if s.zone != nil {
		return clock{zones: []*time.Location{s.zone}, fixed: true}
	}
	return clock{zones: []*time.Location{h.local, time.UTC}}
}

// name returns the name of a host by its number.
func (h *hosts) name(number uint16) string { return h.byNumber[number].name }

// clone copies a string out of the buffer that it shares.
func clone(s string) string { return string([]byte(s)) }
