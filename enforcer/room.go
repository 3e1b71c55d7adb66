package enforcer

import (
	"container/heap"
	"net/netip"
)

// A full set makes room by letting go of the least guilty: by score, then by
// the end of the block. What an operator blocked goes last.

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

// mostGuilty is a heap with the most guilty on top, to be pushed out.
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

// leastGuilty returns up to spare of the least guilty of a family's addresses
// or networks, the least guilty last.
func (l *list) leastGuilty(family int, net bool) []culprit {
	var h mostGuilty
	for slot := range l.slots(0) {
		e := l.at(slot)
		if f, _ := l.class(e.key.prefix()); f != family || (e.flags&flagNet != 0) != net {
			continue
		}
		c := culprit{slot, e.id, l.guilt(e)}
		if len(h) == spare && !c.guilt.less(h[0].guilt) {
			continue
		}
		heap.Push(&h, c)
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

func (l *list) guilt(e *entry) guilt {
	return guilt{l.rules[e.rule] == Manual, e.score, e.until}
}

// room remembers the candidates of the last walk, by family and by whether
// they are networks.
type room [2][2][]culprit

// next takes the least guilty block that is still the same; newcomer, if less
// guilty, goes before.
func (r *room) next(l *list, family int, net bool, newcomer netip.Prefix) (netip.Prefix, bool) {
	n := 0
	if net {
		n = 1
	}
	candidates := &r[family][n]
	for again := true; ; again = false {
		for len(*candidates) > 0 {
			c := (*candidates)[len(*candidates)-1]
			e := l.at(c.slot)
			if e.flags&flagUsed == 0 || e.id != c.id {
				*candidates = (*candidates)[:len(*candidates)-1]
				continue
			}
			if n, ok := l.find(newcomer); ok && l.guilt(n).less(c.guilt) {
				return newcomer, true
			}
			*candidates = (*candidates)[:len(*candidates)-1]
			return e.key.prefix(), true
		}
		if !again {
			return netip.Prefix{}, false
		}
		*candidates = l.leastGuilty(family, net)
	}
}

// makeRoom lets blocks go while the set of newcomer, just inserted, is over
// its size. It returns what the kernel must be told, and whether it was the
// newcomer that went. The caller holds e.mu.
func (e *Enforcer) makeRoom(newcomer netip.Prefix) (touched []netip.Prefix, evicted bool) {
	family, _ := e.list.class(newcomer)
	entry, _ := e.list.find(newcomer)
	net := entry.flags&flagNet != 0
	for e.load(family, net) > e.limit(net) {
		p, ok := e.room.next(e.list, family, net, newcomer)
		if !ok {
			return touched, evicted
		}
		b, _ := e.list.remove(p)
		touched = append(append(touched, p), e.list.recut(p)...)
		if p == newcomer {
			return touched, true
		}
		e.journal.delete(p)
		e.metrics.unblocks.WithLabelValues(causeCapacity).Inc()
		e.logger.Warn("set is full: a block makes room", "prefix", p, "rule", b.Rule, "score", b.Score)
	}
	return touched, evicted
}

// load is how many elements a family's hash or interval set should hold.
func (e *Enforcer) load(family int, net bool) int {
	switch {
	case !net:
		return e.list.hashed[family]
	case family == family4:
		return e.list.pieces.Size4()
	}
	return e.list.pieces.Size6()
}

func (e *Enforcer) limit(net bool) int {
	if net {
		return e.config.MaxNetworks
	}
	return e.config.MaxAddresses
}
