package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The history reaches back slots * slotWidth: six hours.
const (
	slotWidth = 2 * time.Minute
	slots     = 180
)

// measure is something that the history counts, by name.
type measure uint8

const (
	rejectionsByReason measure = iota
	rejectionsByHost
	blocksByRule
	blocksByReason
	blocksByHost
	numMeasures
)

// span is a time that the pictures can cover: so many slots of a width.
type span struct {
	Name  string
	width time.Duration
	slots int
}

// spans are those that the page offers. What they count is kept once for each
// width: some 670 slots, each with a number for every name that had one.
var spans = []span{
	{"1h", slotWidth, 30},
	{"6h", slotWidth, slots},
	{"24h", 10 * time.Minute, 144},
	{"7d", time.Hour, 168},
	{"30d", 4 * time.Hour, 180},
}

// usualSpan is the one that the page shows if nobody says.
var usualSpan = spans[1]

// spanOf is the span of that name, the usual one if there is none.
func spanOf(name string) span {
	if i := slices.IndexFunc(spans, func(s span) bool { return s.Name == name }); i >= 0 {
		return spans[i]
	}
	return usualSpan
}

// words says how long it is.
func (s span) words() string {
	switch s.Name {
	case "1h":
		return "an hour"
	case "6h":
		return "6 hours"
	case "24h":
		return "24 hours"
	case "7d":
		return "7 days"
	}
	return "30 days"
}

// length is how far it reaches back.
func (s span) length() time.Duration { return s.width * time.Duration(s.slots) }

// start is when its slot i begins, for the picture that ends now.
func (s span) start(now time.Time, i int) time.Time {
	return now.Truncate(s.width).Add(-time.Duration(s.slots-1-i) * s.width)
}

// history counts rejections and blocks of the last hours and, in wider slots, of
// the last 30 days, so that the page has pictures without a Prometheus.
// Rejections come from the counters, which costs the way of a log line nothing;
// blocks come as events.
type history struct {
	mu    sync.Mutex
	rings []ring             // the first has slots of slotWidth
	last  map[series]float64 // the counters at the last look
	from  time.Time          // the first look, of the run that the history began in
}

// ring holds the counts of the last slots of one width.
type ring struct {
	width time.Duration
	slots []slot
}

type slot struct {
	start  time.Time
	counts [numMeasures]map[string]uint64
}

type series struct {
	measure measure
	name    string
}

func newHistory() *history {
	h := &history{}
	for _, s := range spans[1:] {
		h.rings = append(h.rings, ring{s.width, make([]slot, s.slots)})
	}
	return h
}

// sample adds what the counters of g have grown by since the last look. The
// first look only remembers: what was counted before is of no known time.
func (h *history) sample(now time.Time, g prometheus.Gatherer) error {
	families, err := g.Gather()
	if err != nil && len(families) == 0 {
		return fmt.Errorf("gather metrics: %w", err)
	}
	seen := make(map[series]float64)
	for _, f := range families {
		if f.GetName() == "uppercut_rejections_total" {
			addLabels(seen, f)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s, v := range seen {
		if grown := v - h.last[s]; h.last != nil && grown > 0 {
			h.count(now, s.measure, s.name, uint64(grown))
		}
	}
	if h.from.IsZero() {
		h.from = now
	}
	h.last = seen
	return nil
}

func addLabels(seen map[series]float64, f *dto.MetricFamily) {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "reason":
				seen[series{rejectionsByReason, l.GetValue()}] += m.GetCounter().GetValue()
			case "host":
				seen[series{rejectionsByHost, l.GetValue()}] += m.GetCounter().GetValue()
			}
		}
	}
}

// blocked counts a block.
func (h *history) blocked(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count(e.Time, blocksByRule, e.Rule, 1)
	h.count(e.Time, blocksByReason, cmp.Or(e.Reason, "manual"), 1)
	h.count(e.Time, blocksByHost, cmp.Or(e.Host, "manual"), 1)
}

// covers says in words what the pictures of a span cover: it may reach back
// further than anybody has counted.
func (h *history) covers(over span, now time.Time) string {
	h.mu.Lock()
	from := h.from
	h.mu.Unlock()
	switch {
	case from.IsZero():
		return "since the start"
	case from.After(over.start(now, 0)):
		return "since " + clock(now, from)
	}
	return "in " + over.words()
}

