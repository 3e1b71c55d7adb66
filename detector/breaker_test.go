package detector

import (
	"fmt"
	"math"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// partnerAddr returns the address of a source with accepted mail.
func partnerAddr(i int) string { return fmt.Sprintf("203.0.113.%d", i) }

// withPartners lets mx1 and mx2 take mail from n sources, an hour ago.
func withPartners(t *testing.T, n, messages int) (*bench, *[]Notice) {
	t.Helper()
	notices := &[]Notice{}
	b := newBench(t, func(_ *Config, o *Options) { o.OnNotice = func(n Notice) { *notices = append(*notices, n) } })
	for i := range n {
		b.accept(noon.Add(-time.Hour), partnerAddr(i), messages)
	}
	return b, notices
}

// refuse lets a host refuse a partner.
func (b *bench) refuse(at time.Time, i int, r offence.Reason) []Verdict {
	b.t.Helper()
	return b.feed(event{at: at, addr: partnerAddr(i), host: "mx2", Event: offence.Event{Reason: r}})
}

func (b *bench) open(host string) bool {
	for _, s := range b.d.Breakers() {
		if s.Host == host {
			return s.Open
		}
	}
	return false
}

// The breaker opens at five partners and at 30 % of those heard of.
func TestBreakerOpens(t *testing.T) {
	for name, c := range map[string]struct {
		accepted, refused int
		open              bool
	}{
		"four of four":       {0, 4, false},
		"five of five":       {0, 5, true},
		"five of 16: 31 %":   {11, 5, true},
		"six of 20: 30 %":    {14, 6, true},
		"six of 21: 28.6 %":  {15, 6, false},
		"nine of 40: 22.5 %": {31, 9, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := withPartners(t, 60, 1)
			for i := range c.accepted {
				b.feed(event{at: noon, addr: partnerAddr(i), host: "mx2", Event: offence.Event{Kind: offence.Accepted}})
			}
			for i := range c.refused {
				b.refuse(noon.Add(time.Second), c.accepted+i, offence.AccessDenied)
			}
			if got := b.open("mx2"); got != c.open {
				t.Errorf("open %v", got)
			}
			if b.open("mx1") {
				t.Error("mx1 has done nothing")
			}
		})
	}
}

// Refusals count for five minutes, and only until the host takes mail again.
func TestBreakerWindow(t *testing.T) {
	for after, open := range map[time.Duration]bool{
		5*time.Minute - time.Second: true,
		5 * time.Minute:             false,
	} {
		b, _ := withPartners(t, 10, 1)
		for i := range 4 {
			b.refuse(noon, i, offence.AccessDenied)
		}
		b.feed(event{at: noon.Add(time.Second), addr: partnerAddr(9), host: "mx2", Event: offence.Event{Kind: offence.Accepted}})
		b.refuse(noon.Add(after), 4, offence.AccessDenied)
		if got := b.open("mx2"); got != open {
			t.Errorf("the fifth after %v: open %v", after, got)
		}
	}
	b, _ := withPartners(t, 10, 1)
	for i := range 10 {
		b.refuse(noon.Add(time.Duration(i)*2*time.Second), i, offence.UnknownUser)
		b.feed(event{at: noon.Add(time.Duration(i)*2*time.Second + time.Second), addr: partnerAddr(i), host: "mx2", Event: offence.Event{Kind: offence.Accepted}})
	}
	if b.open("mx2") {
		t.Error("a host that goes on to take their mail refuses nobody")
	}
}

// However slowly they come: a host that turns away five in a row whose mail the
// fleet took, and takes nobody's in between, has gone wrong. The blocks of the
// first ones are lifted.
func TestBreakerSlow(t *testing.T) {
	for name, c := range map[string]struct {
		pace  time.Duration // from one correspondent to the next
		taken bool          // mail of others in between
		open  bool
	}{
		"one in two minutes":              {2 * time.Minute, false, true},
		"one in ten minutes":              {10 * time.Minute, false, true},
		"one in an hour":                  {time.Hour, false, true},
		"one in ten minutes, others sent": {10 * time.Minute, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := withPartners(t, 30, 1)
			lifted := 0
			for i := range 5 {
				at := noon.Add(time.Duration(i) * c.pace)
				for try := range 4 {
					for _, v := range b.refuse(at.Add(time.Duration(try)*time.Second), i, offence.AccessReject) {
						lifted += len(v.Lift)
					}
				}
				if c.taken {
					b.feed(event{at: at.Add(c.pace / 2), addr: partnerAddr(10 + i), host: "mx2", Event: offence.Event{Kind: offence.Accepted}})
				}
			}
			if got := b.open("mx2"); got != c.open {
				t.Errorf("open %v", got)
			}
			if c.open && lifted == 0 {
				t.Error("no block was lifted")
			}
		})
	}
}

