package detector

import (
	"container/heap"
	"net/netip"
	"time"
)

// pending is a decision to block that is not yet a verdict.
type pending struct {
	prefix   netip.Prefix
	rule     *rule
	end      uint32 // second of the deciding offence
	at       time.Time
	received time.Time
	score    points
	hosts    int
	host     *host // that reported the deciding offence
	attacker bool  // by what only an attacker does
	index    int   // in its host's queue
}

// ceiling holds back what is above the rate of new blocks. Nothing is lost:
// what waits comes out in order of score.
type ceiling struct {
	admitted minute
	queues   map[*host]*queue
	waiting  map[netip.Prefix]*pending
	released uint32 // second of the last release
}

func newCeiling() *ceiling {
	return &ceiling{queues: map[*host]*queue{}, waiting: map[netip.Prefix]*pending{}}
}

// minute counts events in the last 60 seconds.
type minute struct {
	counts [60]uint32
	total  uint32
	latest uint32
}

// within returns how many there were in the 60 seconds that end with now.
func (m *minute) within(now uint32) uint32 {
	for passed := min(60, now-min(now, m.latest)); passed > 0; passed-- {
		second := (now - passed + 1) % 60
		m.total -= m.counts[second]
		m.counts[second] = 0
	}
	m.latest = max(m.latest, now)
	return m.total
}

func (m *minute) add(now uint32) {
	m.within(now)
	m.counts[m.latest%60]++
	m.total++
}

// admit counts a new block by a host, unless the ceiling or the host's share
// of it is reached.
func (d *Detector) admit(h *host, now uint32) bool {
	limit := d.judgement.ceiling
	if int(d.ceiling.admitted.within(now)) >= limit.PerMinute || int(h.admitted.within(now)) >= limit.perHost() {
		return false
	}
	d.ceiling.admitted.add(now)
	h.admitted.add(now)
	return true
}

func (c Ceiling) perHost() int { return max(1, int(float64(c.PerMinute)*c.HostShare)) }

// put lets a decision wait. A later one about the same prefix replaces it.
func (c *ceiling) put(p *pending) {
	c.drop(p.prefix)
	c.waiting[p.prefix] = p
	q := c.queues[p.host]
	if q == nil {
		q = &queue{}
		c.queues[p.host] = q
	}
	heap.Push(q, p)
}

// drop forgets what waits for a prefix.
func (c *ceiling) drop(prefix netip.Prefix) {
	p, ok := c.waiting[prefix]
	if !ok {
		return
	}
	delete(c.waiting, prefix)
	heap.Remove(c.queues[p.host], p.index)
}

// release turns what waits into verdicts as far as there is room, once a
// second: room comes only with the next second.
func (d *Detector) release(now uint32) {
	c := d.ceiling
	if len(c.waiting) == 0 || now == c.released {
		return
	}
	c.released = now
	for p := d.foremost(now); p != nil; p = d.foremost(now) {
		c.drop(p.prefix)
		d.sentence(p, now)
	}
	d.metrics.waiting.Set(float64(len(c.waiting)))
}

// foremost returns the decision with the highest score of those whose host has
// room left; nil if there is none.
func (d *Detector) foremost(now uint32) (best *pending) {
	for h, q := range d.ceiling.queues {
		if q.Len() == 0 {
			delete(d.ceiling.queues, h)
			continue
		}
		if first := (*q)[0]; (best == nil || first.before(best)) && int(h.admitted.within(now)) < d.judgement.ceiling.perHost() {
			best = first
		}
	}
	if int(d.ceiling.admitted.within(now)) >= d.judgement.ceiling.PerMinute {
		return nil
	}
	return best
}

// before orders by score, then by age, then by prefix.
func (p *pending) before(o *pending) bool {
	switch {
	case p.score != o.score:
		return p.score > o.score
	case p.end != o.end:
		return p.end < o.end
	}
	return p.prefix.Compare(o.prefix) < 0
}

// queue is a heap of what waits for a host.
type queue []*pending

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].before(q[j]) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	p := x.(*pending)
	p.index = len(*q)
	*q = append(*q, p)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return p
}
