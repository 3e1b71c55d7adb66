package detector

import (
	"fmt"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// correspondents sends n messages from each of some sources to the given hosts,
// in the hours before noon.
func (b *bench) correspondents(sources, n int, hosts ...string) {
	b.t.Helper()
	for m := range n {
		for i := range sources {
			at := noon.Add(-time.Duration(n-m)*time.Hour + time.Duration(i)*time.Second)
			b.feed(event{at: at, addr: partnerAddr(i), host: hosts[(i+m)%len(hosts)], Event: offence.Event{Kind: offence.Accepted}})
		}
	}
}

// TestRefusesEverybody: whatever has gone wrong at a host, at several, or at a
// small one, whoever has ever sent accepted mail is not blocked in the end, and
// strangers are as ever.
func TestRefusesEverybody(t *testing.T) {
	refusals := []offence.Reason{
		offence.DNSBL, offence.AccessReject, offence.AccessDenied, offence.RelayDenied, offence.TCPWrappers,
		offence.BadHelo, offence.NoRDNS, offence.MilterReject,
	}
	for name, c := range map[string]struct {
		sources, messages int
		hosts             []string
		pause             time.Duration // between the refusals of a round
		rounds            int
	}{
		"12 at one host":           {12, 4, []string{"mx1"}, 10 * time.Second, 3},
		"12 with one message each": {12, 1, []string{"mx1"}, 10 * time.Second, 3},
		"60 at one host":           {60, 4, []string{"mx1"}, time.Second, 4},
		"60 slowly":                {60, 4, []string{"mx1"}, 10 * time.Second, 4},
		"200 at one host":          {200, 2, []string{"mx1"}, 100 * time.Millisecond, 4},
		"12 at two hosts":          {12, 4, []string{"mx1", "mx2"}, 10 * time.Second, 3},
		"12 at three hosts":        {12, 6, []string{"mx1", "mx2", "mx3"}, 10 * time.Second, 3},
		"4 correspondents":         {4, 5, []string{"mx1"}, 10 * time.Second, 4},
		"3 correspondents":         {3, 5, []string{"mx1"}, 10 * time.Second, 4},
		"12, each twice an hour":   {12, 4, []string{"mx1"}, 150 * time.Second, 12},
		"12 within a second":       {12, 4, []string{"mx1"}, 0, 6},
		"2 at each of six hosts":   {12, 6, []string{"mx1", "mx2", "mx3", "mx4", "mx5", "mx6"}, 10 * time.Second, 3},
	} {
		for _, r := range refusals {
			t.Run(name+", "+r.String(), func(t *testing.T) {
				b := newBench(t, nil)
				b.correspondents(c.sources, c.messages, c.hosts...)
				at := noon
				for round := range c.rounds {
					for i := range c.sources {
						at = at.Add(c.pause)
						for s := range 2 {
							b.feed(event{at: at, addr: partnerAddr(i), host: c.hosts[(i+round)%len(c.hosts)], Event: offence.Event{Reason: r, Session: uint64(1e6*round + 10*i + s + 1)}})
						}
					}
					at = at.Add(time.Second)
				}
				if left := b.blocked(); len(left) > 0 {
					t.Errorf("%d of %d are blocked", len(left), c.sources)
				}
				if weight := DefaultConfig().Weights[r.String()]; clientsOwn.has(r) && weight > 0 {
					for n := range 4 {
						b.feed(event{at: at, addr: "198.51.100.9", host: c.hosts[0], Event: offence.Event{Reason: r, Session: uint64(9e8 + n)}})
					}
					if left := b.blocked(); !left["198.51.100.9/32"] {
						t.Error("a stranger is not blocked")
					}
				}
			})
		}
	}
}

// TestSpammersAreStillRefused: a few sources with accepted mail that turn bad, at
// a host that goes on to take the mail of others, open no breaker.
func TestSpammersAreStillRefused(t *testing.T) {
	b := newBench(t, nil)
	b.correspondents(40, 3, "mx1")
	for n := range 3 {
		for i := range 4 {
			b.feed(event{at: noon.Add(time.Duration(n) * time.Minute), addr: partnerAddr(i), Event: offence.Event{Reason: offence.DNSBL}})
		}
		b.feed(event{at: noon.Add(time.Duration(n) * time.Minute), addr: partnerAddr(30), Event: offence.Event{Kind: offence.Accepted}})
	}
	if left := b.blocked(); len(left) != 4 {
		t.Errorf("%v are blocked", left)
	}
}

// TestTakeBack: when a breaker opens, blocks of sources with accepted mail end
// that would not be made without what it sets aside, and no others.
func TestTakeBack(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted %v", restarted), func(t *testing.T) {
			b := newBench(t, nil)
			b.correspondents(10, 3, "mx1", "mx2")
			twice := func(addr, host string, r offence.Reason) {
				for n := range 2 {
					b.feed(event{at: noon, addr: addr, host: host, Event: offence.Event{Reason: r, Session: uint64(100*len(b.verdicts) + n + 1)}})
				}
			}
			twice("198.51.100.1", "mx2", offence.DNSBL) // a stranger
			twice(partnerAddr(0), "mx2", offence.DNSBL)
			twice(partnerAddr(1), "mx1", offence.DNSBL)    // by another host
			twice(partnerAddr(2), "mx2", offence.Pregreet) // its own doing
			if got := b.blocked(); len(got) != 4 {
				t.Fatalf("%v are blocked", got)
			}
			if restarted {
				before := b.verdicts
				b = b.restart(noon.Add(time.Second), nil)
				b.verdicts = before
			}
			if got := total(t, b.registry, "uppercut_correspondents_blocked"); got != 3 {
				t.Errorf("%v blocks could be taken back", got)
			}
			for i := range 5 {
				b.refuse(noon.Add(time.Minute), 3+i, offence.DNSBL)
			}
			left := b.blocked()
			if len(left) != 3 || left[partnerAddr(0)+"/32"] {
				t.Errorf("%v are left", left)
			}
			if got := total(t, b.registry, "uppercut_verdicts_taken_back_total"); got != 1 {
				t.Errorf("%v taken back", got)
			}
			for i := range 8 { // mx1 is well
				b.feed(event{at: noon.Add(time.Minute), addr: partnerAddr(20 + i), Event: offence.Event{Kind: offence.Accepted}})
			}
			s, _ := b.d.Source(mustAddr(partnerAddr(0)), noon.Add(time.Minute))
			if s.Blocks != 0 || s.Rules[0].Score != 0 || s.BlockedUntil.After(noon.Add(time.Minute)) {
				t.Errorf("%+v", s)
			}
			for n := range 2 {
				b.feed(event{at: noon.Add(2 * time.Minute), addr: partnerAddr(0), host: "mx1", Event: offence.Event{Reason: offence.RelayDenied, Session: uint64(7000 + n)}})
			}
			if !b.blocked()[partnerAddr(0)+"/32"] {
				t.Error("what another host says of it no longer counts")
			}
		})
	}
}

