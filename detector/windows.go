package detector

import (
	"slices"
	"time"

	"uppercut/detector/offence"
)

// rule is a Rule made ready.
type rule struct {
	name     string
	window   uint32 // seconds
	score    points
	block    uint32 // seconds
	reasons  reasonSet
	hosts    []string // names of mail hosts; empty: all
	minHosts int
}

func newRule(r Rule) rule {
	compiled := rule{
		name: r.Name, window: seconds(r.Window), score: toPoints(r.Score), block: seconds(r.Block),
		reasons: allReasons, hosts: r.Hosts, minHosts: r.MinHosts,
	}
	if len(r.Reasons) > 0 {
		compiled.reasons = 0
	}
	for _, name := range r.Reasons {
		reason, _ := offence.ParseReason(name) // Validate has seen it
		compiled.reasons |= reasons(reason)
	}
	return compiled
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// leastUnknownUsers is how many there must be, in at least two sessions, to
// count: fewer are typing errors.
const leastUnknownUsers = 3

// tally is what a source has done within one window.
type tally struct {
	attacker points // what only the client itself can do
	own      points // what says something about the client itself
	relayed  points // what a relay can be made to do
	context  points // what counts only beside the others

	unknown         points // unknown users, not yet in relayed
	unknowns        int
	unknownSessions sessions
	sessions        sessions // of everything in own and relayed

	limits        points // of our own that it ran into, not yet in relayed or context
	limitSessions sessions
}

// sessions counts distinct sessions, up to "several".
type sessions struct {
	first   uint16
	several bool
}

func (s *sessions) add(tag uint16) {
	switch {
	case tag == severalSessions, s.first != 0 && s.first != tag:
		s.several = true
	default:
		s.first = tag
	}
}

func (s *sessions) merge(o sessions) {
	if o.first != 0 {
		s.add(o.first)
	}
	s.several = s.several || o.several
}

// add counts one mark.
func (t *tally) add(m *mark) {
	switch p := points(m.weight); kinds[m.reason()] {
	case kindAttacker:
		t.attacker += p
	case kindContext:
		t.context += p
	case kindLimit:
		t.limits += p
		t.limitSessions.add(m.session)
	case kindUnknownUser:
		t.unknown += p
		t.unknowns += int(m.extra)
		t.unknownSessions.add(m.session)
	case kindOwn:
		t.own += p
		t.sessions.add(m.session)
	default:
		t.relayed += p
		t.sessions.add(m.session)
	}
}

// kind is how a class counts.
type kind uint8

const (
	kindRelayed kind = iota
	kindAttacker
	kindContext
	kindUnknownUser
	kindOwn
	kindLimit
)

// kinds are those of all classes: a busy source has its offences counted again
// with each new one.
var kinds = func() (all [1 << reasonBits]kind) {
	for i := range all {
		switch r := offence.Reason(i); {
		case attackerOnly.has(r):
			all[i] = kindAttacker
		case contextOnly.has(r):
			all[i] = kindContext
		case ourLimits.has(r):
			all[i] = kindLimit
		case r == offence.UnknownUser:
			all[i] = kindUnknownUser
		case clientsOwn.has(r):
			all[i] = kindOwn
		}
	}
	return all
}()

// addUnknownUsers counts the unknown users if they are enough to mean
// something.
func (t *tally) addUnknownUsers() {
	if t.unknowns < leastUnknownUsers || !t.unknownSessions.several {
		return
	}
	t.relayed += t.unknown
	t.sessions.several = true
}

// score adds up: favour cancels what a relay can be made to do, for a partner
// also what says something about the client, and context counts for no more
// than everything else. A limit of ours that a source with mail runs into is
// context; it holds the source back by itself.
func (t *tally) score(is standing) points {
	t.addLimits(is.current)
	rest := t.attacker
	switch excusable := t.relayed + t.own; {
	case is.partner && !t.sessions.several:
	case is.partner:
		rest += excusable - min(excusable, is.credit)
	default:
		rest += t.own + t.relayed - min(t.relayed, is.credit)
	}
	return rest + min(rest, t.context)
}

// addLimits counts the limits that a source ran into as what they are for one
// with current mail or without.
func (t *tally) addLimits(current bool) {
	if t.limits == 0 {
		return
	}
	if current {
		t.context += t.limits
	} else {
		t.relayed += t.limits
		t.sessions.merge(t.limitSessions)
	}
	t.limits = 0
}

// tally adds up the offences that count for a rule in the window that ends
// with the second end: those less than the window older than it, and it; with
// all also those that the rule or a breaker leaves out.
func (d *Detector) tally(r *rule, offences []mark, end uint32, known, all bool) (t tally) {
	for i := len(offences) - 1; i >= 0; i-- {
		m := &offences[i]
		if m.second > end {
			continue
		}
		if end-m.second >= r.window {
			break
		}
		if all || d.counts(r, m, known) {
			t.add(m)
		}
	}
	t.addUnknownUsers()
	return t
}

// leavesOut tells whether there can be offences that do not count for a rule.
func (d *Detector) leavesOut(r *rule) bool {
	return r.reasons != allReasons || len(r.hosts) > 0 || d.hosts.everAside
}

// counts tells whether a rule takes notice of an offence.
func (d *Detector) counts(r *rule, m *mark, known bool) bool {
	if !r.reasons.has(m.reason()) {
		return false
	}
	if len(r.hosts) > 0 && !slices.Contains(r.hosts, d.hosts.name(m.host())) {
		return false
	}
	return !d.hosts.aside(m, known)
}

// witnesses counts the witnesses in a rule's window. alone is who alone reported
// what is more than context, nil if several did.
func (d *Detector) witnesses(r *rule, offences []mark, end uint32, known bool) (n int, alone *witness) {
	d.hosts.counted++
	several := false
	for i := range offences {
		m := &offences[i]
		if m.second > end || end-m.second >= r.window || !d.counts(r, m, known) {
			continue
		}
		w := &d.hosts.nobody
		if x := d.hosts.at(m.host()); x != nil {
			w = x.witness
		}
		if w.counted != d.hosts.counted {
			w.counted = d.hosts.counted
			n++
		}
		if !contextOnly.has(m.reason()) {
			several = several || alone != nil && alone != w
			alone = w
		}
	}
	if several {
		alone = nil
	}
	return n, alone
}

// firing is a rule whose score is reached.
type firing struct {
	rule     *rule
	end      uint32 // second of the deciding offence
	score    points
	attacker bool // by what only an attacker does
}

// fires returns the rule that gives the longest block after an offence at the
// second at; ok is false if none fires. After a late offence every window that
// holds it is looked at, and of those that fire the last one counts.
func (d *Detector) fires(s *source, at uint32) (best firing, ok bool) {
	offences := d.sources.offences(s)
	if sum(offences) < d.judgement.leastScore {
		return best, false
	}
	for i := range d.judgement.rules {
		r := &d.judgement.rules[i]
		f, fired := d.ruleFires(r, s, offences, at)
		if fired && (!ok || f.end+r.block > best.end+best.rule.block) {
			best, ok = f, true
		}
	}
	return best, ok
}

func (d *Detector) ruleFires(r *rule, s *source, offences []mark, at uint32) (firing, bool) {
	for i := len(offences) - 1; i >= 0 && offences[i].second >= at; i-- {
		end := offences[i].second
		if end-at >= r.window || i+1 < len(offences) && offences[i+1].second == end {
			continue
		}
		is := d.standing(r, s, end)
		// What is left out could only have added to the score, and to look for it takes longest.
		t := d.tally(r, offences, end, is.known, true)
		if t.score(is) < r.score {
			continue
		}
		if d.leavesOut(r) {
			t = d.tally(r, offences, end, is.known, false)
		}
		score := t.score(is)
		if score < r.score {
			continue
		}
		if r.minHosts > 1 {
			if n, _ := d.witnesses(r, offences, end, is.known); n < r.minHosts {
				continue
			}
		}
		return firing{rule: r, end: end, score: score, attacker: t.attacker >= r.score}, true
	}
	return firing{}, false
}

// sum adds up all marks, whatever they are.
func sum(list []mark) (p points) {
	for i := range list {
		p += points(list[i].weight)
	}
	return p
}

// remember adds an offence of the second at to a source and returns false if
// it adds nothing: a user name that was tried before, a session that has
// earned all it can.
func (d *Detector) remember(s *source, m mark) bool {
	list := append(d.scratch[:0], d.sources.offences(s)...)
	var scored bool
	if m.reason() == offence.AuthFail {
		list, scored = addUser(list, m)
	} else if m.weight = d.judgement.capped(list, m); m.weight > 0 {
		list, scored = insert(list, m), true
	}
	list = forget(list, d.judgement.longestWindow)
	for limit := d.markLimit(); len(list) > limit; {
		list = mergeOldest(list)
		d.metrics.merged.Inc()
	}
	d.sources.setOffences(s, list)
	d.scratch = list
	return scored
}

// insert adds an offence to a list in the order of time. What is equal to it
// but for the number of offences takes it up.
func insert(list []mark, m mark) []mark {
	i := len(list)
	for ; i > 0 && list[i-1].second >= m.second; i-- {
		if same := &list[i-1]; same.second == m.second && same.origin == m.origin &&
			same.session == m.session && same.merge(&m) {
			return list
		}
	}
	return slices.Insert(list, i, m)
}

// merge adds another mark's numbers, or returns false if they do not fit.
func (m *mark) merge(o *mark) bool {
	if int(m.weight)+int(o.weight) > maxWeight {
		return false
	}
	m.weight += o.weight
	m.extra = uint16(min(int(m.extra)+int(o.extra), maxExtra))
	return true
}

// The users of AUTH failures are kept as tags of their keyed hashes.
const (
	mergedUsers   = 0 // several users, after merging
	unnamedUser   = 1 // sendmail 8.15 and older name none: they are all one
	unnamedExcess = 2 // those beyond what one user may get wrong
	firstUser     = 3
)

// Failures without a user name fill a bucket that leaks: one a minute goes, ten
// find room. Those that do not are more than a device with an old password writes
// or somebody who mistypes, and each counts for a third of a user name. The mark
// of unnamedUser holds in session how full the bucket is, in seconds of leaking.
const (
	unnamedLeak   = 60
	unnamedRoom   = 10 * unnamedLeak
	unnamedShare  = 3
	mostUnnamed   = 1000 // failures in one line, "message repeated N times"
	fullestBucket = unnamedRoom + unnamedLeak - 1
)

func userTag(hash uint64) uint16 {
	if hash == 0 {
		return unnamedUser
	}
	return uint16(firstUser + hash%(1<<16-firstUser))
}

// addUser adds an AUTH failure. A user name that the source has tried before
// is remembered with its last time instead, so that it scores once in every
// window; if that was no earlier, nothing is added.
func addUser(list []mark, m mark) (_ []mark, scored bool) {
	i := slices.IndexFunc(list, func(o mark) bool { return o.reason() == offence.AuthFail && o.extra == m.extra })
	switch {
	case m.extra == unnamedUser:
		return addUnnamed(list, i, m)
	case i < 0:
		return insertApart(list, m), true
	case list[i].second >= m.second:
		return list, false
	}
	m.weight = list[i].weight
	return insertApart(slices.Delete(list, i, i+1), m), true
}

// addUnnamed adds AUTH failures without a user name, whose number is in session,
// to a list in which the mark at i, if not negative, stands for those before.
func addUnnamed(list []mark, i int, m mark) (_ []mark, scored bool) {
	bucket := mark{second: m.second, weight: m.weight, extra: unnamedUser, origin: m.origin}
	if scored = i < 0; !scored {
		bucket = list[i]
		list = slices.Delete(list, i, i+1)
	}
	if bucket.session > fullestBucket {
		bucket.session = 0 // from a snapshot of before there were buckets
	}
	level := uint32(bucket.session)
	if m.second > bucket.second {
		level -= min(level, m.second-bucket.second)
		bucket.second, bucket.origin, scored = m.second, m.origin, true
	}
	level += unnamedLeak * uint32(m.session)
	excess := (level - min(level, unnamedRoom)) / unnamedLeak
	bucket.session = uint16(level - excess*unnamedLeak)
	list = insertApart(list, bucket)
	if excess == 0 {
		return list, scored
	}
	m.weight = uint16(min(excess*uint32(m.weight)/unnamedShare, maxWeight))
	m.extra, m.session = unnamedExcess, severalSessions
	return insertApart(list, m), true
}

// insertApart adds a mark in the order of time and merges it with none.
func insertApart(list []mark, m mark) []mark {
	i := len(list)
	for i > 0 && list[i-1].second > m.second {
		i--
	}
	return slices.Insert(list, i, m)
}

// forget drops what is longer ago than every window, seen from the newest.
func forget(list []mark, longest uint32) []mark {
	if len(list) == 0 {
		return list
	}
	newest := list[len(list)-1].second
	n := 0
	for newest-list[n].second >= longest {
		n++
	}
	return slices.Delete(list, 0, n)
}

// mergeOldest makes room in a full list: two offences from the same host for
// the same reason become one with the time of the older, which lets it expire
// early rather than late. If there are no two such, two of the same reason do;
// if there are none either, the oldest is lost.
func mergeOldest(list []mark) []mark {
	i, j, ok := closest(list, allOrigin)
	if !ok {
		i, j, ok = closest(list, reasonOfOrigin)
	}
	if !ok {
		return slices.Delete(list, 0, 1)
	}
	list[i].absorb(&list[j])
	return slices.Delete(list, j, j+1)
}

// What of their origins has to be equal for two marks to be alike.
const (
	allOrigin      = 1<<16 - 1
	reasonOfOrigin = 1<<reasonBits - 1
)

// closest returns the two marks that follow one another among those alike, as far
// as the bits of their origins say, and whose distance is smallest in comparison to
// their age. Marks at even distances are merged from the oldest on; in the long run
// resolution is in proportion to age.
func closest(list []mark, alike uint16) (first, second int, ok bool) {
	newest := list[len(list)-1].second
	var gap, age uint64
	for i := range list {
		j := i + 1
		for j < len(list) && (list[i].origin^list[j].origin)&alike != 0 {
			j++
		}
		if j == len(list) || int(list[i].weight)+int(list[j].weight) > maxWeight {
			continue
		}
		g, a := uint64(list[j].second-list[i].second), uint64(newest-list[i].second)+1
		if !ok || g*age < gap*a {
			first, second, ok, gap, age = i, j, true, g, a
		}
	}
	return first, second, ok
}

// absorb merges a later mark, whose weight fits.
func (m *mark) absorb(o *mark) {
	if m.session != o.session {
		m.session = severalSessions
	}
	if m.weight < o.weight {
		m.origin = o.origin
	}
	m.merge(o)
	if m.reason() == offence.AuthFail {
		m.extra = mergedUsers
	}
}
