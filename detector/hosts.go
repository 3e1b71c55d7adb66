package detector

import (
	"strings"
	"time"

	"uppercut/detector/sendmail"

	"github.com/cespare/xxhash/v2"
)

// Names in lines are claims, and addresses may be forged or many (a private /8
// over UDP). So the places are shared out: none of those whom nothing but their
// lines or their address tells can take the place of others.
const (
	// noNumber is of hosts for which there is none at the moment: they have
	// clocks and breakers of their own, but their marks do not tell them apart.
	noNumber = maxHosts
	// maxSenders bounds the senders that a certificate or the configuration
	// names, which is up to the operator. Those beyond are one.
	maxSenders = 4096
	// maxStrangers bounds the hosts of senders that only their address tells.
	maxStrangers = 896
	// maxNames is how many names one sender can write under that is no relay,
	// maxRelayed how many hosts a relay can pass on: a fourth of the numbers.
	maxNames   = 4
	maxRelayed = 256
	// maxFiled is how many hosts there can be in files, which have no sender.
	maxFiled = 1000
	// forgetNames is after how many silent seconds a name makes room for another
	// one of its sender, and tried how long a stranger takes to be known better
	// than a new one.
	forgetNames = 3600
	tried       = 600
	// leastYoung is how many new strangers there are at least before one of them
	// makes room for the next.
	leastYoung = 64
)

// Witness is who a sender is.
type Witness struct {
	// Name is an identity that the sender cannot choose.
	Name string
	// Known: a certificate or the configuration gives it that name. Of others
	// there may be any number.
	Known bool
	// Relay: it passes on the lines of other hosts.
	Relay bool
}

// hosts knows who sends lines and for whom.
type hosts struct {
	senders   map[string]*sender
	witnesses map[string]*witness
	byNumber  []*host // nil for numbers that are free or retired
	gens      [maxHosts]uint32
	free      []uint16
	retired   []retirement
	byKey     map[sendmail.HostKey]*host // those that have their own name
	last      *host                      // of the last line: lines come in batches
	lastKey   sendmail.HostKey
	strangers strangers
	zones     map[string]*time.Location // configured, by sender
	local     *time.Location
	label     func(sender, host string) string
	identity  func(sender string) Witness // nil: every name in a line is a witness
	metrics   *metrics
	notice    func(Notice)
	now       uint32 // second of arrival
	// rounds is how often all sources were looked at, see purge.
	rounds uint32
	// everAside: a breaker was open within the memory of some host.
	everAside bool
	counted   uint64 // see witnesses
	// nobody stands for the hosts that had no number.
	nobody witness
}

// sender is who sends lines over the wire.
type sender struct {
	name       string
	identity   Witness
	hosts      map[string]*host
	duplicates duplicates
	zone       *time.Location // configured, else nil
	several    bool           // it was said that it writes under several names
}

// host is who a sender says has written a line.
type host struct {
	number   uint16
	marked   bool // there may be marks and evidence with its number
	name     string
	hash     uint64 // of the name
	since    uint32 // second of arrival of the first line
	seen     uint32 // and of the last
	lagShown int64  // second of arrival at which the lag was last exported
	sender   *sender
	witness  *witness
	clock    clock
	breaker  *breaker // the witness's, or of its own behind a relay
	counters hostCounters
}

// witness is who says something: one mail host, or a relay with all behind it.
type witness struct {
	name     string
	hosts    int
	breaker  breaker
	admitted minute // blocks that used the ceiling
	passed   minute // blocks beside it that it alone vouched for
	over     bool   // it has used up what may pass the ceiling
	counted  uint64 // see witnesses
}

// retirement is a number whose host was forgotten. It is free when every source
// has been looked at and has no marks with it any more.
type retirement struct {
	number uint16
	rounds uint32
}

func newHosts(o Options, m *metrics) *hosts {
	h := &hosts{
		senders: map[string]*sender{}, witnesses: map[string]*witness{}, byKey: map[sendmail.HostKey]*host{},
		label: o.HostLabel, local: o.Local, identity: o.Witness, metrics: m, zones: map[string]*time.Location{},
		notice: func(Notice) {}, nobody: witness{name: "?"},
	}
	if o.OnNotice != nil {
		h.notice = o.OnNotice
	}
	if h.label == nil {
		h.label = func(string, string) string { return "other" }
	}
	if h.local == nil {
		h.local = time.Local
	}
	return h
}