// Temporary failures say that a host is ill, though they weigh nothing; what
// only an attacker does says nothing about the host.
func TestBreakerEvidence(t *testing.T) {
	b, _ := withPartners(t, 10, 1)
	for i := range 5 {
		b.feed(event{at: noon, addr: partnerAddr(i), host: "mx2", Event: offence.Event{Reason: offence.Other, Temporary: true}})
	}
	if !b.open("mx2") {
		t.Error("five partners got a temporary failure")
	}
	b, _ = withPartners(t, 10, 1)
	for i := range 10 {
		b.refuse(noon, i, offence.AuthFail)
		b.refuse(noon, i, offence.AccessDenied)
	}
	if b.open("mx2") {
		t.Error("those who guess passwords are nobody's partners")
	}
}

// While a breaker is open its host's evidence of some classes does not count,
// also what came shortly before.
func TestBreakerSetsAside(t *testing.T) {
	for name, c := range map[string]struct {
		reason   offence.Reason
		messages int // that make a partner, or not
		block    bool
		aside    float64 // offences counted as set aside while it is open
	}{
		"a relay's, of a partner":             {offence.AccessReject, 20, false, 3},
		"a relay's, of a stranger":            {offence.AccessReject, 0, false, 3},
		"the client's own, of a partner":      {offence.RelayDenied, 20, false, 3},
		"the client's own, of a stranger":     {offence.RelayDenied, 0, true, 0},
		"an attacker's, of whoever it may be": {offence.Pregreet, 20, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := withPartners(t, 10, 1)
			b.accept(noon.Add(-2*time.Hour), someone, c.messages)
			b.feed(event{at: noon, addr: someone, host: "mx2", Event: offence.Event{Reason: c.reason, Session: 9000}})
			for i := range 5 {
				b.refuse(noon.Add(time.Second), i, offence.AccessDenied)
			}
			before := total(t, b.registry, "uppercut_breaker_set_aside_total")
			for n := range 3 {
				b.feed(event{at: noon.Add(2 * time.Second), addr: someone, host: "mx2", Event: offence.Event{Reason: c.reason, Session: uint64(9100 + n)}})
			}
			if got := len(b.verdicts) > 0; got != c.block {
				t.Errorf("blocked %v", got)
			}
			if got := total(t, b.registry, "uppercut_breaker_set_aside_total") - before; got != c.aside {
				t.Errorf("%v set aside, want %v", got, c.aside)
			}
		})
	}
}

// The breaker closes after ten normal minutes, not one nanosecond before, and
// what was set aside stays so.
func TestBreakerCloses(t *testing.T) {
	b, notices := withPartners(t, 10, 1)
	for i := range 6 {
		b.refuse(noon.Add(time.Duration(i)*time.Second), i, offence.AccessReject)
	}
	bad := noon.Add(5 * time.Second)
	if b.tick(bad.Add(10*time.Minute - time.Nanosecond)); !b.open("mx2") {
		t.Error("closed too soon")
	}
	if b.tick(bad.Add(10 * time.Minute)); b.open("mx2") {
		t.Error("still open")
	}
	if len(*notices) != 2 || (*notices)[0].Kind != BreakerOpened || (*notices)[0].Host != "mx2" ||
		(*notices)[0].Cause != "partners" || (*notices)[1].Kind != BreakerClosed {
		t.Errorf("%+v", *notices)
	}
	if got := total(t, b.registry, "uppercut_breaker_open"); got != 0 {
		t.Errorf("%v breakers are open", got)
	}
	status, _ := b.d.Source(mustAddr(partnerAddr(5)), bad)
	if got := status.Rules[0].Score; got != 0 {
		t.Errorf("what was set aside counts %v points", got)
	}
	after := bad.Add(11 * time.Minute)
	for n := range 3 {
		b.feed(event{at: after, addr: partnerAddr(5), host: "mx2", Event: offence.Event{Reason: offence.AccessReject, Session: uint64(500 + n)}})
	}
	if len(b.verdicts) != 1 {
		t.Errorf("what comes later counts: %v", b.verdicts)
	}
}