// TestTakeBackWaiting: what waits for the ceiling is not carried out when the
// breaker has opened meanwhile.
func TestTakeBackWaiting(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) { c.Ceiling.PerMinute, c.Ceiling.HostShare = 1, 1 })
	b.correspondents(10, 3, "mx1", "mx2")
	for n := range 2 {
		for _, addr := range []string{"198.51.100.1", partnerAddr(0)} {
			b.feed(event{at: noon, addr: addr, host: "mx2", Event: offence.Event{Reason: offence.DNSBL, Session: uint64(n + 1)}})
		}
	}
	if b.d.Waiting() != 1 {
		t.Fatalf("%d wait", b.d.Waiting())
	}
	for i := range 5 {
		b.refuse(noon.Add(time.Second), 3+i, offence.DNSBL)
	}
	b.tick(noon.Add(2 * time.Minute))
	if left := b.blocked(); len(left) != 1 || b.d.Waiting() != 0 {
		t.Errorf("%v are blocked, %d wait", left, b.d.Waiting())
	}
}

// TestTakeBackNetwork: a network that was blocked for its sources is lifted with
// them.
func TestTakeBackNetwork(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) { c.Neighbourhood.Enabled, c.Neighbourhood.IPv4 = true, 4 })
	b.correspondents(20, 1, "mx1", "mx2")
	for i := range 4 {
		for n := range 2 {
			b.feed(event{at: noon, addr: partnerAddr(i), host: "mx2", Event: offence.Event{Reason: offence.DNSBL, Session: uint64(10*i + n + 1)}})
		}
	}
	if !b.blocked()["203.0.113.0/24"] {
		t.Fatalf("%v are blocked", b.blocked())
	}
	for i := range 5 {
		b.feed(event{at: noon.Add(time.Second), addr: partnerAddr(10 + i), host: "mx2", Event: offence.Event{Reason: offence.DNSBL}})
	}
	if left := b.blocked(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// TestNetworkAlone: a network is vouched for by who alone can have had it blocked.
func TestNetworkAlone(t *testing.T) {
	for name, c := range map[string]struct {
		by    [6]string
		alone string
	}{
		"all by one":    {[6]string{"evil", "evil", "evil", "evil", "", ""}, "evil"},
		"one by others": {[6]string{"mx1", "evil", "evil", "evil", "", ""}, "evil"},
		"two by others": {[6]string{"mx1", "mx2", "evil", "evil", "", ""}, "evil"},
	} {
		t.Run(name, func(t *testing.T) {
			b := withWitnesses(t, func(c *Config) { c.Neighbourhood.Enabled, c.Neighbourhood.IPv4 = true, 4 })
			for i, sender := range c.by {
				if sender == "" {
					continue
				}
				for n := range 2 {
					b.feed(event{at: noon, addr: partnerAddr(i), sender: sender, host: "x", Event: offence.Event{Reason: offence.Pregreet, Session: uint64(10*i + n + 1)}})
				}
			}
			last := b.verdicts[len(b.verdicts)-1]
			if last.Prefix.String() != "203.0.113.0/24" || last.Witness != c.alone {
				t.Errorf("%+v", last)
			}
		})
	}
}