// count adds n to what a name had at time t, in slots of every width.
func (h *history) count(t time.Time, m measure, name string, n uint64) {
	for i := range h.rings {
		h.rings[i].at(t).add(m, name, n)
	}
}

// at returns the slot of slotWidth of t.
func (h *history) at(t time.Time) *slot { return h.rings[0].at(t) }

// at returns the slot of t, emptied if it held an earlier round. What is older
// than the ring goes nowhere.
func (r *ring) at(t time.Time) *slot {
	start := t.Truncate(r.width)
	s := r.slotAt(start)
	if start.Before(s.start) {
		return new(slot)
	}
	if start.After(s.start) {
		*s = slot{start: start}
	}
	return s
}

// slotAt is where the slot that begins at start has its place.
func (r *ring) slotAt(start time.Time) *slot {
	return &r.slots[int(start.Unix()/int64(r.width/time.Second))%len(r.slots)]
}

// ringOf is the ring with slots of that width.
func (h *history) ringOf(width time.Duration) *ring {
	i := slices.IndexFunc(h.rings, func(r ring) bool { return r.width == width })
	return &h.rings[i]
}

func (s *slot) add(m measure, name string, n uint64) {
	if s.counts[m] == nil {
		s.counts[m] = make(map[string]uint64)
	}
	s.counts[m][name] += n
}

// trend is one name's counts over the history, oldest first.
type trend struct {
	Name   string
	Total  uint64
	counts []uint64
}

// trends returns the counts of m by name in the usual span up to now, the largest
// total first.
func (h *history) trends(m measure, now time.Time) []trend { return h.trendsOver(usualSpan, m, now) }

// trendsOver is trends over another span.
func (h *history) trendsOver(over span, m measure, now time.Time) []trend {
	h.mu.Lock()
	defer h.mu.Unlock()
	byName := make(map[string]*trend)
	kept := h.ringOf(over.width)
	for i := range over.slots {
		start := over.start(now, i)
		s := kept.slotAt(start)
		if !s.start.Equal(start) {
			continue
		}
		for name, n := range s.counts[m] {
			t := byName[name]
			if t == nil {
				t = &trend{Name: name, counts: make([]uint64, over.slots)}
				byName[name] = t
			}
			t.counts[i] += n
			t.Total += n
		}
	}
	return slices.SortedFunc(func(yield func(trend) bool) {
		for t := range maps.Values(byName) {
			if !yield(*t) {
				return
			}
		}
	}, func(a, b trend) int { return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name)) })
}

// recentSlots is how many full slots, besides the one that runs, are the last
// minutes.
const recentSlots = 2

// pace compares the last minutes with the hours before.
func (h *history) pace(now time.Time) Pace {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		return Pace{}
	}
	newest := now.Truncate(slotWidth)
	recent, oldest := newest.Add(-recentSlots*slotWidth), newest.Add(-(slots-1)*slotWidth)
	p := Pace{Recent: between(later(recent, h.from), now), Before: between(later(oldest, h.from), recent)}
	p.Rejections = h.rate(rejectionsByReason, oldest, recent, p)
	p.Blocks = h.rate(blocksByReason, oldest, recent, p)
	return p
}

// rate counts m from oldest to recent, and from there on.
func (h *history) rate(m measure, oldest, recent time.Time, p Pace) Rate {
	var now, before uint64
	for i := range h.rings[0].slots {
		s := &h.rings[0].slots[i]
		for _, n := range s.counts[m] {
			switch {
			case !s.start.Before(recent):
				now += n
			case !s.start.Before(oldest):
				before += n
			}
		}
	}
	return Rate{Recent: aMinute(now, p.Recent), Before: aMinute(before, p.Before)}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// between is the time from one to the other, 0 if to comes first.
func between(from, to time.Time) Duration { return Duration(max(0, to.Sub(from))) }

// aMinute is n in so long as a rate, 0 for no time.
func aMinute(n uint64, in Duration) float64 {
	if in == 0 {
		return 0
	}
	return float64(n) / time.Duration(in).Minutes()
}

func (h *history) top(m measure, limit int) []TopItem {
	var items []TopItem
	for _, t := range h.trends(m, time.Now()) {
		if len(items) == limit {
			break
		}
		items = append(items, TopItem{Name: t.Name, Count: t.Total})
	}
	return items
}
