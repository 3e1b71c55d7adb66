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
	host     *host    // that reported the deciding offence
	reporter *witness // its witness
	alone    *witness // who alone vouches for it, nil if several do
	attacker bool     // by what only an attacker does
	index    int      // in its reporter's queue
}

// witness is the name of who alone vouches for a decision.
func (p *pending) witness() string {
	if p.alone == nil {
		return ""
	}
	return p.alone.name
}

// ceiling holds back what is above the rate of new blocks. What waits comes out
// in order of score.
type ceiling struct {
	admitted minute
	queues   map[*witness]*queue
	waiting  map[netip.Prefix]*pending
	released uint32 // second of the last release
}

func newCeiling() *ceiling {
	return &ceiling{queues: map[*witness]*queue{}, waiting: map[netip.Prefix]*pending{}}
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

// maxWaiting is how many decisions can wait: ten times what passes in a minute.
const maxWaiting = 100_000

// admit counts a new block by a witness, unless the ceiling or the witness's
// share of it is reached.
func (d *Detector) admit(w *witness, now uint32) bool {
	limit := d.judgement.ceiling
	if int(d.ceiling.admitted.within(now)) >= limit.PerMinute || int(w.admitted.within(now)) >= limit.perHost() {
		return false
	}
	d.ceiling.admitted.add(now)
	w.admitted.add(now)
	return true
}

// passes tells whether a decision need not ask the ceiling: it is by what only an
// attacker does, and whoever alone says so has not said it too often.
func (d *Detector) passes(p *pending, now uint32) bool {
	w := p.alone
	if !p.attacker || w == nil {
		return p.attacker
	}
	if int(w.passed.within(now)) < d.judgement.ceiling.HostPasses {
		w.passed.add(now)
		return true
	}
	if !w.over {
		w.over = true
		d.metrics.over.Inc()
		d.notice(Notice{Kind: OverLimit, Host: w.name})
	}
	return false
}

// underLimit notes which witnesses can pass the ceiling again.
func (d *Detector) underLimit() {
	for _, w := range d.hosts.witnesses {
		if w.over && int(w.passed.within(unixSecond(d.now))) < d.judgement.ceiling.HostPasses {
			w.over = false
			d.metrics.over.Dec()
		}
	}
}

func (c Ceiling) perHost() int { return max(1, int(float64(c.PerMinute)*c.HostShare)) }

// put lets a decision wait. A later one about the same prefix replaces it.
func (c *ceiling) put(p *pending) {
	c.drop(p.prefix)
	c.waiting[p.prefix] = p
	q := c.queues[p.reporter]
	if q == nil {
		q = &queue{}
		c.queues[p.reporter] = q
	}
	heap.Push(q, p)
}

// overflow takes one decision out of the longest queue, if too many wait: none of
// its foremost.
func (c *ceiling) overflow() *pending {
	if len(c.waiting) <= maxWaiting {
		return nil
	}
	var longest queue
	for _, q := range c.queues {
		if len(*q) > len(longest) {
			longest = *q
		}
	}
	last := longest[len(longest)-1]
	c.drop(last.prefix)
	return last
}

// drop forgets what waits for a prefix.
func (c *ceiling) drop(prefix netip.Prefix) {
	p, ok := c.waiting[prefix]
	if !ok {
		return
	}
	delete(c.waiting, prefix)
	heap.Remove(c.queues[p.reporter], p.index)
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

// foremost returns the decision with the highest score of those whose witness has
// room left; nil if there is none.
func (d *Detector) foremost(now uint32) (best *pending) {
	for w, q := range d.ceiling.queues {
		if q.Len() == 0 {
			delete(d.ceiling.queues, w)
			continue
		}
		if first := (*q)[0]; (best == nil || first.before(best)) && int(w.admitted.within(now)) < d.judgement.ceiling.perHost() {
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

// queue is a heap of what waits for a witness.
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
