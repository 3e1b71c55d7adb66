package detector

import (
	"cmp"
	"slices"
	"time"
)

const (
	maxTop = 1000
	// maxTopExamined bounds what Top looks at: relays with much accepted mail are
	// as dear to the table as the guilty, and there may be millions of either.
	maxTopExamined = 1 << 17
)

// Top returns up to n sources that are not blocked, 1 to 1000, those nearest to
// a block first. It looks at what the table holds dearest and, among equals, at
// the latest, as far as 131,072 sources; so it costs the same whatever their
// number.
func (d *Detector) Top(n int, now time.Time) []SourceStatus {
	type candidate struct {
		number uint32
		share  float64
	}
	candidates := make([]candidate, 0, 2*maxTop)
	for number := range d.dearest(maxTopExamined) {
		s := d.sources.at(number)
		if len(d.sources.offences(s)) == 0 || s.until > unixSecond(now) && (d.options.Blocked == nil || d.options.Blocked(s.prefix())) {
			continue
		}
		if candidates = append(candidates, candidate{number, d.share(s, now)}); len(candidates) == cap(candidates) {
			break
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.share, a.share) })
	list := make([]SourceStatus, 0, min(max(n, 1), maxTop))
	for _, c := range candidates[:min(len(candidates), cap(list))] {
		list = append(list, d.status(d.sources.at(c.number), now))
	}
	return list
}

// dearest yields sources once each, the highest level first.
func (d *Detector) dearest(most int) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		seen := map[uint32]bool{}
		for i := levels - 1; i >= 0; i-- {
			for number := range d.sources.levels[i].backwards() {
				if seen[number] {
					continue
				}
				if seen[number] = true; len(seen) > most || !yield(number) {
					return
				}
			}
		}
	}
}

// share is the highest share of a rule's limit that a source has reached.
func (d *Detector) share(s *source, now time.Time) (most float64) {
	for i := range d.judgement.rules {
		r := d.ruleScore(&d.judgement.rules[i], s, unixSecond(now))
		most = max(most, r.Score/r.Limit)
	}
	return most
}
