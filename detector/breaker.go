package detector

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"uppercut/detector/offence"
)

// A breaker judges the judge's source: a mail host that refuses those whom the
// fleet accepts, or everybody at once for one reason, has more likely gone
// wrong than seen the light. While its breaker is open, what a relay can be
// made to do and the weak classes do not count if this host reports them.
type breaker struct {
	of        *host // by whose line it opened last
	contacts  contacts
	checked   uint32 // second of the last look at contacts
	bad       bool   // it showed that the host refuses partners
	from      uint32 // since when, if so
	surge     surge
	intervals []interval
	open      bool
	cause     breakerCause
	lastBad   time.Time // arrival
	setAside  uint64    // offences since it opened
	refusing  int       // within the window, at the last look
	heard     int
}

type breakerCause uint8

const (
	breakerPartners breakerCause = iota // refuses whom the fleet accepts
	breakerSurge                        // refuses everybody for one reason
)

func (c breakerCause) String() string { return [...]string{"partners", "surge"}[c] }

// interval is a time whose evidence is set aside. A zero end is open.
type interval struct {
	from, to uint32
	cause    breakerCause
}

const (
	breakerWindow   = 300  // seconds
	maxContacts     = 4096 // of a host; further sources are not looked at
	maxIntervals    = 8
	leastSurge      = 100 // distinct sources, however few are usual
	surgeShare      = 0.9 // of the host's offences
	leastSurgeSteps = 12  // windows that teach what is usual
)

// aside tells whether an offence does not count because its host's breaker was
// open. What the client itself does counts, unless mail was ever accepted from
// it: then it is one of the many whom a host refuses that has gone wrong.
func (h *hosts) aside(m *mark, known bool) bool {
	if !h.everAside {
		return false
	}
	if r := m.reason(); attackerOnly.has(r) || clientsOwn.has(r) && !known {
		return false
	}
	x := h.at(m.host())
	if x == nil {
		return h.gone(m)
	}
	return x.breaker.wasOpen(m.second) || x.breaker != &x.witness.breaker && x.witness.breaker.wasOpen(m.second)
}

// wasOpen tells whether evidence of a second is set aside.
func (b *breaker) wasOpen(second uint32) bool {
	for _, i := range b.intervals {
		if second >= i.from && (i.to == 0 || second <= i.to) {
			return true
		}
	}
	return false
}

// breakers yields the breaker of a host, and behind a relay that of all its hosts
// together, since they are one witness.
func (h *host) breakers(yield func(*breaker) bool) {
	if yield(h.breaker) && h.breaker != &h.witness.breaker {
		yield(&h.witness.breaker)
	}
}

// accepts tells the breaker of a host that it took mail.
func (d *Detector) accepts(h *host, key *sourceKey, second uint32) {
	for b := range h.breakers {
		b.contacts.change(key.hash, second, (*contact).accept)
	}
	d.fleet.accepts(key.hash, second)
}

// noRefusal says nothing about whose mail a host takes: what only an attacker
// does, what is mere context, and users who cannot log in.
var noRefusal = attackerOnly | contextOnly | reasons(offence.AuthUnavailable)

// refuses tells the breaker of a host about an offence of a source, which may
// be nil if nothing is known of it.
func (d *Detector) refuses(h *host, s *source, key *sourceKey, r offence.Reason, second uint32) {
	if !d.judgement.breaker.Enabled || noRefusal.has(r) {
		return
	}
	known := s != nil && d.accepted(s, second) > 0 && d.harmless(s)
	for b := range h.breakers {
		surging := b.surge.add(r, key.hash, second, b.open, d.judgement.breaker.Surge)
		if known {
			b.contacts.change(key.hash, second, (*contact).refuse)
		}
		switch {
		case d.refusesPartners(b, known):
			d.trip(b, h, breakerPartners, b.from)
		case surging:
			d.trip(b, h, breakerSurge, b.surge.start)
		}
	}
	if known {
		d.refusedByAll(h, key, second)
	}
}

// harmless tells that a source has done nothing that only an attacker does.
func (d *Detector) harmless(s *source) bool {
	for _, m := range d.sources.offences(s) {
		if attackerOnly.has(m.reason()) {
			return false
		}
	}
	return true
}

