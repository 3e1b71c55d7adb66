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

// history counts rejections and blocks of the last hours, so that the page has
// pictures without a Prometheus. Rejections come from the counters, which costs
// the way of a log line nothing; blocks come as events.
type history struct {
	mu   sync.Mutex
	ring [slots]slot
	last map[series]float64 // the counters at the last look
	from time.Time          // the first look
}

type slot struct {
	start  time.Time
	counts [numMeasures]map[string]uint64
}

type series struct {
	measure measure
	name    string
}

func newHistory() *history { return &history{} }

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
			h.at(now).add(s.measure, s.name, uint64(grown))
		}
	}
	if h.last == nil {
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
	s := h.at(e.Time)
	s.add(blocksByRule, e.Rule, 1)
	s.add(blocksByReason, cmp.Or(e.Reason, "manual"), 1)
	s.add(blocksByHost, cmp.Or(e.Host, "manual"), 1)
}

// at returns the slot of t, emptied if it held an earlier round. What is older
// than the history goes nowhere.
func (h *history) at(t time.Time) *slot {
	start := t.Truncate(slotWidth)
	s := &h.ring[int(start.Unix()/int64(slotWidth/time.Second))%slots]
	if start.Before(s.start) {
		return new(slot)
	}
	if start.After(s.start) {
		*s = slot{start: start}
	}
	return s
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

// trends returns the counts of m by name in the slots up to now, the largest
// total first.
func (h *history) trends(m measure, now time.Time) []trend {
	h.mu.Lock()
	defer h.mu.Unlock()
	byName := make(map[string]*trend)
	newest := now.Truncate(slotWidth)
	for i := range slots {
		start := newest.Add(-time.Duration(slots-1-i) * slotWidth)
		s := &h.ring[int(start.Unix()/int64(slotWidth/time.Second))%slots]
		if !s.start.Equal(start) {
			continue
		}
		for name, n := range s.counts[m] {
			t := byName[name]
			if t == nil {
				t = &trend{Name: name, counts: make([]uint64, slots)}
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
	for i := range h.ring {
		s := &h.ring[i]
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
