package detector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"uppercut/detector/offence"
)

const someone = "198.51.100.1"

// An offence is in the window until the window's whole width has passed.
func TestWindowEdge(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		block bool
	}{
		{0, true},
		{10*time.Minute - time.Nanosecond, true},
		{10 * time.Minute, false},
		{10*time.Minute + time.Nanosecond, false},
	} {
		b := newBench(t, oneRule(10*time.Minute, time.Hour, 12))
		if v := b.offend(noon, someone, offence.Pregreet); len(v) > 0 {
			t.Fatalf("6 of 12 points: %v", v)
		}
		v := b.offend(noon.Add(c.after), someone, offence.Pregreet)
		if got := len(v) == 1; got != c.block {
			t.Errorf("after %v: blocked %v, want %v", c.after, got, c.block)
		}
	}
}

// The score must be reached to the twentieth of a point.
func TestScoreEdge(t *testing.T) {
	for score, block := range map[float64]bool{11.95: true, 12: true, 12.05: false} {
		b := newBench(t, oneRule(time.Minute, time.Hour, score))
		b.offend(noon, someone, offence.Pregreet)
		b.offend(noon, someone, offence.Pregreet)
		if got := len(b.verdicts) == 1; got != block {
			t.Errorf("12 of %v points: blocked %v", score, got)
		}
	}
}

// A source is judged again in the very moment that its block ends.
func TestBlockEdge(t *testing.T) {
	for after, again := range map[time.Duration]bool{
		time.Hour - time.Nanosecond: false,
		time.Hour:                   true,
	} {
		b := newBench(t, oneRule(time.Minute, time.Hour, 8))
		b.offend(noon, someone, offence.OpenProxy)
		if want := noon.Add(time.Hour); len(b.verdicts) != 1 || !b.verdicts[0].Until.Equal(want) {
			t.Fatalf("%+v, want a block until %v", b.verdicts, want)
		}
		if v := b.offend(noon.Add(after), someone, offence.OpenProxy); (len(v) == 1) != again {
			t.Errorf("%v after the offence: %v", after, v)
		}
	}
}

// Of the rules that fire the one with the longest block counts.
func TestLongestBlockWins(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{
			{Name: "short", Window: time.Minute, Score: 5, Block: time.Minute},
			{Name: "long", Window: time.Hour, Score: 8, Block: time.Hour},
			{Name: "middle", Window: time.Hour, Score: 8, Block: 30 * time.Minute},
		}
	})
	b.offend(noon, someone, offence.OpenProxy)
	if len(b.verdicts) != 1 || b.verdicts[0].Rule != "long" {
		t.Errorf("%+v", b.verdicts)
	}
}

// A late line is judged in the windows that hold it, with what came before it
// and after it.
func TestLateOffence(t *testing.T) {
	b := newBench(t, oneRule(10*time.Minute, time.Hour, 12))
	b.offend(noon, someone, offence.Pregreet)
	b.offend(noon.Add(-20*time.Minute), someone, offence.Pregreet)
	if len(b.verdicts) > 0 {
		t.Fatalf("20 minutes apart: %v", b.verdicts)
	}
	v := b.feed(event{at: noon.Add(-5 * time.Minute), received: noon.Add(time.Minute), addr: someone, Event: offence.Event{Reason: offence.Pregreet}})
	if len(v) != 1 || !v[0].At.Equal(noon) || !v[0].Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("the offence at noon decides, once the late one is known: %+v", v)
	}
}

// Rules can be about some reasons, some hosts and a number of hosts.
func TestRuleConditions(t *testing.T) {
	for name, c := range map[string]struct {
		rule  Rule
		block bool
	}{
		"all":                {Rule{}, true},
		"its reason":         {Rule{Reasons: []string{"open_proxy"}}, true},
		"other reasons":      {Rule{Reasons: []string{"pregreet", "dnsbl"}}, false},
		"its hosts":          {Rule{Hosts: []string{"mx1", "mx2"}}, true},
		"one of its hosts":   {Rule{Hosts: []string{"mx1"}}, false},
		"as many hosts":      {Rule{MinHosts: 2}, true},
		"more hosts":         {Rule{MinHosts: 3}, false},
		"hosts by its hosts": {Rule{Hosts: []string{"mx2", "mx3"}, MinHosts: 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(cfg *Config, _ *Options) {
				c.rule.Name, c.rule.Window, c.rule.Block, c.rule.Score = "r", time.Minute, time.Hour, 16
				cfg.Rules = []Rule{c.rule}
			})
			for _, host := range []string{"mx1", "mx2"} {
				b.feed(event{at: noon, addr: someone, host: host, Event: offence.Event{Reason: offence.OpenProxy}})
			}
			if got := len(b.verdicts) == 1; got != c.block {
				t.Errorf("blocked %v", got)
			}
			if c.block && b.verdicts[0].Hosts != 2 {
				t.Errorf("%d hosts", b.verdicts[0].Hosts)
			}
		})
	}
}

