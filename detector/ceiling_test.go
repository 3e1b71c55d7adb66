package detector

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"uppercut/detector/offence"
)

func lowCeiling(perMinute int, share float64) func(*Config, *Options) {
	return func(c *Config, _ *Options) {
		c.Rules = []Rule{{Name: "only", Window: time.Hour, Score: 5, Block: time.Hour}}
		c.Ceiling = Ceiling{PerMinute: perMinute, HostShare: share, HostPasses: 10_000}
		c.SessionCaps, c.SessionTotal = map[string]float64{"relay_denied": 0}, 0
	}
}

// A minute counts the last 60 seconds, whatever the jumps.
func TestMinuteModel(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	var m minute
	var events []uint32
	now := uint32(1_000_000)
	for range 20_000 {
		now += uint32(random.IntN(4))
		if random.IntN(200) == 0 {
			now += uint32(random.IntN(200))
		}
		want := uint32(0)
		for _, e := range events {
			if now-e < 60 {
				want++
			}
		}
		if got := m.within(now); got != want {
			t.Fatalf("at %d: %d, want %d", now, got, want)
		}
		m.add(now)
		events = append(events, now)
		events = events[max(0, len(events)-500):]
	}
}

// Time may jump to the end of what a second can be.
func TestMinuteEndOfTime(t *testing.T) {
	var m minute
	m.add(5)
	m.add(math.MaxUint32 - 1)
	for now, want := range map[uint32]uint32{math.MaxUint32 - 1: 1, math.MaxUint32: 1, 7: 1} {
		if got := m.within(now); got != want {
			t.Errorf("at %d: %d, want %d", now, got, want)
		}
	}
}

// Who is left alone while the verdict waits is not blocked, also if the source
// has been forgotten meanwhile.
func TestCeilingPardons(t *testing.T) {
	b := newBench(t, lowCeiling(1, 1))
	b.offend(noon, "198.51.100.1", offence.RelayDenied)
	b.offend(noon, "198.51.100.2", offence.RelayDenied)
	key := b.d.sources.key(mustPrefix("198.51.100.2/32"))
	b.d.evict(b.d.sources.find(&key))
	b.d.Pardon(noon.Add(time.Hour), mustPrefix("198.51.100.2/32"))
	if v := b.tick(noon.Add(time.Minute)); len(v) != 0 {
		t.Errorf("%+v", v)
	}
}

// A source that waits for its verdict is as dear as one that is blocked.
func TestWhoWaitsIsKept(t *testing.T) {
	b := newBench(t, lowCeiling(1, 1))
	b.offend(noon, "198.51.100.1", offence.RelayDenied)
	b.offend(noon, "198.51.100.2", offence.RelayDenied)
	checkLevels(t, b.d.sources)
	key := b.d.sources.key(mustPrefix("198.51.100.2/32"))
	if level := b.d.sources.at(b.d.sources.find(&key)).level; level != blockedLevel {
		t.Errorf("level %d", level)
	}
}

// The ceiling holds for any 60 seconds.
func TestCeilingEdge(t *testing.T) {
	for after, passes := range map[time.Duration]bool{
		59*time.Second + 999_999_999: false,
		60 * time.Second:             true,
	} {
		b := newBench(t, lowCeiling(1, 1))
		b.offend(noon, "198.51.100.1", offence.RelayDenied)
		b.offend(noon, "198.51.100.2", offence.RelayDenied)
		if len(b.verdicts) != 1 || b.d.Waiting() != 1 {
			t.Fatalf("%d verdicts, %d wait", len(b.verdicts), b.d.Waiting())
		}
		if v := b.tick(noon.Add(after)); (len(v) == 1) != passes {
			t.Errorf("after %v: %v", after, v)
		}
	}
}

