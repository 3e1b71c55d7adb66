package detector

import (
	"cmp"
	"slices"
	"time"
)

// Top returns up to n sources, 1 to 1000, those nearest to a block first. It
// looks at the guiltiest and, among equals, the latest; so it costs the same
// whatever the number of sources.
func (d *Detector) Top(n int, now time.Time) []SourceStatus {
	n = min(max(n, 1), 1000)
	list := make([]SourceStatus, 0, 2*n)
	for level := levels - 1; level >= 0; level-- {
		for number := d.sources.level[level].tail; number != 0 && len(list) < 2*n; {
			s := d.sources.at(number)
			list = append(list, d.status(s, now))
			number = s.prev
		}
	}
	slices.SortStableFunc(list, func(a, b SourceStatus) int { return cmp.Compare(b.share(), a.share()) })
	return list[:min(n, len(list))]
}

// share is the highest share of a rule's limit that the source has reached.
func (s *SourceStatus) share() (most float64) {
	for _, r := range s.Rules {
		most = max(most, r.Score/r.Limit)
	}
	return most
}
