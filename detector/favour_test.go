package detector

import (
	"math/rand/v2"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// One session alone never blocks a source of 20 accepted messages in 7 days.
func TestPartnerEdge(t *testing.T) {
	for name, c := range map[string]struct {
		messages int
		before   time.Duration // that the last message was accepted
		sessions int
		block    bool
	}{
		"19 messages":                    {19, time.Hour, 1, true},
		"20 messages":                    {20, time.Hour, 1, false},
		"20 messages, two sessions":      {20, time.Hour, 2, true},
		"the first almost 7 days ago":    {20, 7*day - 20*time.Second, 1, false},
		"the first exactly 7 days ago":   {20, 7*day - 19*time.Second, 1, true},
		"twenty messages 8 days ago":     {20, 8 * day, 1, true},
		"hundred messages, two sessions": {100, time.Hour, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, oneRule(time.Minute, time.Hour, 10))
			first := noon.Add(-c.before - time.Duration(c.messages-1)*time.Second)
			b.accept(first, someone, c.messages)
			for session := range c.sessions {
				b.feed(event{at: noon, addr: someone, Event: offence.Event{Reason: offence.RcptTrap, Session: uint64(1000 + session)}})
			}
			if got := len(b.verdicts) == 1; got != c.block {
				t.Errorf("blocked %v", got)
			}
		})
	}
}

// Each message takes its points off what a relay can be made to do, within the
// window, and nothing off what only the client itself does.
func TestFavourWeighs(t *testing.T) {
	for name, c := range map[string]struct {
		reason offence.Reason
		kind   offence.Kind
		before time.Duration
		score  float64
	}{
		"accepted mail":               {offence.AccessReject, offence.Accepted, time.Second, 5},
		"delivered mail":              {offence.AccessReject, offence.Delivered, time.Second, 5},
		"just in the window":          {offence.AccessReject, offence.Accepted, time.Minute - time.Second, 5},
		"just out of it":              {offence.AccessReject, offence.Accepted, time.Minute, 8},
		"an attack is not excused":    {offence.OpenProxy, offence.Accepted, time.Second, 16},
		"nor by deliveries":           {offence.Pregreet, offence.Delivered, time.Second, 12},
		"a password is not excused":   {offence.AuthFail, offence.Accepted, time.Second, 6},
		"connecting alone is nothing": {offence.AccessReject, offence.Connected, time.Second, 8},
		"logging in is nothing":       {offence.AccessReject, offence.Authenticated, time.Second, 8},
	} {
		b := newBench(t, oneRule(time.Minute, time.Hour, 1000))
		for range 3 {
			b.feed(event{at: noon.Add(-c.before), addr: someone, Event: offence.Event{Kind: c.kind}})
		}
		for user := range uint64(2) {
			b.feed(event{at: noon, addr: someone, Event: offence.Event{Reason: c.reason, User: user + 1}})
		}
		status, _ := b.d.Source(mustAddr(someone), noon)
		if got := status.Rules[0].Score; got != c.score {
			t.Errorf("%s: %v points, want %v", name, got, c.score)
		}
	}
}

// What says something about the client itself is excused for partners only.
func TestOnlyPartnersAreExcused(t *testing.T) {
	for messages, score := range map[int]float64{19: 10, 20: 0} {
		b := newBench(t, oneRule(time.Hour, time.Hour, 1000))
		b.accept(noon, someone, messages)
		at := noon.Add(time.Minute)
		b.offend(at, someone, offence.RelayDenied)
		b.offend(at, someone, offence.DNSBL)
		status, _ := b.d.Source(mustAddr(someone), at)
		if got := status.Rules[0].Score; got != score || status.Partner != (messages == 20) {
			t.Errorf("after %d messages: %v points, want %v", messages, got, score)
		}
	}
}

// Favour never makes a debt: what is left over does not excuse an attack.
func TestFavourEndsAtNothing(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 8))
	b.accept(noon, someone, 100)
	b.offend(noon.Add(100*time.Second), someone, offence.RelayDenied)
	if v := b.offend(noon.Add(101*time.Second), someone, offence.OpenProxy); len(v) != 1 || v[0].Score != 8 {
		t.Errorf("%v", v)
	}
}

// Bounces to unknown users weigh nothing; other offences with <> do.
func TestNullSender(t *testing.T) {
	for reason, block := range map[offence.Reason]bool{offence.UnknownUser: false, offence.RelayDenied: true} {
		b := newBench(t, oneRule(time.Hour, time.Hour, 5))
		for i := range 50 {
			b.feed(event{at: noon.Add(time.Duration(i) * time.Second), addr: someone, Event: offence.Event{Reason: reason, NullSender: true}})
		}
		if got := len(b.verdicts) > 0; got != block {
			t.Errorf("%v: blocked %v", reason, got)
		}
	}
}

// Of a sender of very much mail no message in a window is overlooked, and at
// most a third too many are counted.
func TestManyMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	b := newBench(t, nil)
	var at []time.Time
	now := noon
	for range 20_000 {
		now = now.Add(time.Duration(random.Int64N(int64(40 * time.Second))))
		at = append(at, now)
		b.feed(event{at: now, addr: someone, Event: offence.Event{Kind: offence.Accepted}})
	}
	key := b.d.sources.keyFor(mustAddr(someone), 64)
	s := b.d.sources.at(b.d.sources.find(&key))
	for _, window := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour, day, 3 * day} {
		exact := 0
		for _, a := range at {
			if unixSecond(now)-unixSecond(a) < seconds(window) {
				exact++
			}
		}
		credit := b.d.standing(&rule{window: seconds(window)}, s, unixSecond(now)).credit
		if got := credit.float(); got < float64(exact) || got > 1.34*float64(exact) {
			t.Errorf("in %v: %v points for %d messages", window, got, exact)
		}
	}
}