// Context alone never fires a rule, and counts for no more than the rest.
func TestContext(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 10))
	for i := range 1000 {
		b.offend(noon.Add(time.Duration(i)*time.Second), someone, offence.NullConnection)
	}
	if len(b.verdicts) > 0 {
		t.Fatalf("a probe is blocked: %v", b.verdicts)
	}
	b.offend(noon.Add(1000*time.Second), someone, offence.BadCommand)
	if len(b.verdicts) > 0 {
		t.Fatalf("4 points and as many by context: %v", b.verdicts)
	}
	b.offend(noon.Add(1001*time.Second), someone, offence.SenderDomain)
	if len(b.verdicts) != 1 || b.verdicts[0].Score != 10 {
		t.Fatalf("5 points and as many by context: %v", b.verdicts)
	}
}

// Unknown users count from three on, in at least two sessions.
func TestUnknownUsers(t *testing.T) {
	for name, c := range map[string]struct {
		sessions []uint64
		block    bool
	}{
		"two in two sessions":   {[]uint64{1, 2}, false},
		"three in one session":  {[]uint64{1, 1, 1}, false},
		"three in two sessions": {[]uint64{1, 1, 2}, true},
	} {
		b := newBench(t, oneRule(time.Minute, time.Hour, 2))
		for i, session := range c.sessions {
			b.feed(event{at: noon.Add(time.Duration(i) * time.Second), addr: someone, Event: offence.Event{Reason: offence.UnknownUser, Session: session}})
		}
		if got := len(b.verdicts) == 1; got != c.block {
			t.Errorf("%s: blocked %v", name, got)
		}
	}
}

// One session earns at most so much by one reason, and by all together.
func TestSessionCaps(t *testing.T) {
	in := func(r offence.Reason, n int) (list []offence.Reason) { return slices.Repeat([]offence.Reason{r}, n) }
	for name, c := range map[string]struct {
		reasons []offence.Reason
		score   float64
	}{
		"relaying":                 {in(offence.RelayDenied, 50), 5},
		"VRFY":                     {in(offence.VrfyExpn, 50), 5},
		"several kinds":            {append(in(offence.RelayDenied, 50), append(in(offence.VrfyExpn, 50), in(offence.BadHelo, 3)...)...), 9},
		"a trap":                   {in(offence.RcptTrap, 3), 10},
		"a trap beside the others": {append(in(offence.RcptTrap, 3), in(offence.RelayDenied, 3)...), 15},
		"an attack has no cap":     {in(offence.OpenProxy, 3), 24},
	} {
		b := newBench(t, oneRule(time.Hour, time.Hour, 1000))
		for i, r := range c.reasons {
			b.feed(event{at: noon.Add(time.Duration(i) * time.Second), addr: someone, Event: offence.Event{Reason: r, Session: 7}})
		}
		status, _ := b.d.Source(mustAddr(someone), noon.Add(time.Duration(len(c.reasons))*time.Second))
		if got := status.Rules[0].Score; got != c.score {
			t.Errorf("%s: %v points, want %v", name, got, c.score)
		}
	}
}

// A user name scores once in every window, many names score each, and failures
// without a name are all of one.
func TestAuthUsers(t *testing.T) {
	score := func(b *bench, at time.Time) float64 {
		status, _ := b.d.Source(mustAddr(someone), at)
		return status.Rules[0].Score
	}
	b := newBench(t, oneRule(time.Minute, time.Hour, 1000))
	fail := func(at time.Time, user uint64) {
		b.feed(event{at: at, addr: someone, Event: offence.Event{Reason: offence.AuthFail, User: user, Count: 4}})
	}
	for i := range 100 {
		fail(noon.Add(time.Duration(i)*time.Second), 1)
	}
	at := noon.Add(99 * time.Second)
	if got := score(b, at); got != 3 {
		t.Errorf("one name: %v points", got)
	}
	if got := score(b, at.Add(59*time.Second)); got != 3 {
		t.Errorf("it counts from the last time: %v points", got)
	}
	if got := score(b, at.Add(time.Minute)); got != 0 {
		t.Errorf("a window after the last time: %v points", got)
	}
	for user := range uint64(5) {
		fail(at, user)
		fail(at, user)
	}
	if got := score(b, at); got != 15 {
		t.Errorf("four names and none: %v points", got)
	}
}

