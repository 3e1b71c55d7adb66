package detector

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// who is as a receiver says it: certificates and relays have names of letters,
// addresses of digits are strangers.
func who(sender string) Witness {
	return Witness{Name: sender, Known: !strings.HasPrefix(sender, "10."), Relay: strings.HasPrefix(sender, "relay")}
}

// withWitnesses is a bench whose senders are who they are.
func withWitnesses(t *testing.T, change func(*Config)) *bench {
	return newBench(t, func(c *Config, o *Options) {
		o.Witness = who
		if change != nil {
			change(c)
		}
	})
}

// TestSecondWitness: a second host of min_hosts is another sender, not another
// name in a line.
func TestSecondWitness(t *testing.T) {
	for name, c := range map[string]struct {
		senders, hosts [2]string
		files, block   bool
		alone          string
	}{
		"one certificate, two names":    {[2]string{"mx1", "mx1"}, [2]string{"mx1", "mx2"}, false, false, ""},
		"one address, two names":        {[2]string{"10.0.0.1", "10.0.0.1"}, [2]string{"mx1", "mx2"}, false, false, ""},
		"one relay, two names":          {[2]string{"relay", "relay"}, [2]string{"mx1", "mx2"}, false, false, ""},
		"two certificates, one name":    {[2]string{"mx1", "mx2"}, [2]string{"mx1", "mx1"}, false, true, ""},
		"a relay and a host of its own": {[2]string{"relay", "mx2"}, [2]string{"mx1", "mx2"}, false, true, ""},
		"two names in files":            {[2]string{"", ""}, [2]string{"mx1", "mx2"}, true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(cfg *Config, o *Options) {
				if !c.files {
					o.Witness = who
				}
				cfg.Rules = []Rule{{Name: "two", Window: time.Hour, Score: 10, Block: time.Hour, MinHosts: 2}}
			})
			for i := range 2 {
				b.feed(event{at: noon.Add(time.Duration(i) * time.Second), addr: "203.0.113.9", sender: c.senders[i], host: c.hosts[i], Event: offence.Event{Reason: offence.OpenProxy}})
			}
			if got := len(b.verdicts) == 1; got != c.block {
				t.Fatalf("blocked %v", got)
			}
			if c.block && (b.verdicts[0].Hosts != 2 || b.verdicts[0].Witness != "") {
				t.Errorf("%d witnesses, alone %q", b.verdicts[0].Hosts, b.verdicts[0].Witness)
			}
		})
	}
}

// TestAlone: a verdict names who alone vouches for it. Context that anybody gives
// cause to makes nobody a witness.
func TestAlone(t *testing.T) {
	b := withWitnesses(t, nil)
	say := func(sender string, r offence.Reason) []Verdict {
		return b.feed(event{at: noon, addr: "203.0.113.9", sender: sender, host: "x", Event: offence.Event{Reason: r}})
	}
	say("mx2", offence.LostInput)
	say("mx1", offence.OpenProxy)
	if v := say("mx1", offence.Pregreet); len(v) != 1 || v[0].Witness != "mx1" || v[0].Hosts != 2 {
		t.Errorf("%+v", v)
	}
	b = withWitnesses(t, nil)
	say("mx2", offence.RelayDenied)
	if v := say("mx1", offence.OpenProxy); len(v) != 1 || v[0].Witness != "" {
		t.Errorf("%+v", v)
	}
}

// TestCeilingShareOfManyNames: whoever writes under many names has one share.
func TestCeilingShareOfManyNames(t *testing.T) {
	for _, sender := range []string{"mx1", "10.0.0.1", "relay"} {
		b := withWitnesses(t, func(c *Config) { lowCeiling(20, 0.5)(c, nil) })
		for i := range 40 {
			b.feed(event{at: noon, addr: fmt.Sprintf("198.51.100.%d", i), sender: sender, host: fmt.Sprintf("mx%d", i%8), Event: offence.Event{Reason: offence.RelayDenied}})
		}
		if len(b.verdicts) != 10 || b.d.Waiting() != 30 {
			t.Errorf("%s: %d blocks at once, %d wait", sender, len(b.verdicts), b.d.Waiting())
		}
	}
}

// TestBreakerOfManyNames: 200 partners of another host are accused by one key,
// which spreads them over 50 names.
func TestBreakerOfManyNames(t *testing.T) {
	for _, liar := range []string{"mx1", "10.0.0.1", "relay"} {
		t.Run(liar, func(t *testing.T) {
			b := withWitnesses(t, nil)
			for i := range 200 {
				b.feed(event{at: noon.Add(-time.Hour), addr: partnerAddr(i), sender: "mx2", host: "mx2", Event: offence.Event{Kind: offence.Accepted}})
			}
			at := noon
			for range 4 {
				for i := range 200 {
					at = at.Add(time.Millisecond)
					b.feed(event{at: at, addr: partnerAddr(i), sender: liar, host: fmt.Sprintf("mx%d", 10+i/4), Event: offence.Event{Reason: offence.AccessReject}})
				}
			}
			if left := b.blocked(); len(left) != 0 {
				t.Errorf("%d partners are blocked", len(left))
			}
			if got := total(t, b.registry, "uppercut_breaker_opened_total"); got == 0 {
				t.Error("no breaker has opened")
			}
		})
	}
}

