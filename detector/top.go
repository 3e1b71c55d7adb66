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
	seen := map[uint32]bool{}
	for i := levels - 1; i >= 0 && len(list) < 2*n; i-- {
		for number := range d.sources.levels[i].backwards() {
			if seen[number] {
				continue
			}
			seen[number] = true
			list = append(list, d.status(d.sources.at(number), now))
			if len(list) == 2*n {
				break
			}
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