// TestAuthUnnamed: sendmail 8.15 and older names no user. A device with an old
// password, or somebody who mistypes, is not blocked however long it takes; who
// guesses is.
func TestAuthUnnamed(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration
		lines int
		count uint32
		block bool
	}{
		"a phone every 15 minutes for two days": {15 * time.Minute, 192, 1, false},
		"every two minutes for a day":           {2 * time.Minute, 720, 1, false},
		"every minute for a day":                {time.Minute, 1440, 1, false},
		"six mistypes":                          {5 * time.Second, 6, 1, false},
		"ten at once":                           {0, 10, 1, false},
		"ten in one repeated line":              {0, 1, 10, false},
		"60 in eight minutes":                   {8 * time.Second, 60, 1, true},
		"60 at once":                            {0, 60, 1, true},
		"60 in one repeated line":               {0, 1, 60, true},
		"3,000 a day":                           {29 * time.Second, 200, 1, true},
		"2,000 a day":                           {43 * time.Second, 2000, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			for i := range c.lines {
				b.feed(event{at: noon.Add(time.Duration(i) * c.every), addr: someone, Event: offence.Event{Reason: offence.AuthFail, Count: c.count}})
			}
			if got := len(b.verdicts) > 0; got != c.block {
				t.Errorf("blocked %v", got)
			}
		})
	}
}

// A source of an older snapshot has a tag of its session where the bucket is now.
func TestAuthUnnamedOfOldSnapshots(t *testing.T) {
	m := mark{second: 1000, weight: 60, extra: unnamedUser, session: 40_000, origin: origin(0, offence.AuthFail)}
	next := mark{second: 1000, weight: 60, extra: unnamedUser, session: 1, origin: m.origin}
	if list, scored := addUser([]mark{m}, next); scored || len(list) != 1 || list[0].session != unnamedLeak {
		t.Errorf("%+v", list)
	}
}

// Old names that are tried again count in a window that had lost them.
func TestAuthUsersComeBack(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{
			{Name: "burst", Window: 10 * time.Minute, Score: 10, Block: time.Hour},
			{Name: "drip", Window: 24 * time.Hour, Score: 1000, Block: time.Hour},
		}
	})
	for round := range 2 {
		for user := range 4 {
			at := noon.Add(time.Duration(user)*11*time.Minute + time.Duration(round)*2*time.Hour)
			if round > 0 {
				at = noon.Add(2*time.Hour + time.Duration(user)*time.Minute)
			}
			v := b.feed(event{at: at, addr: someone, Event: offence.Event{Reason: offence.AuthFail, User: uint64(user) + 1}})
			if fired := len(v) > 0; fired != (round == 1 && user == 3) {
				t.Errorf("round %d, name %d: %v", round, user, v)
			}
		}
	}
}

// Whatever a 4xx reports does not score, but for those that are judgements.
func TestTemporary(t *testing.T) {
	judged := []offence.Reason{offence.RateLimit, offence.ConnLimit, offence.BadCommand, offence.BareNewline}
	for _, r := range offence.Reasons() {
		b := newBench(t, oneRule(time.Minute, time.Hour, 1))
		for i := range 10 {
			b.feed(event{at: noon.Add(time.Duration(i) * time.Second), addr: someone, Event: offence.Event{Reason: r, Temporary: true}})
		}
		if got, want := len(b.verdicts) > 0, slices.Contains(judged, r); got != want {
			t.Errorf("%v: blocked %v", r, got)
		}
	}
	for _, r := range []offence.Reason{offence.DNSBLTempfail, offence.RDNSTemp, offence.SenderDomainTemp} {
		j := newJudgement(Config{Weights: map[string]float64{r.String(): 100}})
		if w := j.weight(&offence.Event{Reason: r}); w != 0 {
			t.Errorf("%v weighs %v", r, w)
		}
	}
}

// Every reason is of one kind only, and there is room for all of them.
func TestKinds(t *testing.T) {
	if attackerOnly&contextOnly != 0 || attackerOnly&clientsOwn != 0 || clientsOwn&contextOnly != 0 {
		t.Error("a reason is of two kinds")
	}
	for _, r := range offence.Reasons() {
		if r >= 1<<reasonBits {
			t.Errorf("%v does not fit into an origin", r)
		}
	}
}

// "message repeated N times" counts N times.
func TestRepeatedLine(t *testing.T) {
	b := newBench(t, oneRule(time.Minute, time.Hour, 24))
	v := b.feed(event{at: noon, addr: someone, Event: offence.Event{Reason: offence.OpenProxy, Count: 3}})
	if len(v) != 1 || v[0].Score != 24 {
		t.Errorf("%v", v)
	}
}