// blocked is who has been blocked and not lifted.
func (b *bench) blocked() map[string]bool {
	left := map[string]bool{}
	for _, v := range b.verdicts {
		for _, p := range v.Lift {
			delete(left, p.String())
		}
		if len(v.Lift) == 0 {
			left[v.Prefix.String()] = true
		}
	}
	return left
}

// TestHostTableCannotBeFilled: whoever was there before with however many names
// or addresses, a new host has a breaker of its own.
func TestHostTableCannotBeFilled(t *testing.T) {
	for name, fill := range map[string]func(i int) (sender, host string){
		"names of two certificates": func(i int) (string, string) { return [...]string{"evil1", "evil2"}[i%2], fmt.Sprintf("h%d", i) },
		"names of two addresses":    func(i int) (string, string) { return [...]string{"10.6.6.6", "10.6.6.7"}[i%2], fmt.Sprintf("h%d", i) },
		"names of two relays":       func(i int) (string, string) { return [...]string{"relay1", "relay2"}[i%2], fmt.Sprintf("h%d", i) },
		"addresses":                 func(i int) (string, string) { return fmt.Sprintf("10.%d.%d.1", i/256, i%256), "x" },
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", name, restarted), func(t *testing.T) {
				b := withWitnesses(t, nil)
				for i := range 3000 {
					sender, host := fill(i)
					e := event{at: noon.Add(-time.Hour), addr: fmt.Sprintf("192.0.2.%d", i%256), sender: sender, host: host}
					if e.Reason = offence.NullConnection; i%3 == 0 {
						e.Kind = offence.Accepted
					}
					b.feed(e)
				}
				for i := range 3 { // numbers become free again within seconds
					b.tick(noon.Add(-59*time.Minute + time.Duration(i)*time.Second))
				}
				if restarted {
					b = b.restart(noon.Add(-30*time.Minute), func(_ *Config, o *Options) { o.Witness = who })
				}
				honestBesideBroken(t, b, "10.0.0.1", "10.0.0.2")
				honestBesideBroken(t, b, "mx8", "mx9")
				if n := len(b.d.hosts.byNumber); n > maxHosts {
					t.Errorf("%d numbers", n)
				}
			})
		}
	}
}

// honestBesideBroken lets a new host refuse partners of another one, and another
// new host tell of ten guilty.
func honestBesideBroken(t *testing.T, b *bench, honest, broken string) {
	t.Helper()
	b.verdicts = nil
	for i := range 20 {
		b.feed(event{at: noon.Add(-20 * time.Minute), addr: partnerAddr(i), sender: "mx0", host: "mx0", Event: offence.Event{Kind: offence.Accepted}})
	}
	for i := range 20 {
		b.feed(event{at: noon, addr: partnerAddr(i), sender: broken, host: "b", Event: offence.Event{Reason: offence.AccessReject}})
	}
	for _, s := range b.d.Breakers() {
		if open := s.Sender == broken; s.Open != open {
			t.Errorf("breaker of %s (%s): open %v", s.Sender, s.Host, s.Open)
		}
	}
	for n := range 3 {
		for i := range 10 {
			b.feed(event{at: noon.Add(time.Second), addr: fmt.Sprintf("198.51.100.%d", i), sender: honest, host: "a", Event: offence.Event{Reason: offence.AccessReject, Session: uint64(1000*n + i + 1)}})
		}
	}
	if len(b.verdicts) != 10 {
		t.Errorf("%d of 10 guilty are blocked", len(b.verdicts))
	}
	for _, v := range b.verdicts {
		if v.Witness != honest || len(v.Evidence) != 3 || v.Evidence[0].Sender != honest {
			t.Errorf("%+v", v)
			break
		}
	}
	for i := range 10 {
		b.d.Pardon(noon, mustPrefix(fmt.Sprintf("198.51.100.%d/32", i)))
	}
	b.d.CloseBreaker(func(string, string) bool { return true })
}

// restart saves what is known into a new bench.
func (b *bench) restart(now time.Time, change func(*Config, *Options)) *bench {
	b.t.Helper()
	var snapshot bytes.Buffer
	if err := b.d.Snapshot(&snapshot); err != nil {
		b.t.Fatal(err)
	}
	again := newBench(b.t, change)
	again.lines = b.lines
	if err := again.d.Restore(&snapshot, now); err != nil {
		b.t.Fatal(err)
	}
	return again
}