// What waits comes out in order of score, and none is lost.
func TestCeilingOrder(t *testing.T) {
	b := newBench(t, lowCeiling(10, 1))
	for i := range 100 {
		count := uint32(1 + i*37%100)
		b.feed(event{at: noon, addr: fmt.Sprintf("198.51.100.%d", i), Event: offence.Event{Reason: offence.RelayDenied, Count: count}})
	}
	waited := map[string]bool{}
	last := 1e9
	for second := range 700 {
		for i, v := range b.tick(noon.Add(time.Duration(second) * time.Second)) {
			if v.Score > last {
				t.Errorf("%v points come after %v", v.Score, last)
			}
			if last = v.Score; i >= 10 {
				t.Errorf("%d blocks in a second", i)
			}
			if !v.Until.Equal(noon.Add(time.Hour)) {
				t.Errorf("the block ends at %v: waiting does not move it", v.Until)
			}
			waited[v.Prefix.String()] = true
		}
	}
	if len(b.verdicts) != 100 || len(waited) != 90 || b.d.Waiting() != 0 {
		t.Errorf("%d verdicts, %d of them waited, %d still do", len(b.verdicts), len(waited), b.d.Waiting())
	}
}

// One host has at most its share; the others are not held up by it.
func TestCeilingHostShare(t *testing.T) {
	b := newBench(t, lowCeiling(20, 0.5))
	for i := range 40 {
		b.offend(noon, fmt.Sprintf("198.51.100.%d", i), offence.RelayDenied)
	}
	if len(b.verdicts) != 10 {
		t.Errorf("%d blocks by one host", len(b.verdicts))
	}
	for i := range 40 {
		b.feed(event{at: noon.Add(time.Second), addr: fmt.Sprintf("203.0.113.%d", i), host: "mx2", Event: offence.Event{Reason: offence.RelayDenied}})
	}
	if len(b.verdicts) != 20 || b.d.Waiting() != 60 {
		t.Errorf("%d blocks by two hosts, %d wait", len(b.verdicts), b.d.Waiting())
	}
}

// Who waits and then does what only an attacker does is blocked at once, and
// not a second time.
func TestWaitingAttackerPasses(t *testing.T) {
	b := newBench(t, lowCeiling(1, 1))
	b.offend(noon, "198.51.100.1", offence.RelayDenied)
	b.offend(noon, "198.51.100.2", offence.RelayDenied)
	if v := b.offend(noon.Add(time.Second), "198.51.100.2", offence.OpenProxy); len(v) != 1 {
		t.Fatalf("%v", v)
	}
	if b.tick(noon.Add(2 * time.Minute)); len(b.verdicts) != 2 || b.d.Waiting() != 0 {
		t.Errorf("%d verdicts, %d wait", len(b.verdicts), b.d.Waiting())
	}
}

// A verdict that has waited for longer than its block is none any more; one
// that became exempt neither.
func TestWaitingEndsOtherwise(t *testing.T) {
	exempt := ""
	b := newBench(t, func(c *Config, o *Options) {
		lowCeiling(1, 1)(c, o)
		c.Rules[0].Block = 90 * time.Second
		o.Exempt = func(p netip.Prefix) string {
			if p.String() == exempt {
				return "allowlist"
			}
			return ""
		}
	})
	for i := range 3 {
		b.offend(noon, fmt.Sprintf("198.51.100.%d", i), offence.RelayDenied)
	}
	exempt = "198.51.100.1/32"
	b.tick(noon.Add(61 * time.Second))
	b.tick(noon.Add(200 * time.Second))
	if len(b.verdicts) != 2 || b.d.Waiting() != 0 {
		t.Errorf("%v; %d wait", b.verdicts, b.d.Waiting())
	}
	if got := total(t, b.registry, "uppercut_verdicts_suppressed_total"); got != 1 {
		t.Errorf("%v suppressed", got)
	}
}

// What waits survives a restart.
func TestWaitingSurvives(t *testing.T) {
	b := newBench(t, lowCeiling(1, 1))
	for i := range 3 {
		b.offend(noon, fmt.Sprintf("198.51.100.%d", i), offence.RelayDenied)
	}
	var snapshot bytes.Buffer
	if err := b.d.Snapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	again := newBench(t, lowCeiling(10, 1))
	if err := again.d.Restore(&snapshot, noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if v := again.tick(noon.Add(2 * time.Second)); len(v) != 2 || !v[0].At.Equal(noon) || v[0].Rule != "only" || v[0].Score != 5 {
		t.Errorf("%+v", v)
	}
}