// A source with more offences than are remembered one by one loses none of its
// points before their time, and no more than a quarter of its age in
// resolution.
func TestMerging(t *testing.T) {
	b := newBench(t, oneRule(7*day, time.Hour, 10_000))
	for i := range 2000 {
		b.offend(noon.Add(time.Duration(i)*time.Minute), someone, offence.SenderDomain)
	}
	last := noon.Add(1999 * time.Minute)
	status, _ := b.d.Source(mustAddr(someone), last)
	if got := status.Rules[0].Score; got != 2000 {
		t.Errorf("%v points of 2000", got)
	}
	key := b.d.sources.keyFor(mustAddr(someone), 64)
	s := b.d.sources.at(b.d.sources.find(&key))
	offences := b.d.sources.offences(s)
	if len(offences) > maxMarks {
		t.Errorf("%d offences are remembered", len(offences))
	}
	for i := 1; i < len(offences); i++ {
		gap := offences[i].second - offences[i-1].second
		age := unixSecond(last) - offences[i-1].second
		if gap > 60 && gap > age/4 {
			t.Errorf("offences of %d and %d seconds ago follow one another", age, age-gap)
		}
	}
	if got := total(t, b.registry, "uppercut_scores_merged_total"); got != 2000-maxMarks {
		t.Errorf("%v times merged", got)
	}
}

// Merging takes offences of one host and reason first, then of one reason, and
// gives up the oldest only if there is nothing else.
func TestMergeOldest(t *testing.T) {
	o := func(second uint32, host uint16, r offence.Reason, session uint16) mark {
		return mark{second: second, weight: 20, session: session, extra: 1, origin: origin(host, r)}
	}
	for name, c := range map[string]struct{ list, want []mark }{
		"the same host": {
			[]mark{o(1, 1, 5, 7), o(2, 2, 5, 7), o(3, 1, 5, 7), o(100, 3, 6, 7)},
			[]mark{{1, 40, 7, 2, origin(1, 5)}, o(2, 2, 5, 7), o(100, 3, 6, 7)},
		},
		"another host": {
			[]mark{o(1, 1, 5, 7), o(3, 2, 5, 8), o(100, 3, 6, 7)},
			[]mark{{1, 40, severalSessions, 2, origin(1, 5)}, o(100, 3, 6, 7)},
		},
		"nothing alike": {
			[]mark{o(1, 1, 5, 7), o(3, 2, 6, 8)},
			[]mark{o(3, 2, 6, 8)},
		},
		"users lose their names": {
			[]mark{{1, 60, 1, 50, origin(1, offence.AuthFail)}, {2, 60, 1, 51, origin(1, offence.AuthFail)}},
			[]mark{{1, 120, 1, mergedUsers, origin(1, offence.AuthFail)}},
		},
		"too heavy to merge": {
			[]mark{{1, maxWeight, 1, 1, origin(1, 5)}, {2, 1, 1, 1, origin(1, 5)}},
			[]mark{{2, 1, 1, 1, origin(1, 5)}},
		},
	} {
		if got := mergeOldest(slices.Clone(c.list)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// IPv6 is counted by prefix, but for networks where a prefix is everybody.
func TestSourcePrefix(t *testing.T) {
	b := newBench(t, oneRule(time.Minute, time.Hour, 12))
	for addr, want := range map[string]string{
		"192.0.2.1":                "192.0.2.1/32",
		"::ffff:192.0.2.1":         "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64",
		"fe80::1%eth0":             "fe80::/64",
		"64:ff9b::192.0.2.1":       "64:ff9b::c000:201/128",
		"64:ff9b:1::1":             "64:ff9b:1::/64",
		"2001:0:c000:201::ffff:1":  "2001:0:c000:201::ffff:1/128",
		"2001:1::1":                "2001:1::/64",
		"2002:c000:201:1::1":       "2002:c000:201:1::/64",
		"2001:db8:ffff:ffff::ffff": "2001:db8:ffff:ffff::/64",
	} {
		p := sourcePrefix(mustAddr(addr), 64)
		if p.String() != want {
			t.Errorf("%s is counted as %v, want %s", addr, p, want)
		}
		key := b.d.sources.key(p)
		if back := prefixOf(key.addr, key.bits); back != p || key != b.d.sources.keyFor(mustAddr(addr), 64) {
			t.Errorf("%v comes back as %v", p, back)
		}
	}
	b.offend(noon, "2001:db8::1", offence.Pregreet)
	v := b.offend(noon, "2001:db8::ffff:2", offence.Pregreet)
	if len(v) != 1 || fmt.Sprint(v[0].Prefix) != "2001:db8::/64" {
		t.Errorf("%v", v)
	}
}