// TestForgottenHostSaysNothing: a number is given away again when nothing bears
// witness to its former host any more, neither marks nor evidence.
func TestForgottenHostSaysNothing(t *testing.T) {
	b := withWitnesses(t, nil)
	b.feed(event{at: noon, addr: "203.0.113.9", sender: "10.0.0.1", host: "old", Event: offence.Event{Reason: offence.Pregreet}})
	old := b.d.hosts.named("10.0.0.1", "old")
	for i := range maxStrangers + 1 {
		b.feed(event{at: noon.Add(time.Second), addr: "203.0.113.10", sender: fmt.Sprintf("10.1.%d.%d", i/256, i%256), host: "x", Event: offence.Event{Kind: offence.Accepted}})
	}
	if !old.forgotten() || b.d.hosts.at(old.number) != nil {
		t.Fatal("it was not forgotten, or its number was given away at once")
	}
	status, _ := b.d.Source(mustAddr("203.0.113.9"), noon)
	if len(status.Evidence) != 1 || status.Evidence[0].Sender != "" {
		t.Errorf("evidence of %+v", status.Evidence)
	}
	for i := range 3 {
		b.tick(noon.Add(time.Duration(2+i) * time.Second))
	}
	b.feed(event{at: noon.Add(5 * time.Second), addr: "203.0.113.11", sender: "mx7", host: "new", Event: offence.Event{Reason: offence.Pregreet}})
	if got := b.d.hosts.named("mx7", "new"); got.number != old.number {
		t.Errorf("number %d, want %d, which has become free", got.number, old.number)
	}
	status, _ = b.d.Source(mustAddr("203.0.113.9"), noon)
	if len(status.Offences) != 0 || len(status.Evidence) != 1 || status.Evidence[0].Host != "" {
		t.Errorf("what is left of the host: %+v", status)
	}
	if got := total(t, b.registry, "uppercut_judged_hosts_forgotten_total"); got == 0 {
		t.Error("it was not counted")
	}
}

// TestHostPasses: what one witness alone accuses of what only an attacker does
// passes the ceiling so often a minute, and then waits; what two say passes.
func TestHostPasses(t *testing.T) {
	var notices []Notice
	b := newBench(t, func(c *Config, o *Options) {
		lowCeiling(4, 0.5)(c, o)
		c.Ceiling.HostPasses = 10
		o.Witness = who
		o.OnNotice = func(n Notice) { notices = append(notices, n) }
	})
	accuse := func(sender, addr string) {
		b.feed(event{at: noon, addr: addr, sender: sender, host: "x", Event: offence.Event{Reason: offence.Pregreet}})
	}
	for i := range 40 {
		accuse("evil", fmt.Sprintf("198.51.100.%d", i))
	}
	if len(b.verdicts) != 12 || b.d.Waiting() != 28 {
		t.Errorf("%d blocks at once, %d wait; want 10 beside the ceiling and 2 of it", len(b.verdicts), b.d.Waiting())
	}
	if len(notices) != 1 || notices[0].Kind != OverLimit || notices[0].Host != "evil" || total(t, b.registry, "uppercut_witnesses_over_limit") != 1 {
		t.Errorf("%+v", notices)
	}
	b.verdicts = nil
	for i := range 9 {
		accuse("mx1", fmt.Sprintf("203.0.113.%d", i))
	}
	if len(b.verdicts) != 9 {
		t.Errorf("%d of 9 of another host", len(b.verdicts))
	}
	b.verdicts = nil
	b.feed(event{at: noon, addr: "203.0.113.100", sender: "mx2", host: "x", Event: offence.Event{Reason: offence.NoRDNS}})
	accuse("evil", "203.0.113.100")
	if len(b.verdicts) != 1 || b.verdicts[0].Witness != "" {
		t.Errorf("what two say waits: %+v", b.verdicts)
	}
	b.tick(noon.Add(time.Minute))
	if got := total(t, b.registry, "uppercut_witnesses_over_limit"); got != 0 {
		t.Errorf("%v over the limit a minute later", got)
	}
}

// TestWaitingIsBounded: too many decisions that wait cost those who have most.
func TestWaitingIsBounded(t *testing.T) {
	b := withWitnesses(t, func(c *Config) {
		lowCeiling(1, 1)(c, nil)
		c.MaxSources = 2 * maxWaiting
	})
	for i := range maxWaiting + 100 {
		sender := "evil"
		if i%10 == 0 {
			sender = "mx1"
		}
		b.feed(event{at: noon, addr: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), sender: sender, host: "x", Event: offence.Event{Reason: offence.RelayDenied}})
	}
	waits := map[string]int{}
	for _, p := range b.d.ceiling.waiting {
		waits[p.reporter.name]++
	}
	if lost := total(t, b.registry, "uppercut_verdicts_lost_total"); b.d.Waiting() != maxWaiting || lost != 99 || waits["mx1"] < maxWaiting/10 {
		t.Errorf("%d wait, %v are lost, %v", b.d.Waiting(), lost, waits)
	}
}

