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

// leastGuilty returns up to spare of the least guilty of a class of blocks, the
// least guilty last.
func (l *list) leastGuilty(c class) []culprit {
	var h mostGuilty
	for slot := range l.slots(0) {
		e := l.at(slot)
		if l.classOf(e) != c {
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

func (l *list) guilt(e *entry) guilt {
	return guilt{l.names[e.rule] == Manual, e.score, e.until}
}

// class is what shares a set: a family's addresses or its networks.
type class struct {
	family int
	net    bool
}

func (l *list) classOf(e *entry) class {
	family, _ := l.class(e.key.prefix())
	return class{family, e.flags&flagNet != 0}
}

// room remembers for each class all blocks that are less guilty than its
// horizon, so that a full set does not cost a walk over the list for each new
// block.
type room map[class]*candidates

type candidates struct {
	innocents
	horizon guilt
}

// add takes note of a new or changed block.
func (r room) add(l *list, slot uint32) {
	e := l.at(slot)
	c, ok := r[l.classOf(e)]
	if !ok || !l.guilt(e).less(c.horizon) {
		return
	}
	heap.Push(c, culprit{slot, e.id, l.guilt(e)})
	if c.Len() > 8*spare { // nothing has had to go for a long time
		delete(r, l.classOf(e))
	}
}

// next takes the least guilty block of a class.
func (r room) next(l *list, of class) (netip.Prefix, bool) {
	for again := true; ; again = false {
		for c := r[of]; c != nil && c.Len() > 0; {
			x := heap.Pop(c).(culprit)
			if e := l.at(x.slot); e.flags&flagUsed != 0 && e.id == x.id {
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

// makeRoom lets blocks go while the set of newcomer, just inserted, is over
// its size; newcomer may be the last of them. It returns what the kernel must
// be told, and who went. The caller holds e.mu.
func (e *Enforcer) makeRoom(newcomer netip.Prefix) (touched []netip.Prefix, evicted []Block) {
	entry, _ := e.list.find(newcomer)
	full := e.list.classOf(entry)
	for e.load(full) > e.limit(full) {
		p, ok := e.room.next(e.list, full)
		if !ok {
			break
		}
		b, _ := e.list.remove(p)
		touched = append(touched, e.list.released(p)...)
		evicted = append(evicted, b)
		if p == newcomer {
			break
		}
	}
	return touched, evicted
}

// load is how many elements a class's set should hold.
func (e *Enforcer) load(c class) int {
	switch {
	case !c.net:
		return e.list.hashed[c.family]
	case c.family == family4:
		return e.list.pieces.Size4()
	}
	return e.list.pieces.Size6()
}

func (e *Enforcer) limit(c class) int {
	if c.net {
		return e.config.MaxNetworks
	}
	return e.config.MaxAddresses
}