func TestBreakerClosedByHand(t *testing.T) {
	b, _ := withPartners(t, 10, 1)
	for i := range 5 {
		b.refuse(noon, i, offence.AccessReject)
	}
	only := func(name string) func(sender, host string) bool {
		return func(sender, host string) bool { return host == name && sender != "" }
	}
	if n := b.d.CloseBreaker(only("mx1")); n != 0 {
		t.Errorf("%d breakers of mx1", n)
	}
	if n := b.d.CloseBreaker(only("mx2")); n != 1 || b.open("mx2") {
		t.Errorf("%d breakers of mx2", n)
	}
	b.refuse(noon.Add(time.Second), 7, offence.AccessReject)
	if b.open("mx2") {
		t.Error("opened again by one refusal")
	}
}

func TestBreakerDisabled(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) { c.Breaker.Enabled = false })
	for i := range 10 {
		b.accept(noon.Add(-time.Hour), partnerAddr(i), 1)
		b.refuse(noon, i, offence.AccessReject)
	}
	if b.open("mx2") {
		t.Error("it is open")
	}
}

// A host that suddenly refuses 20 times as many sources as usual for one
// reason has gone wrong. It must have shown first what is usual.
func TestBreakerSurge(t *testing.T) {
	for name, c := range map[string]struct {
		hours, usual, sudden int
		open                 bool
	}{
		"nothing is known to be usual": {0, 0, 400, false},
		"20 times as many":             {2, 20, 600, true},
		"5 times as many":              {2, 20, 100, false},
		"few, but many times more":     {2, 1, 60, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			at := noon
			refuse := func(n int) {
				for i := range n {
					b.offend(at, fmt.Sprintf("2001:db8:%x:%x::1", unixSecond(at)>>16, uint16(int(unixSecond(at))*7+i)), offence.SenderDomain)
				}
			}
			for range 12 * c.hours {
				refuse(c.usual)
				at = at.Add(5 * time.Minute)
			}
			refuse(c.sudden)
			if got := b.open("mx1"); got != c.open {
				t.Errorf("open %v", got)
			}
		})
	}
}

// Other reasons in between are no surge of one.
func TestMixedIncreaseIsNoSurge(t *testing.T) {
	b := newBench(t, nil)
	at := noon
	for range 24 {
		b.offend(at, "2001:db8::1", offence.SenderDomain)
		at = at.Add(5 * time.Minute)
	}
	for i := range 1000 {
		r := offence.SenderDomain
		if i%8 == 0 {
			r = offence.NoRDNS
		}
		b.offend(at, fmt.Sprintf("2001:db8:%x::1", i), r)
	}
	if b.open("mx1") {
		t.Error("open, though one in eight is another reason")
	}
}

// A sketch estimates within a quarter, over all sizes that matter.
func TestSketch(t *testing.T) {
	for _, n := range []int{1, 10, 50, 100, 200, 1000, 10_000, 100_000} {
		worst, sum := 0.0, 0.0
		const rounds = 20
		for round := range rounds {
			var s sketch
			tb := newTable(1000, [2]uint64{mix(uint64(round), 1), mix(2, uint64(round))})
			for i := range n {
				key := testKey(tb, uint32(i))
				s.add(key.hash)
				s.add(key.hash)
			}
			off := math.Abs(s.estimate()-float64(n)) / float64(n)
			worst, sum = max(worst, off), sum+off
		}
		if sum/rounds > 0.2 || worst > 0.6 {
			t.Errorf("of %d: off by %.2f on average, %.2f at worst", n, sum/rounds, worst)
		}
	}
}