// TestSeveralNames: a sender that writes under several names is told of once.
func TestSeveralNames(t *testing.T) {
	var notices []Notice
	b := newBench(t, func(_ *Config, o *Options) {
		o.Witness = who
		o.OnNotice = func(n Notice) { notices = append(notices, n) }
	})
	for _, l := range [][2]string{{"mx1", "mx1"}, {"mx1", "mx1.example.org"}, {"relay", "mx1"}, {"relay", "mx2"}, {"10.0.0.1", "mx1"}, {"10.0.0.1", "mx2"}, {"10.0.0.1", "mx3"}} {
		b.feed(event{at: noon, addr: "203.0.113.9", sender: l[0], host: l[1], Event: offence.Event{Kind: offence.Accepted}})
	}
	if len(notices) != 1 || notices[0].Kind != SeveralNames || notices[0].Sender != "10.0.0.1" {
		t.Errorf("%+v", notices)
	}
}

// TestRelayDeclaredLater: who is who is asked again with each configuration, and
// what was said before still counts.
func TestRelayDeclaredLater(t *testing.T) {
	relay := false
	c := DefaultConfig()
	b := newBench(t, func(bc *Config, o *Options) {
		c = *bc
		o.Witness = func(s string) Witness { return Witness{Name: s, Known: relay, Relay: relay} }
	})
	say := func(host string) []Verdict {
		return b.feed(event{at: noon, addr: "203.0.113.9", sender: "10.0.0.5", host: host, Event: offence.Event{Reason: offence.AccessReject}})
	}
	say("mx1")
	say("mx2")
	if one, two := b.d.hosts.named("10.0.0.5", "mx1"), b.d.hosts.named("10.0.0.5", "mx2"); one.breaker != two.breaker {
		t.Error("two names of one sender have breakers of their own")
	}
	relay = true
	if err := b.d.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	if one, two := b.d.hosts.named("10.0.0.5", "mx1"), b.d.hosts.named("10.0.0.5", "mx2"); one.breaker == two.breaker || one.witness != two.witness {
		t.Error("the hosts behind a relay share a breaker, or are two witnesses")
	}
	if b.d.hosts.strangers.count() != 0 {
		t.Error("a relay is no stranger")
	}
	if v := say("mx1"); len(v) != 1 || v[0].Witness != "10.0.0.5" {
		t.Errorf("%+v", v)
	}
}

// TestJointBreakerOverRestart: what the hosts behind a relay have opened together
// is open for a host of which nothing was heard before the restart, too, and no
// host's own breaker is open for it. Once the relay is none any more, it has that
// breaker only.
func TestJointBreakerOverRestart(t *testing.T) {
	b := withWitnesses(t, nil)
	for i := range 200 {
		b.feed(event{at: noon.Add(-time.Hour), addr: partnerAddr(i), sender: "relay", host: "mx1", Event: offence.Event{Kind: offence.Accepted}})
	}
	refuse := func(host string, i int) {
		b.feed(event{at: noon, addr: partnerAddr(i), sender: "relay", host: host, Event: offence.Event{Reason: offence.AccessReject, Session: uint64(i + 1)}})
	}
	for i := range 200 {
		refuse(fmt.Sprint("mx", 10+i), i)
	}
	for _, restarted := range []bool{false, true} {
		if restarted {
			b = b.restart(noon, func(_ *Config, o *Options) { o.Witness = who })
		}
		old := b.d.hosts.named("relay", "mx10")
		if joint := &old.witness.breaker; !joint.open || old.breaker.open || old.breaker == joint {
			t.Errorf("restarted %v: joint breaker open %v, the host's own %v", restarted, joint.open, old.breaker.open)
		}
	}
	refuse("new", 7)
	refuse("new", 7)
	refuse("new", 7)
	if len(b.blocked()) != 0 {
		t.Errorf("%v are blocked", b.blocked())
	}
	none := b.restart(noon, func(_ *Config, o *Options) {
		o.Witness = func(s string) Witness { return Witness{Name: s, Known: true} }
	})
	if x := none.d.hosts.named("relay", "mx10"); !x.breaker.open || x.breaker != &x.witness.breaker {
		t.Error("the breaker of what was a relay is closed")
	}
	if n := none.d.CloseBreaker(func(_, _ string) bool { return true }); n != 1 {
		t.Errorf("%d breakers of one sender were open", n)
	}
}
