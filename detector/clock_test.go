package detector

import (
	"testing"
	"time"
)

func local(month time.Month, dayOfMonth, hour, minute, second int) time.Time {
	return time.Date(0, month, dayOfMonth, hour, minute, second, 0, time.UTC)
}

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := loadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// A header time counts if it is at most two minutes ahead; behind, it always
// does.
func TestClockPlausible(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		at    time.Duration // of the reading, from arrival
		state clockState
	}{
		{0, 0, clockGood},
		{2 * time.Minute, 2 * time.Minute, clockGood},
		{2*time.Minute + time.Nanosecond, 0, clockAhead},
		{2 * time.Hour, 0, clockAhead},
		{-2 * time.Minute, -2 * time.Minute, clockGood},
		{-2*time.Minute - time.Nanosecond, -2*time.Minute - time.Nanosecond, clockLate},
		{-26 * time.Hour, -26 * time.Hour, clockLate},
	} {
		k := clock{zones: []*time.Location{time.UTC}}
		r := k.read(&Line{Received: noon, Time: noon.Add(c.ahead), Stamp: StampFull})
		if r.state != c.state || !r.at.Equal(noon.Add(c.at)) {
			t.Errorf("%v ahead: state %d at %v", c.ahead, r.state, r.at)
		}
	}
}

func TestClockWithoutTime(t *testing.T) {
	k := clock{zones: []*time.Location{time.UTC}}
	for _, l := range []Line{
		{Received: noon},
		{Received: noon, Time: time.Unix(0, 0), Stamp: StampFull},
		{Received: noon, Time: time.Date(1901, 1, 1, 0, 0, 0, 0, time.UTC), Stamp: StampFull},
	} {
		if r := k.read(&l); r.state != clockAbsent || !r.at.Equal(noon) {
			t.Errorf("%v: %+v", l.Time, r)
		}
	}
}

// A time without a year gets the one that brings it nearest to the arrival.
func TestNearestYear(t *testing.T) {
	utc := []*time.Location{time.UTC}
	berlin := []*time.Location{mustZone(t, "Europe/Berlin")}
	for name, c := range map[string]struct {
		line     time.Time
		received time.Time
		zones    []*time.Location
		want     time.Time
		none     bool
	}{
		"the same day": {
			local(time.November, 23, 11, 59, 58), noon, utc, noon.Add(-2 * time.Second), false,
		},
		"written before New Year, arrived after": {
			local(time.December, 31, 23, 59, 59), time.Date(2027, 1, 1, 0, 0, 1, 0, time.UTC), utc,
			time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), false,
		},
		"clock ahead over New Year": {
			local(time.January, 1, 0, 0, 1), time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), utc,
			time.Date(2027, 1, 1, 0, 0, 1, 0, time.UTC), false,
		},
		"New Year in another zone": {
			local(time.January, 1, 0, 30, 0), time.Date(2026, 12, 31, 23, 30, 1, 0, time.UTC), berlin,
			time.Date(2026, 12, 31, 23, 30, 0, 0, time.UTC), false,
		},
		"29 February": {
			local(time.February, 29, 12, 0, 0), time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC), utc,
			time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC), false,
		},
		"29 February of last year": {
			local(time.February, 29, 12, 0, 0), time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC), utc,
			time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC), false,
		},
		"29 February, with no leap year near": {
			local(time.February, 29, 12, 0, 0), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), utc, time.Time{}, true,
		},
		"the first pass of an hour that comes twice": {
			local(time.October, 25, 2, 30, 0), time.Date(2026, 10, 25, 0, 30, 1, 0, time.UTC), berlin,
			time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), false,
		},
		"the second pass": {
			local(time.October, 25, 2, 30, 0), time.Date(2026, 10, 25, 1, 30, 1, 0, time.UTC), berlin,
			time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), false,
		},
		"the nearer of two zones": {
			local(time.November, 23, 13, 0, 0), noon, append(utc, berlin...), noon, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := nearest(c.line, c.received, c.zones)
			if ok == c.none || !c.none && !got.Equal(c.want) {
				t.Errorf("got %v %v, want %v", got, ok, c.want)
			}
		})
	}
}

// lines feeds a clock with lines of a host whose local time is offset from
// UTC, one every step, and tells after how many the zone was learned; 0 if it
// was not.
func learnedAfter(k *clock, offset, step time.Duration, n int) int {
	for i := range n {
		received := noon.Add(time.Duration(i) * step)
		wall := received.Add(offset)
		l := Line{Received: received, Stamp: StampLocal, Time: wall.AddDate(-wall.Year(), 0, 0)}
		if k.read(&l).learned {
			return i + 1
		}
	}
	return 0
}