// refusesPartners tells whether a host refuses whom the fleet accepts; changed,
// that a source was just refused. It forgets contacts once a second, unless it is
// plain that too few were refused.
func (d *Detector) refusesPartners(b *breaker, changed bool) bool {
	c := d.judgement.breaker
	known := &b.contacts
	b.from = known.latest - min(known.latest, breakerWindow)
	if known.count <= fewContacts {
		if changed || b.checked != known.latest {
			b.checked = known.latest
			b.bad = d.refusesFew(b)
		}
		return b.bad
	}
	if b.checked != known.latest && known.refused >= c.Sources {
		b.checked = known.latest
		known.prune()
	}
	b.refusing, b.heard = known.refused, known.count
	b.bad = c.tooMany(b.refusing, b.heard)
	return b.bad
}

// tooMany tells whether so many of those heard of are too many to be refused.
func (b Breaker) tooMany(refusing, heard int) bool {
	return refusing >= b.Sources && float64(refusing) >= b.Share*float64(heard)
}

// A host that hears of few sources with accepted mail remembers them for longer:
// they may take hours to come back and be refused.
const (
	fewContacts = 64
	fewMemory   = 86_400 // seconds
	// fewTurned is how many of them it must have turned away whose mail it took
	// before, and turnedShare of how many.
	fewTurned   = 3
	turnedShare = 0.9
)

// refusesFew is refusesPartners for a host with few contacts. It is enough that
// the host turns away nearly all whose mail it used to take, however slowly.
func (d *Detector) refusesFew(b *breaker) bool {
	b.refusing, b.heard = b.contacts.refused, b.contacts.count
	if b.contacts.refused < min(fewTurned, d.judgement.breaker.Sources) {
		return false
	}
	b.refusing, b.heard = 0, 0
	own, turned := 0, []uint32(nil)
	for key, c := range b.contacts.all() {
		age := b.contacts.latest - c.heard()
		if age >= fewMemory {
			b.contacts.forget(key, c)
			continue
		}
		if age < breakerWindow {
			b.heard++
			b.refusing += c.refusals()
		}
		if c.accepted > 0 {
			own++
			if c.refusals() > 0 {
				turned = append(turned, c.first)
			}
		}
	}
	if len(turned) >= fewTurned && float64(len(turned)) >= turnedShare*float64(own) {
		b.from = min(b.from, slices.Min(turned))
		return true
	}
	if from, all := b.contacts.turnedAway(d.judgement.breaker.Sources); all && b.refusing == b.heard {
		b.from = min(b.from, from)
		return true
	}
	return d.judgement.breaker.tooMany(b.refusing, b.heard)
}

// turnedAway tells whether the host refused nearly all of the contacts that it
// has heard of lately, at least a number, and since when: a second of log time.
// However slowly they come, a host that is well takes somebody's mail in between.
func (s *contacts) turnedAway(least int) (from uint32, all bool) {
	if s.refused < least {
		return 0, false
	}
	lately := slices.SortedFunc(maps.Values(s.all()), func(x, y contact) int {
		return cmp.Compare(y.heard(), x.heard())
	})
	refused, first := 0, s.latest
	for i, c := range lately {
		if c.refusals() == 0 {
			continue
		}
		refused++
		first = min(first, c.first)
		if refused >= least && float64(refused) >= turnedShare*float64(i+1) {
			from, all = first, true
		}
	}
	return from, all
}

// countAside counts an offence of a source that comes in while the breaker of
// its host is open, if that sets it aside.
func (d *Detector) countAside(h *host, s *source, m *mark, count uint32) {
	open := false
	for b := range h.breakers {
		open = open || b.open
	}
	if !open || !d.hosts.aside(m, d.accepted(s, m.second) > 0) {
		return
	}
	for b := range h.breakers {
		b.setAside += uint64(max(1, count))
	}
	h.counters.setAside.Add(float64(max(1, count)))
}

