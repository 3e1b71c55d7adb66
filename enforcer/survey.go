package enforcer

import (
	"net/netip"
	"time"

	"uppercut/enforcer/nft"
)

// The numbers of elements that the kernel gives are cheap, and not enough: before
// Linux 6.16 there are none, and from there on those that have run out count
// until they are collected. Where they do not settle it, a set is listed.

const (
	// listLimit is the largest hash set that is listed for a comparison: a few
	// milliseconds.
	listLimit = 10_000
	// adoptLimit is the largest set that is listed at all: a second or so.
	adoptLimit = 100_000
	// firstNet is the first of nft.Sets that holds networks.
	firstNet = 2
)

// ending is how far the kernel's clock ticks may be from ours.
const ending = time.Second

// survey is what a look at the sets has found.
type survey struct {
	found   map[string]int // missing, unexpected, timeout
	foreign []nft.Element  // what to adopt of the unexpected
	blind   bool           // a set could not be looked at: only writing it anew helps
}

// survey compares the sets with the list. c is what made us look, counts what
// the kernel says of the numbers. The caller is Run's goroutine, between writes.
func (e *Enforcer) survey(c nft.Change, counts [4]int) survey {
	s := survey{found: map[string]int{}}
	low, high := e.expected()
	for i, n := range counts {
		switch {
		case c.Lost, c.Intervals && i >= firstNet, n > high[i] && (i >= firstNet || n <= listLimit):
			e.look(&s, i, n, high[i])
		case n >= 0 && n < low[i]:
			s.found["missing"] += low[i] - n
		case n > high[i]+e.kernel.ended.since(i, time.Now()):
			s.found["unexpected"] += n - high[i]
		}
	}
	return s
}

// expected are how many elements each set should have at least and at most: what
// ends about now may be there or not.
func (e *Enforcer) expected() (low, high [4]int) {
	now := time.Now()
	count := func(p netip.Prefix, left time.Duration) {
		i := e.firewall.Config().SetIndex(p)
		high[i]++
		if left > ending {
			low[i]++
		}
	}
	for slot := range e.list.Slots(0) {
		if entry := e.list.At(slot); !entry.IsNetwork() && !entry.Knocks() {
			p := entry.Prefix()
			count(p, e.timeLeft(p, now))
		}
	}
	for p := range e.list.Pieces() {
		if !e.list.Hashed(p) {
			count(p, e.timeLeft(p, now))
		}
	}
	return low, high
}

// look lists one set, which should have up to wanted elements and has counted, and
// asks once more for each element that seems wrong. A set that is too large is not
// compared as a whole: then what was listed of it and some elements of ours are.
func (e *Enforcer) look(s *survey, set, counted, wanted int) {
	limit := listLimit
	if set >= firstNet || e.config.Foreign == ForeignAdopt {
		limit = adoptLimit
	}
	elems, whole, err := e.firewall.List(nft.Sets[set], limit)
	if err != nil {
		s.blind = true
		return
	}
	foreign, ours := e.suspects(elems)
	var absent []netip.Prefix
	switch {
	case whole && len(elems) < wanted+len(foreign):
		absent = e.absent(set, elems)
	case !whole && set < firstNet:
		absent = e.nextSample(nft.MaxBatch)
	}
	if !whole {
		s.blind = true
		if e.config.Foreign == ForeignAdopt {
			e.tooLargeToAdopt(nft.Sets[set])
		}
	}
	e.confirm(s, foreign, append(ours, absent[:min(len(absent), nft.MaxBatch)]...))
	if rest := len(absent) - nft.MaxBatch; whole && rest > 0 && s.found["missing"] > 0 {
		s.found["missing"] += rest
	}
	if !whole && counted > wanted+e.kernel.ended.since(set, time.Now()) {
		s.found["unexpected"] = max(s.found["unexpected"], counted-wanted)
	}
}

// suspects divides those of a set's elements that are not as the list has them.
func (e *Enforcer) suspects(elems []nft.Element) (foreign, ours []netip.Prefix) {
	now := time.Now()
	for _, el := range elems {
		switch want := e.timeLeft(el.Prefix, now); {
		case want > 0 && e.judge(want, el.Timeout) != "":
			ours = append(ours, el.Prefix)
		case want == 0 && el.Timeout > ending && !e.list.Knocks(el.Prefix):
			foreign = append(foreign, el.Prefix)
		}
	}
	return foreign, ours
}

// absent returns what the set should have and is not among elems.
func (e *Enforcer) absent(set int, elems []nft.Element) (ps []netip.Prefix) {
	there := make(map[netip.Prefix]bool, len(elems))
	for _, el := range elems {
		there[el.Prefix] = true
	}
	for el := range e.elementsWanted {
		if e.firewall.Config().SetIndex(el.Prefix) == set && !there[el.Prefix] && el.Timeout > ending && !e.list.Knocks(el.Prefix) {
			ps = append(ps, el.Prefix)
		}
	}
	return ps
}

// confirm asks for single elements and adds what is wrong to s: foreign should
// not be there, and ours should.
func (e *Enforcer) confirm(s *survey, foreign, ours []netip.Prefix) {
	f, err := e.compare(ours)
	if err != nil {
		s.blind = true
		return
	}
	for kind, n := range f.Kinds {
		s.found[kind] += n
	}
	there, err := e.present(foreign)
	if err != nil {
		s.blind = true
		return
	}
	if len(there) > 0 {
		s.found["unexpected"] += len(there)
	}
	if e.config.Foreign == ForeignAdopt {
		s.foreign = append(s.foreign, there...)
	}
}

// present returns those of ps that nobody ordered and that the kernel has.
func (e *Enforcer) present(ps []netip.Prefix) (there []nft.Element, err error) {
	found, err := e.firewall.Ask(ps)
	if err != nil {
		return nil, err
	}
	for i, p := range ps {
		if left := found[i].Left; left > ending && e.list.Want(p) == 0 {
			there = append(there, nft.Element{Prefix: p, Timeout: left})
		}
	}
	return there, nil
}

func (e *Enforcer) tooLargeToAdopt(set string) {
	e.logger.Warn("set is too large to search for foreign elements; they are removed", "set", set, "limit", adoptLimit)
}

// recent counts the blocks of addresses that have ended in the last seconds, by
// family: the kernel may not have collected their elements.
type recent struct {
	from        time.Time // of now
	now, before [2]int
}

// collected is how long the kernel may take for that.
const collected = 5 * time.Second

func (r *recent) add(family int, now time.Time) {
	r.turn(now)
	r.now[family]++
}

// since returns how many of a hash set have ended, none of the others.
func (r *recent) since(set int, now time.Time) int {
	if set >= firstNet {
		return 0
	}
	r.turn(now)
	return r.now[set] + r.before[set]
}

func (r *recent) turn(now time.Time) {
	switch passed := now.Sub(r.from); {
	case passed > 2*collected:
		r.from, r.now, r.before = now, [2]int{}, [2]int{}
	case passed > collected:
		r.from, r.now, r.before = now, [2]int{}, r.now
	}
}
