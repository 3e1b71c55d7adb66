package detector

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// Each further block lasts twice as long, up to the limit.
func TestGrowingBlocks(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{{Name: "only", Window: time.Minute, Score: 8, Block: time.Hour}}
		c.Repeat.Max = 6 * time.Hour
	})
	at := noon
	for i, want := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 6 * time.Hour} {
		v := b.offend(at, someone, offence.OpenProxy)
		if len(v) != 1 || v[0].Until.Sub(v[0].At) != want {
			t.Fatalf("block %d: %+v, want %v", i+1, v, want)
		}
		at = v[0].Until
	}
	if status, _ := b.d.Source(mustAddr(someone), at); status.Blocks != 5 || !status.BlockedUntil.Equal(at) {
		t.Errorf("%+v", status)
	}
}

// A rule that blocks for longer than the limit by itself still does.
func TestLimitIsForGrowth(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{{Name: "only", Window: time.Minute, Score: 8, Block: 30 * day}}
		c.Repeat.Forget = 365 * day
	})
	v := b.offend(noon, someone, offence.OpenProxy)
	v = append(v, b.offend(v[0].Until, someone, offence.OpenProxy)...)
	if len(v) != 2 || v[1].Until.Sub(v[1].At) != 30*day {
		t.Errorf("%+v", v)
	}
}

// A clean month after the end of the last block forgets, not a second less.
func TestForgiveness(t *testing.T) {
	for clean, want := range map[time.Duration]time.Duration{
		30*day - time.Nanosecond: 2 * time.Hour,
		30 * day:                 time.Hour,
	} {
		b := newBench(t, oneRule(time.Minute, time.Hour, 8))
		v := b.offend(noon, someone, offence.OpenProxy)
		b.tick(v[0].Until.Add(clean))
		again := b.offend(v[0].Until.Add(clean), someone, offence.OpenProxy)
		if len(again) != 1 || again[0].Until.Sub(again[0].At.Truncate(time.Second)) != want {
			t.Errorf("%v later: %+v, want %v", clean, again, want)
		}
	}
}

// A block counts from the offence: a late line gives what is left, or nothing.
func TestBlockFromTheOffence(t *testing.T) {
	for late, left := range map[time.Duration]bool{
		30 * time.Minute:           true,
		time.Hour - time.Second:    true,
		time.Hour:                  false,
		26*time.Hour + time.Minute: false,
	} {
		b := newBench(t, oneRule(time.Minute, time.Hour, 8))
		v := b.feed(event{at: noon, received: noon.Add(late), addr: someone, Event: offence.Event{Reason: offence.OpenProxy}})
		if got := len(v) == 1; got != left {
			t.Errorf("%v late: %v", late, v)
		}
		if left && !v[0].Until.Equal(noon.Add(time.Hour)) {
			t.Errorf("%v late: until %v", late, v[0].Until)
		}
		if got := total(t, b.registry, "uppercut_verdicts_ran_out_total"); (got == 0) != left {
			t.Errorf("%v late: %v ran out", late, got)
		}
	}
}

// A clock that is a little ahead does not make a block longer.
func TestClockAheadNoLongerBlock(t *testing.T) {
	b := newBench(t, oneRule(time.Minute, time.Hour, 8))
	v := b.feed(event{at: noon.Add(90 * time.Second), received: noon, addr: someone, Event: offence.Event{Reason: offence.OpenProxy}})
	if len(v) != 1 || !v[0].Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v", v)
	}
}

// A block that had run out does not count as one when the source comes back.
func TestRunOutIsNoHistory(t *testing.T) {
	b := newBench(t, oneRule(time.Minute, time.Hour, 8))
	b.feed(event{at: noon, received: noon.Add(5 * time.Hour), addr: someone, Event: offence.Event{Reason: offence.OpenProxy}})
	v := b.offend(noon.Add(6*time.Hour), someone, offence.OpenProxy)
	if len(v) != 1 || v[0].Until.Sub(v[0].At) != time.Hour {
		t.Errorf("%+v", v)
	}
}

// An exempt source is not blocked, counts once by its cause, and is blocked as
// soon as it is exempt no longer.
func TestExempt(t *testing.T) {
	cause, asked := "own_address", 0
	var notices []Notice
	b := newBench(t, func(c *Config, o *Options) {
		oneRule(time.Hour, time.Hour, 8)(c, o)
		o.Exempt = func(p netip.Prefix) string {
			asked++
			if p != mustPrefix(someone+"/32") {
				t.Errorf("asked about %v", p)
			}
			return cause
		}
		o.OnNotice = func(n Notice) { notices = append(notices, n) }
	})
	for i := range 5 {
		b.offend(noon.Add(time.Duration(i)*time.Second), someone, offence.OpenProxy)
	}
	if len(b.verdicts) > 0 || asked != 5 {
		t.Errorf("%v, asked %d times", b.verdicts, asked)
	}
	if got := total(t, b.registry, "uppercut_verdicts_suppressed_total"); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if len(notices) != 1 || notices[0].Kind != Exempted || notices[0].Cause != "own_address" || notices[0].Score != 8 {
		t.Errorf("%+v", notices)
	}
	cause = ""
	if v := b.offend(noon.Add(time.Minute), someone, offence.OpenProxy); len(v) != 1 {
		t.Errorf("exempt no longer: %v", v)
	}
}