// trip opens a breaker, or notes that it is still needed, and takes back what was
// decided on evidence that is now set aside.
func (d *Detector) trip(b *breaker, h *host, cause breakerCause, from uint32) {
	b.lastBad = d.now
	if b.open && (b.cause == breakerPartners || cause == breakerSurge) {
		return
	}
	d.hosts.close(b)
	b.of, b.open, b.cause, b.setAside = h, true, cause, 0
	b.intervals = append(b.intervals, interval{from: from, cause: cause})
	b.intervals = b.intervals[max(0, len(b.intervals)-maxIntervals):]
	d.hosts.everAside = true
	h.counters.breakerOpened[cause].Inc()
	h.counters.breakerOpen.Inc()
	n := h.notice(BreakerOpened)
	n.Cause = cause.String()
	d.notice(n)
	d.takeBack(h)
}

// close ends the open interval of a breaker, if it has one.
func (h *hosts) close(b *breaker) {
	if b.open {
		b.intervals[len(b.intervals)-1].to = max(b.contacts.latest, b.surge.latest)
		b.of.counters.breakerOpen.Dec()
	}
	b.open = false
}

// closeBreakers closes those that were normal for long enough.
func (d *Detector) closeBreakers() {
	for h := range d.hosts.all {
		for b := range h.breakers {
			if b.open && d.now.Sub(b.lastBad) >= d.judgement.breaker.Close {
				d.closeBreaker(b)
			}
		}
	}
}

func (d *Detector) closeBreaker(b *breaker) {
	d.hosts.close(b)
	b.contacts = contacts{latest: b.contacts.latest}
	b.refusing, b.heard = 0, 0
	b.surge.reset()
	d.fleet.forget(b)
	d.notice(b.of.notice(BreakerClosed))
}

// surge knows how many distinct sources a host usually refuses for each reason
// within a window, and sees when there are far more.
type surge struct {
	start    uint32 // of the present window, log time
	latest   uint32
	total    int
	counts   [64]int
	distinct [64]*sketch
	usual    [64]float64
	steps    int // windows that went into usual
}

// add counts an offence and tells whether there is a surge of its reason.
func (s *surge) add(r offence.Reason, key uint64, second uint32, open bool, factor float64) bool {
	if second < s.start {
		return false // a late line: its window is over
	}
	s.latest = max(s.latest, second)
	if second-s.start >= breakerWindow {
		s.roll(second, open)
	}
	s.total++
	s.counts[r]++
	if s.distinct[r] == nil {
		s.distinct[r] = &sketch{}
	}
	if !s.distinct[r].add(key) && !open {
		return false // nothing has changed
	}
	if s.steps < leastSurgeSteps || float64(s.counts[r]) < surgeShare*float64(s.total) {
		return false
	}
	return s.distinct[r].estimate() >= max(leastSurge, factor*s.usual[r])
}

// roll begins a new window. What was seen while the breaker was open is not
// usual.
func (s *surge) roll(second uint32, open bool) {
	if s.start != 0 && !open {
		for r := range s.usual {
			seen := 0.0
			if s.distinct[r] != nil {
				seen = s.distinct[r].estimate()
			}
			weight := 1 / float64(min(s.steps, usualSteps)+1)
			s.usual[r] += weight * (seen - s.usual[r])
		}
		s.steps++
	}
	s.start = second - second%breakerWindow
	s.reset()
}

// usualSteps is how many windows what is usual looks back: a day.
const usualSteps = 288

func (s *surge) reset() {
	s.total = 0
	s.counts = [64]int{}
	s.distinct = [64]*sketch{}
}

// sketch estimates how many distinct hashes it was given, within some 13 %
// (HyperLogLog with 64 registers; Flajolet et al. 2007).
type sketch [64]uint8

// add returns false if the hash changes nothing.
func (s *sketch) add(hash uint64) bool {
	register, rank := hash>>58, uint8(bits.LeadingZeros64(hash<<6|1<<5)+1)
	if rank <= s[register] {
		return false
	}
	s[register] = rank
	return true
}

func (s *sketch) estimate() float64 {
	const n = float64(len(sketch{}))
	total, empty := 0.0, 0
	for _, rank := range s {
		total += math.Ldexp(1, -int(rank))
		if rank == 0 {
			empty++
		}
	}
	if raw := 0.709 * n * n / total; raw > 2.5*n || empty == 0 {
		return raw
	}
	return n * math.Log(n/float64(empty))
}
