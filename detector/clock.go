package detector

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// loadZone is time.LoadLocation without its two words for the machine's zone.
func loadZone(name string) (*time.Location, error) {
	if name == "" || strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("%q: not a time zone of the IANA database, such as Europe/Berlin or UTC", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New(err.Error())
	}
	return zone, nil
}

// plausible is how far a header's time may be from the arrival before one of
// them is called late or its clock wrong.
const plausible = 2 * time.Minute

// A zone is learned from lines whose lag is a multiple of zoneStep.
const (
	zoneStep = 15 * time.Minute
	// leastZoneLines must agree.
	leastZoneLines = 20
	// A queue that drains has a lag that shrinks; a wrong zone has not. So the
	// lines must stretch over zoneSpan of arrival while their lag stays within
	// zoneSpread.
	zoneSpan   = 10 * time.Second
	zoneSpread = 5 * time.Second

	farthestZone = 14 * time.Hour
)

// clock knows how one mail host writes its times.
type clock struct {
	zones   []*time.Location // those possible; the first is tried first
	fixed   bool             // the zone is configured, nothing is learned
	learned bool
	offset  time.Duration // what was learned, east of UTC

	// The multiple of zoneStep that the lag of the last lines sat at.
	steps       time.Duration
	lines       int
	since       time.Time
	least, most time.Duration

	// The last time without year and zone, and what it was taken for.
	wall, asked, resolved time.Time
	possible              bool
}

// reading is what a clock makes of a line.
type reading struct {
	at    time.Time
	lag   time.Duration // arrival minus header time
	state clockState
	// learned: this line made the zone known.
	learned bool
}

type clockState uint8

const (
	clockGood   clockState = iota
	clockLate              // a backlog: judged on its own time
	clockAhead             // a wrong clock: judged on arrival
	clockAbsent            // no time, or none that makes sense: judged on arrival
)

// read returns the time to judge a line by.
func (c *clock) read(l *Line) (r reading) {
	t, ok := l.Time, l.Stamp != StampNone
	if l.Stamp == StampLocal {
		t, ok = c.resolve(l.Time, l.Received)
	}
	if !ok || t.Unix() <= 0 {
		return reading{at: l.Received, state: clockAbsent}
	}
	r = reading{at: t, lag: l.Received.Sub(t)}
	if l.Stamp == StampLocal && !c.fixed && c.learn(r.lag, l.Received) {
		r.learned = true
		return c.adopt(l)
	}
	switch {
	case r.lag < -plausible:
		r.at, r.state = l.Received, clockAhead
	case r.lag > plausible:
		r.state = clockLate
	}
	return r
}

// resolve is nearest, for lines that come many to a second.
func (c *clock) resolve(wall, received time.Time) (time.Time, bool) {
	if wall.Equal(c.wall) && received.Sub(c.asked).Abs() < zoneSpan {
		return c.resolved, c.possible
	}
	c.wall, c.asked = wall, received
	c.resolved, c.possible = nearest(wall, received, c.zones)
	return c.resolved, c.possible
}

// adopt takes the multiple for the zone and reads the line anew.
func (c *clock) adopt(l *Line) reading {
	t, _ := nearest(l.Time, l.Received, []*time.Location{time.UTC})
	c.take(t.Sub(l.Received).Round(zoneStep))
	r := c.read(l)
	r.learned = true
	return r
}

// take makes an offset east of UTC the clock's zone.
func (c *clock) take(offset time.Duration) {
	c.learned, c.offset, c.lines, c.wall = true, offset, 0, time.Time{}
	c.zones = []*time.Location{time.FixedZone("", int(offset/time.Second))}
}

// learn counts lines whose lag sits at the same non-zero multiple of zoneStep,
// and returns true when they are enough.
func (c *clock) learn(lag time.Duration, received time.Time) bool {
	steps := lag.Round(zoneStep)
	if steps == 0 || steps.Abs() > farthestZone || (lag-steps).Abs() > plausible {
		c.lines = 0
		return false
	}
	if c.lines == 0 || steps != c.steps || max(c.most, lag)-min(c.least, lag) > zoneSpread {
		c.steps, c.lines, c.since, c.least, c.most = steps, 1, received, lag, lag
		return false
	}
	c.lines++
	c.least, c.most = min(c.least, lag), max(c.most, lag)
	return c.lines >= leastZoneLines && received.Sub(c.since) >= zoneSpan
}

// nearest gives a time without year and zone the year and, of those possible,
// the zone that bring it nearest to received. It returns false if there is no
// such day within a year: 29 February.
func nearest(t, received time.Time, zones []*time.Location) (best time.Time, ok bool) {
	for _, zone := range zones {
		year := received.In(zone).Year()
		for y := year - 1; y <= year+1; y++ {
			candidate := time.Date(y, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
			if candidate.Day() != t.Day() {
				continue // 29 February of a common year
			}
			candidate = secondPass(candidate, received)
			if !ok || received.Sub(candidate).Abs() < received.Sub(best).Abs() {
				best, ok = candidate, true
			}
		}
	}
	return best, ok
}

// secondPass chooses between the two passes of an hour when clocks are put
// back.
func secondPass(t, received time.Time) time.Time {
	for _, other := range [...]time.Time{t.Add(time.Hour), t.Add(-time.Hour)} {
		if other.Hour() == t.Hour() && other.Day() == t.Day() &&
			received.Sub(other).Abs() < received.Sub(t).Abs() {
			return other
		}
	}
	return t
}