// A blocked source earns nothing, and who asked hears that it is still there.
func TestSeenWhileBlocked(t *testing.T) {
	type sighting struct {
		kind  offence.Kind
		until time.Time
	}
	var seen []sighting
	b := newBench(t, func(c *Config, o *Options) {
		oneRule(time.Minute, time.Hour, 8)(c, o)
		o.OnBlockedSeen = func(l *Line, e *offence.Event, source netip.Prefix, until time.Time) {
			if l.Host != "mx1" || source != mustPrefix(someone+"/32") {
				t.Errorf("%v at %s", source, l.Host)
			}
			seen = append(seen, sighting{e.Kind, until})
		}
	})
	b.offend(noon, someone, offence.OpenProxy)
	for _, kind := range []offence.Kind{offence.Offence, offence.Connected, offence.Accepted, offence.Delivered} {
		b.feed(event{at: noon.Add(time.Minute), addr: someone, Event: offence.Event{Kind: kind, Reason: offence.Pregreet}})
	}
	b.feed(event{at: noon.Add(time.Minute), received: noon.Add(2 * time.Hour), addr: someone, Event: offence.Event{Kind: offence.Connected}})
	b.offend(noon.Add(time.Hour), someone, offence.NullConnection)
	if len(seen) != 3 {
		t.Errorf("%v: want all but what we sent, what came too late to matter, and what came after", seen)
	}
	for _, s := range seen {
		if !s.until.Equal(noon.Add(time.Hour)) {
			t.Errorf("blocked until %v", s.until)
		}
	}
	if status, _ := b.d.Source(mustAddr(someone), noon.Add(time.Hour)); status.Accepted != 0 || len(status.Offences) != 1 {
		t.Errorf("%+v", status)
	}
}

// A block that nobody keeps does not make its source immune: once the enforcer
// has had time for the verdict, it is asked.
func TestBlockThatNobodyKeeps(t *testing.T) {
	for name, c := range map[string]struct {
		kept bool
		// seen is how many events are told as those of a blocked source.
		seen, verdicts int
	}{
		"kept": {true, 3, 1},
		"lost": {false, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			seen := 0
			b := newBench(t, func(c2 *Config, o *Options) {
				oneRule(time.Minute, time.Hour, 8)(c2, o)
				o.Blocked = func(p netip.Prefix) bool { return c.kept && p == mustPrefix(someone+"/32") }
				o.OnBlockedSeen = func(*Line, *offence.Event, netip.Prefix, time.Time) { seen++ }
			})
			b.offend(noon, someone, offence.OpenProxy)
			b.tick(noon.Add(freshFor*time.Second - time.Nanosecond))
			b.offend(noon.Add(freshFor*time.Second-time.Nanosecond), someone, offence.OpenProxy)
			b.tick(noon.Add(freshFor * time.Second))
			b.offend(noon.Add(freshFor*time.Second), someone, offence.OpenProxy)
			b.tick(noon.Add(10 * time.Minute))
			b.offend(noon.Add(10*time.Minute), someone, offence.OpenProxy)
			if seen != c.seen || len(b.verdicts) != c.verdicts {
				t.Errorf("%d seen, %d verdicts; want %d, %d", seen, len(b.verdicts), c.seen, c.verdicts)
			}
			for _, v := range b.verdicts {
				if lasts := v.Until.Sub(v.At).Round(time.Second); lasts != time.Hour {
					t.Errorf("blocked for %v: what nobody kept makes the next longer", lasts)
				}
			}
		})
	}
}

// A clock that is ahead, of a host in a replay, ends nobody's block.
func TestRanOutByItsOwnLine(t *testing.T) {
	b := newBench(t, oneRule(time.Minute, time.Hour, 8))
	b.offend(noon.Add(2*time.Hour), "203.0.113.1", offence.NullConnection)
	if v := b.offend(noon, someone, offence.OpenProxy); len(v) != 1 {
		t.Errorf("%v", v)
	}
}

// Evidence: the last 20 lines of this source, oldest first, with where they
// came from.
func TestEvidence(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 8))
	for i := range 30 {
		at := noon.Add(time.Duration(i) * time.Second)
		b.feed(event{at: at, received: at.Add(time.Millisecond), addr: someone, host: fmt.Sprintf("mx%d", i%3), Event: offence.Event{Reason: offence.NullConnection, Raw: fmt.Sprintf("line %d", i)}})
		b.offend(at, "203.0.113.9", offence.NullConnection)
	}
	v := b.offend(noon.Add(30*time.Second), someone, offence.OpenProxy)
	if len(v) != 1 || len(v[0].Evidence) != maxEvidence {
		t.Fatalf("%+v", v)
	}
	for i, e := range v[0].Evidence[:maxEvidence-1] {
		n := 30 - maxEvidence + 1 + i
		at := noon.Add(time.Duration(n) * time.Second)
		want := Evidence{
			Time: at, Received: at.Add(time.Millisecond), Sender: "192.0.2.1", Host: fmt.Sprintf("mx%d", n%3), Transport: "tcp",
			Reason: offence.NullConnection, Text: fmt.Sprintf("line %d", n),
		}
		if e != want {
			t.Errorf("evidence %d is %+v, want %+v", i, e, want)
		}
	}
	if last := v[0].Evidence[maxEvidence-1]; last.Reason != offence.OpenProxy {
		t.Errorf("the last line is %+v", last)
	}
}
