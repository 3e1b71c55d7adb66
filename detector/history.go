package detector

import (
	"net/netip"
	"slices"
	"time"
)

// ScorePoint is a score that a source had from a time on, until the next point.
type ScorePoint struct {
	Time  time.Time
	Score float64 // after favour, caps and context, as in RuleScore
}

// Course is how a source's score by one rule came about.
type Course struct {
	Rule string
	// Points are in order of time. They begin where the window that ends now
	// begins and hold nothing later than now; the last is the score now.
	Points []ScorePoint
}

// Story is the past of a source, for people.
type Story struct {
	// Courses are in the order of the rules; none if nothing is known.
	// Offences that are older than the longest window are forgotten, so that
	// the beginning of that rule's course may be too low.
	Courses []Course
	// LastMail is when mail was last accepted from the source, zero if none
	// is remembered.
	LastMail time.Time
	// PardonedUntil is when the source counts again, zero if it does.
	PardonedUntil time.Time
}

// Story tells how the scores of the source that addr belongs to came about
// within the windows that end now.
func (d *Detector) Story(addr netip.Addr, now time.Time) (story Story) {
	prefix := sourcePrefix(addr, d.judgement.ipv6Prefix)
	for _, until := range d.pardons.of(prefix) {
		if until.After(now) && until.After(story.PardonedUntil) {
			story.PardonedUntil = until
		}
	}
	key := d.sources.key(prefix)
	number := d.sources.find(&key)
	if number == 0 {
		return story
	}
	s := d.sources.at(number)
	for _, m := range d.sources.favours(s) { // oldest first
		if m.origin == acceptedMail {
			story.LastMail = fromSecond(m.second)
		}
	}
	for i := range d.judgement.rules {
		story.Courses = append(story.Courses, d.course(&d.judgement.rules[i], s, unixSecond(now)))
	}
	return story
}

// course looks at the score whenever a mark may have changed it: when the mark
// came and when it left the window.
func (d *Detector) course(r *rule, s *source, end uint32) Course {
	from := end - min(end, r.window-1)
	turns := []uint32{from, end}
	for _, marks := range [][]mark{d.sources.offences(s), d.sources.favours(s)} {
		for i := range marks {
			turns = append(turns, marks[i].second, marks[i].second+r.window)
		}
	}
	slices.Sort(turns)
	c := Course{Rule: r.name}
	for _, second := range slices.Compact(turns) {
		if second < from || second > end {
			continue
		}
		score := d.ruleScore(r, s, second).Score
		if n := len(c.Points); n == 0 || second == end || c.Points[n-1].Score != score {
			c.Points = append(c.Points, ScorePoint{fromSecond(second), score})
		}
	}
	return c
}
