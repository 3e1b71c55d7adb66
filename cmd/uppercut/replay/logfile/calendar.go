package logfile

import "time"

// straggler is how far back in time a line may stand behind its predecessors
// and still be taken for late rather than for next year's.
const straggler = 7 * 24 * time.Hour

// Calendar finds the year and zone of the times in one file that were written
// without (header.StampLocal). Lines stand in the order of writing, so time goes on
// through New Year, and no line is newer than the file.
type Calendar struct {
	zone *time.Location
	// end is the last plausible time, a day behind the file's last change.
	end time.Time
	// latest is the newest time so far; zero before the first.
	latest time.Time
	// asked and answer are the last time placed.
	asked, answer time.Time
}

// NewCalendar returns the Calendar of a file that was last written to at
// modified, on a host that logs in zone.
func NewCalendar(modified time.Time, zone *time.Location) *Calendar {
	return &Calendar{zone: zone, end: modified.Add(24 * time.Hour)}
}

// Place returns when t was, a time of year 0 in UTC: the first such date that is
// not older than what was placed before, or the newest that is not in the
// future of the file.
func (c *Calendar) Place(t time.Time) time.Time {
	if t.Equal(c.asked) && !c.latest.IsZero() {
		return c.answer // as most lines of a busy host: the second of the last one
	}
	if ahead := t.Sub(c.asked); ahead >= 0 && ahead < time.Hour && t.Hour() == c.asked.Hour() && !c.latest.IsZero() {
		// Clocks change and years begin on the hour: within one nothing is to
		// be found out, and nearly all lines share theirs with the last.
		return c.advance(ahead)
	}
	c.asked, c.answer = t, c.place(t)
	return c.advance(0)
}

// advance goes on from the last time placed.
func (c *Calendar) advance(by time.Duration) time.Time {
	c.asked, c.answer = c.asked.Add(by), c.answer.Add(by)
	if c.answer.After(c.latest) {
		c.latest = c.answer
	}
	return c.answer
}

func (c *Calendar) place(t time.Time) time.Time {
	if !c.latest.IsZero() {
		earliest := c.latest.Add(-straggler)
		for year := earliest.Year(); year <= earliest.Year()+8; year++ {
			if at, ok := c.in(year, t); ok && !at.Before(earliest) {
				if at.After(c.end) {
					break
				}
				return at
			}
		}
	}
	return c.newest(t)
}

// newest returns the last such date before the end of the file.
func (c *Calendar) newest(t time.Time) time.Time {
	year := c.end.In(c.zone).Year()
	for ; ; year-- {
		if at, ok := c.in(year, t); ok && !at.After(c.end) {
			return at
		}
	}
}

// in returns t in that year; false for 29 February where there is none.
func (c *Calendar) in(year int, t time.Time) (time.Time, bool) {
	at := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), c.zone)
	return at, at.Day() == t.Day()
}