// configure takes new zones, and asks again who is who. Hosts of a sender whose
// zone is the same keep what they have learned.
func (h *hosts) configure(zones []Zone) {
	h.zones = map[string]*time.Location{}
	for _, z := range zones {
		h.zones[z.Sender], _ = loadZone(z.Zone) // Validate has seen it
	}
	for _, s := range h.senders {
		h.identify(s)
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

// identify asks who a sender is. Its hosts get breakers anew if that has changed.
func (h *hosts) identify(s *sender) {
	identity := h.witnessOf(s.name)
	if identity == s.identity {
		return
	}
	old := s.identity
	s.identity = identity
	for _, x := range s.hosts {
		h.leave(x)
		h.join(x)
		h.strangers.move(x, old.Known)
	}
}

// witnessOf asks who a sender is.
func (h *hosts) witnessOf(sender string) Witness {
	if h.identity == nil {
		return Witness{Name: clone(sender), Known: true, Relay: true}
	}
	w := h.identity(sender)
	w.Name = clone(w.Name)
	return w
}

// arrived notes a time of arrival.
func (h *hosts) arrived(at time.Time) { h.now = max(h.now, unixSecond(at)) }

// of returns the host of a line.
func (h *hosts) of(l *Line) *host {
	if h.last == nil || l.hostKey != h.lastKey {
		known, ok := h.byKey[l.hostKey]
		if !ok {
			known = h.named(l.Sender, l.Host)
		}
		h.last, h.lastKey = known, l.hostKey
	}
	h.last.seen = h.now
	return h.last
}

// known returns the host of a line if it is known by its key, and changes nothing.
func (h *hosts) known(l *Line) *host {
	if h.last != nil && l.hostKey == h.lastKey {
		return h.last
	}
	return h.byKey[l.hostKey]
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
	identity := h.witnessOf(name)
	if identity.Known && len(h.senders) >= maxSenders {
		name = ""
		if s, ok := h.senders[name]; ok {
			return s
		}
	}
	name = clone(name)
	s := &sender{name: name, identity: identity, hosts: map[string]*host{}, zone: h.zones[name]}
	h.senders[name] = s
	return s
}

func (h *hosts) host(s *sender, name string) *host {
	if known, ok := s.hosts[name]; ok {
		return known
	}
	if len(s.hosts) >= h.namesOf(s) && !h.forgetName(s) {
		if rest, ok := s.hosts[""]; ok {
			return rest
		}
		name = ""
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

// namesOf is how many names a sender can write under.
func (h *hosts) namesOf(s *sender) int {
	switch {
	case h.identity == nil:
		return maxFiled
	case s.identity.Relay:
		return maxRelayed
	default:
		return maxNames
	}
}

// forgetName forgets the name of a sender that has been silent for longest, if
// it has been for long.
func (h *hosts) forgetName(s *sender) bool {
	var stalest *host
	for _, x := range s.hosts {
		if stalest == nil || x.seen < stalest.seen {
			stalest = x
		}
	}
	if h.now-min(h.now, stalest.seen) < forgetNames {
		return false
	}
	h.forget(stalest)
	h.senders[s.name] = s // it goes with its last host
	return true
}

func (h *hosts) add(s *sender, name string) *host {
	if !s.identity.Known {
		for h.strangers.full() {
			h.forget(h.strangers.stalest(h.now))
		}
		h.senders[s.name] = s
	}
	added := &host{
		number: h.newNumber(s.identity.Known), name: name, hash: xxhash.Sum64String(name), since: h.now, seen: h.now,
		sender: s, clock: h.newClock(s), counters: h.metrics.forHost(h.label(s.name, name)),
	}
	if added.number != noNumber {
		h.byNumber[added.number] = added
	}
	s.hosts[name] = added
	h.strangers.move(added, true)
	h.join(added)
	h.tellSeveral(s)
	return added
}

// tellSeveral tells once of a sender that is no relay, as far as is known, and
// writes under several names. A name with and without a domain is one.
func (h *hosts) tellSeveral(s *sender) {
	if s.several || s.identity.Relay || len(s.hosts) < 2 {
		return
	}
	first := map[string]bool{}
	for name := range s.hosts {
		label, _, _ := strings.Cut(name, ".")
		first[label] = true
	}
	if len(first) > 1 {
		s.several = true
		h.notice(Notice{Kind: SeveralNames, Sender: s.name})
	}
}

// newNumber returns a free number. For a known sender a stranger has to go.
func (h *hosts) newNumber(known bool) uint16 {
	if len(h.free) == 0 && len(h.byNumber) == maxHosts && known && h.strangers.count() > 0 {
		h.forget(h.strangers.stalest(h.now))
	}
	switch n := len(h.free); {
	case n > 0:
		number := h.free[n-1]
		h.free = h.free[:n-1]
		return number
	case len(h.byNumber) < maxHosts:
		h.byNumber = append(h.byNumber, nil)
		return uint16(len(h.byNumber) - 1)
	}
	return noNumber
}

// join makes a host one of its witness, and forms the witness if it is the first.
func (h *hosts) join(x *host) {
	name := x.sender.identity.Name
	if h.identity == nil {
		name += "\x00" + x.name
	}
	w := h.witnesses[name]
	if w == nil {
		w = &witness{name: name}
		h.witnesses[name] = w
	}
	w.hosts++
	x.witness, x.breaker = w, &w.breaker
	if h.identity != nil && x.sender.identity.Relay {
		x.breaker = &breaker{}
	}
}

// leave is the opposite of join.
func (h *hosts) leave(x *host) {
	w := x.witness
	if w.hosts--; w.hosts == 0 {
		h.close(&w.breaker)
		if w.over {
			h.metrics.over.Dec()
		}
		delete(h.witnesses, w.name)
	}
	if x.breaker != &w.breaker {
		h.close(x.breaker)
	}
}

// forget forgets a host, and with it its sender if it was the last. What it has
// said against sources does not count any more.
func (h *hosts) forget(x *host) {
	h.metrics.forgotten.Inc()
	h.leave(x)
	h.strangers.remove(x)
	delete(x.sender.hosts, x.name)
	delete(h.byKey, sendmail.HostKeyOf(x.sender.name, x.name))
	if h.last == x {
		h.last = nil
	}
	if len(x.sender.hosts) == 0 {
		delete(h.senders, x.sender.name)
	}
	if x.number == noNumber {
		return
	}
	h.byNumber[x.number] = nil
	h.gens[x.number]++
	if x.marked {
		h.retired = append(h.retired, retirement{x.number, h.rounds})
		return
	}
	h.free = append(h.free, x.number)
}

// sweptRound notes that all sources were looked at: numbers that were retired
// before the round began are free.
func (h *hosts) sweptRound() {
	h.rounds++
	kept := h.retired[:0]
	for _, r := range h.retired {
		if h.rounds-r.rounds < 2 {
			kept = append(kept, r)
			continue
		}
		h.free = append(h.free, r.number)
	}
	h.retired = kept
	for _, s := range h.senders {
		for _, x := range s.hosts {
			if x.number == noNumber && len(h.free) > 0 {
				x.number = h.newNumber(false)
				h.byNumber[x.number] = x
			}
		}
	}
}

// at returns the host with a number, nil if it was forgotten or has none.
func (h *hosts) at(number uint16) *host {
	if int(number) >= len(h.byNumber) {
		return nil
	}
	return h.byNumber[number]
}

// forgotten tells that a host has been forgotten since.
func (x *host) forgotten() bool { return x.sender.hosts[x.name] != x }

// all yields every host, those with a number in its order.
func (h *hosts) all(yield func(*host) bool) {
	for _, x := range h.byNumber {
		if x != nil && !yield(x) {
			return
		}
	}
	for _, s := range h.senders {
		for _, x := range s.hosts {
			if x.number == noNumber && !yield(x) {
				return
			}
		}
	}
}

// id names a host for good, as far as it has a number.
func (h *hosts) id(x *host) uint32 {
	if x.number == noNumber {
		return noNumber
	}
	return h.gens[x.number]<<(16-reasonBits) | uint32(x.number)
}

// whose returns the names that belong to an id, "" if the host was forgotten.
func (h *hosts) whose(id uint32) (sender, host string) {
	number := uint16(id & maxHosts)
	if x := h.at(number); x != nil && h.id(x) == id {
		return x.sender.name, x.name
	}
	return "", ""
}

// gone tells whether the host of a mark was forgotten.
func (h *hosts) gone(m *mark) bool { return m.host() != noNumber && h.at(m.host()) == nil }

func (h *hosts) newClock(s *sender) clock {
	if s.zone != nil {
		return clock{zones: []*time.Location{s.zone}, fixed: true}
	}
	return clock{zones: []*time.Location{h.local, time.UTC}}
}

// name returns the name of a host by its number, "" if it was forgotten.
func (h *hosts) name(number uint16) string {
	if x := h.at(number); x != nil {
		return x.name
	}
	return ""
}

// clone copies a string out of the buffer that it shares.
func clone(s string) string { return string([]byte(s)) }

// strangers are the hosts of senders that only their address tells: those that
// have been there for a while, and before them, in the order of their coming, the
// new ones, which make room first. So a flood of forged addresses replaces itself.
type strangers struct {
	old, young []*host
}

func (s *strangers) count() int { return len(s.old) + len(s.young) }

func (s *strangers) full() bool { return s.count() >= maxStrangers }

// move puts a host in if its sender is a stranger, and else takes it out.
func (s *strangers) move(x *host, wasKnown bool) {
	switch known := x.sender.identity.Known; {
	case known == wasKnown:
	case known:
		s.remove(x)
	default:
		s.young = append(s.young, x)
	}
}

func (s *strangers) remove(x *host) {
	for _, list := range []*[]*host{&s.young, &s.old} {
		for i, other := range *list {
			if other == x {
				*list = append((*list)[:i], (*list)[i+1:]...)
				return
			}
		}
	}
}

// stalest returns who is to go first. There must be somebody.
func (s *strangers) stalest(now uint32) (x *host) {
	for len(s.young) > 0 && now-min(now, s.young[0].since) >= tried {
		s.old = append(s.old, s.young[0])
		s.young = s.young[1:]
	}
	if len(s.young) >= leastYoung {
		return s.young[0]
	}
	for _, other := range s.old {
		if x == nil || other.seen < x.seen {
			x = other
		}
	}
	if x == nil {
		return s.young[0]
	}
	return x
}