func TestZoneLearned(t *testing.T) {
	for name, c := range map[string]struct {
		offset, step time.Duration
		after        int
	}{
		"UTC is not learned":                   {0, time.Second, 0},
		"two hours east":                       {2 * time.Hour, time.Second, 20},
		"Nepal":                                {5*time.Hour + 45*time.Minute, time.Second, 20},
		"five hours west":                      {-5 * time.Hour, time.Second, 20},
		"a busy host needs ten seconds":        {2 * time.Hour, 100 * time.Millisecond, 101},
		"two minutes off a zone":               {2*time.Hour + 2*time.Minute, time.Second, 20},
		"more than two minutes off is no zone": {2*time.Hour + 2*time.Minute + time.Second, time.Second, 0},
		"farther than any zone":                {-15 * time.Hour, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := clock{zones: []*time.Location{time.UTC}}
			if got := learnedAfter(&k, c.offset, c.step, 200); got != c.after {
				t.Errorf("learned after %d lines, want %d", got, c.after)
			}
			if want := c.offset.Round(zoneStep); c.after > 0 && k.offset != want {
				t.Errorf("offset %v, want %v", k.offset, want)
			}
		})
	}
}

// A learned zone makes a backlog a backlog again, and is given up for another
// when clocks are put back.
func TestZoneAfterLearning(t *testing.T) {
	k := clock{zones: []*time.Location{time.UTC}}
	learnedAfter(&k, 2*time.Hour, time.Second, 30)
	late := Line{Received: noon, Stamp: StampLocal, Time: local(time.November, 23, 13, 0, 0)}
	if r := k.read(&late); r.state != clockLate || !r.at.Equal(noon.Add(-time.Hour)) {
		t.Errorf("a line of an hour ago: %+v", r)
	}
	if learnedAfter(&k, time.Hour, time.Second, 60) == 0 || k.offset != time.Hour {
		t.Errorf("after the change to winter time: %v", k.offset)
	}
}

// A queue that drains may pass a multiple of 15 minutes; it is no zone.
func TestDrainingQueueIsNoZone(t *testing.T) {
	for _, speed := range []int{2, 10, 1000} {
		k := clock{zones: []*time.Location{time.UTC}}
		for i := range 6 * 3600 {
			wrote := noon.Add(time.Duration(i) * time.Second)
			received := noon.Add(6*time.Hour + time.Duration(i)*time.Second/time.Duration(speed))
			l := Line{Received: received, Stamp: StampLocal, Time: wrote.AddDate(-wrote.Year(), 0, 0)}
			if r := k.read(&l); r.learned {
				t.Fatalf("%d times as fast: %v taken for a zone after %d lines", speed, k.offset, i)
			}
		}
	}
}

func TestConfiguredZoneIsNotLearned(t *testing.T) {
	k := clock{zones: []*time.Location{mustZone(t, "America/New_York")}, fixed: true}
	if n := learnedAfter(&k, 2*time.Hour, time.Second, 100); n > 0 {
		t.Errorf("learned after %d lines", n)
	}
	l := Line{Received: noon, Stamp: StampLocal, Time: local(time.November, 23, 7, 0, 0)}
	if r := k.read(&l); r.state != clockGood || !r.at.Equal(noon) {
		t.Errorf("%+v", r)
	}
}

// Lines of one second are resolved once; a time that comes again later is
// resolved anew.
func TestResolveRemembers(t *testing.T) {
	k := clock{zones: []*time.Location{time.UTC}}
	wall := local(time.December, 31, 23, 59, 59)
	for _, c := range []struct {
		received time.Time
		year     int
	}{
		{time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), 2026},
		{time.Date(2027, 1, 1, 0, 0, 3, 0, time.UTC), 2026},
		{time.Date(2027, 12, 31, 23, 59, 59, 0, time.UTC), 2027},
	} {
		l := Line{Received: c.received, Stamp: StampLocal, Time: wall}
		if r := k.read(&l); r.at.Year() != c.year {
			t.Errorf("received %v: %v", c.received, r.at)
		}
	}
	leap := Line{Received: noon, Stamp: StampLocal, Time: local(time.February, 29, 1, 0, 0)}
	for range 2 {
		if r := k.read(&leap); r.state != clockAbsent {
			t.Errorf("29 February 2026: %+v", r)
		}
	}
}

// BenchmarkClock measures a line without year and zone, a thousand a second.
func BenchmarkClock(b *testing.B) {
	k := clock{zones: []*time.Location{time.Local, time.UTC}}
	l := Line{Stamp: StampLocal}
	loop(b, func(i int) {
		l.Received = noon.Add(time.Duration(i) * time.Millisecond)
		l.Time = local(time.November, 23, 12, i/60_000%60, i/1000%60)
		k.read(&l)
	})
}
