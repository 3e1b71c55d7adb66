package blocklist

import (
	"container/heap"
	"net/netip"
)

// A full set makes room by letting go of what stands on the word of one witness
// alone, first of the one who has the most of it: so each witness has a share, and
// whoever lies evicts his own lies. Then goes what two or more said, and last what
// an operator blocked. Among these the least guilty go first: by score, then by
// the end of the block.

// spare is how many of the least guilty one walk over the list finds.
const spare = 512

// culprit is a block that could make room.
type culprit struct {
	slot  uint32
	id    uint64
	guilt guilt
}

type guilt struct {
	byHand bool
	score  float32
	until  int64
}

func (g guilt) less(h guilt) bool {
	switch {
	case g.byHand != h.byHand:
		return h.byHand
	case g.score != h.score:
		return g.score < h.score
	}
	return g.until < h.until
}

// mostGuilty is a heap with the most guilty on top.
type mostGuilty []culprit

func (h mostGuilty) Len() int           { return len(h) }
func (h mostGuilty) Less(i, j int) bool { return h[j].guilt.less(h[i].guilt) }
func (h mostGuilty) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *mostGuilty) Push(x any)        { *h = append(*h, x.(culprit)) }
func (h *mostGuilty) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// innocents is a heap with the least guilty on top.
type innocents struct{ mostGuilty }

func (h innocents) Less(i, j int) bool { return h.mostGuilty[i].guilt.less(h.mostGuilty[j].guilt) }

// leastGuilty returns up to spare of the least guilty of a group of blocks, the
// least guilty last.
func (l *List) leastGuilty(g group) []culprit {
	var h mostGuilty
	for slot := range l.Slots(0) {
		e := l.At(slot)
		if e.witness != g.witness || l.classOf(e) != g.class {
			continue
		}
		x := culprit{slot, e.id, l.guilt(e)}
		if len(h) == spare && !x.guilt.less(h[0].guilt) {
			continue
		}
		heap.Push(&h, x)
		if len(h) > spare {
			heap.Pop(&h)
		}
	}
	sorted := make([]culprit, 0, len(h))
	for len(h) > 0 {
		sorted = append(sorted, heap.Pop(&h).(culprit))
	}
	return sorted
}

func (l *List) guilt(e *Entry) guilt {
	rule := l.names[e.rule]
	return guilt{rule == Manual || rule == Listed, e.score, e.until}
}

// Class is what shares a set: a family's addresses or its networks.
type class struct {
	family int
	net    bool
}

func (l *List) classOf(e *Entry) class {
	family := IPv6
	if isIPv4(&e.key) {
		family = IPv4
	}
	return class{family, e.flags&flagNet != 0}
}

// group is what shares a set and stands on one witness alone (0: on more than
// one, or on an operator's word).
type group struct {
	class
	witness uint16
}

func (l *List) groupOf(e *Entry) group { return group{l.classOf(e), e.witness} }

// shares count what stands on one witness alone.
type shares struct {
	alone map[group]int
	// greediest is the group of each class with the most; runnerUp is what the
	// others had at most when that was found out.
	greediest map[class]group
	runnerUp  map[class]int
}

func newShares() shares {
	return shares{map[group]int{}, map[class]group{}, map[class]int{}}
}

// count notes that a group has n more blocks.
func (s *shares) count(g group, n int) {
	if g.witness == 0 {
		return
	}
	if s.alone[g] += n; s.alone[g] == 0 {
		delete(s.alone, g)
	}
	if top := s.greediest[g.class]; top != g && s.alone[g] > s.alone[top] {
		s.greediest[g.class], s.runnerUp[g.class] = g, s.alone[top]
	}
}

// most returns the group of a class with the most blocks on one witness alone;
// false if there is none.
func (s *shares) most(c class) (group, bool) {
	top := s.greediest[c]
	if n := s.alone[top]; n > 0 && n >= s.runnerUp[c] {
		return top, true
	}
	top, second := group{}, 0
	for g, n := range s.alone {
		switch {
		case g.class != c:
		case n > s.alone[top] || n == s.alone[top] && g.witness < top.witness:
			top, second = g, s.alone[top]
		default:
			second = max(second, n)
		}
	}
	s.greediest[c], s.runnerUp[c] = top, second
	return top, s.alone[top] > 0
}

// room remembers for each group all blocks that are less guilty than its
// horizon, so that a full set does not cost a walk over the list for each new
// block.
type room map[group]*candidates

type candidates struct {
	innocents
	horizon guilt
}

// add takes note of a new or changed block.
func (r room) add(l *List, slot uint32) {
	e := l.At(slot)
	c, ok := r[l.groupOf(e)]
	if !ok || !l.guilt(e).less(c.horizon) {
		return
	}
	heap.Push(c, culprit{slot, e.id, l.guilt(e)})
	if c.Len() > 8*spare { // nothing has had to go for a long time
		delete(r, l.groupOf(e))
	}
}

// next takes the least guilty block of a group.
func (r room) next(l *List, of group) (netip.Prefix, bool) {
	for again := true; ; again = false {
		for c := r[of]; c != nil && c.Len() > 0; {
			x := heap.Pop(c).(culprit)
			if e := l.At(x.slot); e.flags&flagUsed != 0 && e.id == x.id && l.groupOf(e) == of {
				return e.key.prefix(), true
			}
		}
		found := l.leastGuilty(of)
		if !again || len(found) == 0 {
			return netip.Prefix{}, false
		}
		c := &candidates{horizon: found[0].guilt}
		c.mostGuilty = found
		heap.Init(c)
		r[of] = c
	}
}

// Sizes are how many blocks of addresses, and pieces of networks, of a family the
// list may hold.
type Sizes struct{ Addresses, Networks int }

// MakeRoom lets blocks go while the set of newcomer, just inserted, is over its
// size; newcomer may be the last of them. It returns what the kernel must be
// told, and who went.
func (l *List) MakeRoom(newcomer netip.Prefix, sizes Sizes) (touched []netip.Prefix, evicted []Block) {
	entry, _ := l.Find(newcomer)
	full := l.classOf(entry)
	listed := l.names[entry.rule] == Listed // takes nobody's place
	for l.Load(full.family, full.net) > sizes.of(full) {
		p, ok := newcomer, listed
		if !listed {
			p, ok = l.next(full)
		}
		if !ok {
			break
		}
		b, _ := l.Remove(p)
		touched = append(touched, l.Released(p)...)
		evicted = append(evicted, b)
		if p == newcomer {
			break
		}
	}
	return touched, evicted
}

// next is who goes first of a class.
func (l *List) next(c class) (netip.Prefix, bool) {
	alone, some := l.shares.most(c)
	if some {
		if p, ok := l.room.next(l, alone); ok {
			return p, true
		}
	}
	return l.room.next(l, group{class: c})
}

// Load is how many elements of a family the kernel should hold: addresses, or
// pieces of networks.
func (l *List) Load(family int, net bool) int {
	switch {
	case !net:
		return l.hashed[family]
	case family == IPv4:
		return l.pieces.Size4()
	}
	return l.pieces.Size6()
}

func (s Sizes) of(c class) int {
	if c.net {
		return s.Networks
	}
	return s.Addresses
}
