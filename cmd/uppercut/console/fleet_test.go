package console

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// attacked is the address that the pages' tests are about.
var attacked = netip.MustParseAddr("203.0.113.9")

// fleet is a fake that looks like a busy day, around the present.
func fleet() *fake {
	f := newFake()
	f.now = time.Now().Truncate(time.Second)
	f.status.Started, f.status.Now = f.now.Add(-76*time.Hour), f.now
	f.status.TrackedSources, f.status.HostsSeen, f.status.HostsSilent, f.status.BreakersOpen = 48211, 12, 1, 1
	f.status.BlockLatencyP50, f.status.BlockLatencyP99 = Duration(430*time.Microsecond), Duration(2900*time.Microsecond)
	f.status.Totals = Totals{
		Received: 184_220_118, Judged: 184_220_118, NotUnderstood: 1204, Rejections: 3_120_778, MailAccepted: 812_334,
		Blocks: 18_224, Unblocks: 17_010, DroppedPackets: 4_811_202, DroppedBytes: 294_811_202,
	}
	random := rand.New(rand.NewPCG(1, 2))
	reasons := []string{"dnsbl", "no_rdns", "relay_denied", "unknown_user", "auth_fail", "pregreet", "rate_limit"}
	for i := range 240 {
		at := f.now.Add(-time.Duration(random.IntN(3600)) * time.Second)
		f.add(Block{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(100 + i/200), byte(i)}), 32), At: at,
			Until: at.Add(time.Hour), Rule: []string{"burst", "burst", "steady"}[i%3], Score: 10 + float64(random.IntN(40))/2,
			Reason: reasons[random.IntN(len(reasons))], Hosts: []string{fmt.Sprintf("mx%d", 1+i%6)},
		})
	}
	f.add(Block{
		Prefix: netip.MustParsePrefix("2001:db8:77::/64"), Rule: "manual", At: f.now.Add(-5 * time.Minute), Author: "anna",
		Note: "Ticket 4711: scans our submission port",
	})
	f.addAttacked()
	for i := range 12 {
		f.senders = append(f.senders, Sender{
			Host: fmt.Sprintf("mx%d", i+1), Sender: fmt.Sprintf("192.0.2.%d", i+10), Transport: []string{"tls", "tcp", "udp"}[i%3],
			Last: f.now.Add(-time.Duration(i) * time.Second), Expected: true, Messages: 15_000_000 / uint64(i+1),
			Rejections: 240_000 / uint64(i+1), Accepted: 70_000 / uint64(i+1), Understood: 14_000_000 / uint64(i+1),
		})
	}
	f.senders[3].Silent, f.senders[3].Last = true, f.now.Add(-47*time.Minute)
	f.senders[8].NothingUnderstood, f.senders[8].Foreign, f.senders[8].ForeignTag = true, f.senders[8].Messages, "3f2a1b4c5d6e"
	f.senders[9].SourceLost, f.senders[9].LastLoss, f.senders[9].LossText = 45_100, f.now.Add(-time.Minute), "Suppressed 45100 messages from sendmail.service"
	f.senders = append(f.senders, Sender{Sender: "203.0.113.40", Transport: "tcp", Last: f.now.Add(-time.Second), Refused: &Refused{
		Reason: "acl", Why: "not in receiver.senders", First: f.now.Add(-time.Hour), Attempts: 812,
	}})
	f.senders[5].BreakerOpen, f.senders[7].Skew = true, Duration(2*time.Hour)
	f.samples = []Sample{
		{f.now.Add(-time.Minute), "sendmail", "", "192.0.2.12", "mx3", 42, "NOQUEUE: something that no sendmail has written before"},
		{f.now.Add(-time.Hour), "framing", "", "192.0.2.15", "", 3, "\x16\x03\x01\x02"},
	}
	f.audit = []AuditEntry{
		{f.now.Add(-5 * time.Minute), "block", "anna", "Ticket 4711: scans our submission port", []netip.Prefix{netip.MustParsePrefix("2001:db8:77::/64")}, 1, 0, "", time.Time{}},
		{f.now.Add(-2 * time.Hour), "close_breaker", "boris", "the map is right again", nil, 0, 0, "mx6", time.Time{}},
		{f.now.Add(-26 * time.Hour), "unblock", "root", "customer called", []netip.Prefix{netip.PrefixFrom(attacked, 32), netip.MustParsePrefix("198.51.100.0/24")}, 31, 2, "", time.Time{}},
		{f.now.Add(-27 * time.Hour), "reload", "root", "", nil, 0, 1, "", time.Time{}},
	}
	for i := range 8 {
		f.rejected = append(f.rejected, Rejection{
			Time: f.now.Add(-time.Duration(i*7) * time.Second), Addr: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 9+i)), Host: fmt.Sprintf("mx%d", 1+i%4), Sender: "10.25.0.11",
			Reason: []string{"dnsbl", "auth_fail", "relay_denied", "unknown_user"}[i%4],
			Text:   fmt.Sprintf("ruleset=check_rcpt, arg1=<someone-with-a-long-name%d@example.org>, relay=host-%d.example.net [203.0.113.%d], reject=550 5.7.1 <someone-with-a-long-name%d@example.org>... Relaying denied", i, i, 9+i, i),
		})
	}
	f.open = []Breaker{
		{Host: "mx1"},
		{Host: "mx6", Open: true, Since: f.now.Add(-12 * time.Minute), SetAside: 1893, Reason: "7 of 11 sources with accepted mail are refused by this host alone"},
	}
	for _, a := range []Allowance{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Configured: true, Note: "our own hosts"},
		{Prefix: netip.MustParsePrefix("198.51.100.77/32"), At: f.now, Until: f.now.Add(72 * time.Hour), Author: "anna", Note: "partner migrates"},
	} {
		f.allowed[a.Prefix] = a
	}
	f.config = "mode: enforce\nstate_dir: /var/lib/uppercut\nreceiver:\n  udp:\n    - 0.0.0.0:514\n  tcp:\n    - 0.0.0.0:514\ndetector:\n  rules:\n    - {name: burst, window: 10m, score: 10, block: 1h}\n    - {name: steady, window: 24h, score: 40, block: 24h}\n"
	return f
}

// addAttacked blocks the address that the pages' tests are about.
func (f *fake) addAttacked() {
	own := netip.PrefixFrom(attacked, 32)
	at := f.now.Add(-14 * time.Minute)
	f.add(Block{
		Prefix: own, At: at, Until: at.Add(time.Hour), Rule: "burst", Score: 12.5, Reason: "unknown_user", Hosts: []string{"mx1", "mx4"},
	})
	w := Why{
		Addr: attacked, Source: own,
		Rules: []RuleScore{
			{Rule: "burst", Window: Duration(30 * time.Minute), Score: 12, Limit: 10, Block: Duration(time.Hour)},
			{Rule: "steady", Window: Duration(24 * time.Hour), Score: 18, Limit: 40, Block: Duration(24 * time.Hour)},
		},
		Accepted: Accepted{Messages: 2, Delivered: 1, Last: f.now.Add(-40 * time.Hour)},
		History: []PastBlock{{
			Block: Block{Prefix: own, At: f.now.Add(-30 * time.Hour), Until: f.now.Add(-29 * time.Hour), Rule: "burst", Score: 10},
			Ended: f.now.Add(-29 * time.Hour), Cause: "unknown",
		}},
	}
	for i := range 12 {
		t := f.now.Add(-time.Duration(28-i) * time.Minute)
		if i < 4 {
			t = f.now.Add(-time.Duration(20-3*i) * time.Hour)
		}
		if i >= 4 {
			w.Rules[0].Course = append(w.Rules[0].Course, ScorePoint{t, 1.5 * float64(i-3)})
		}
		w.Rules[1].Course = append(w.Rules[1].Course, ScorePoint{t, 1.5 * float64(i+1)})
		w.Evidence = append(w.Evidence, Evidence{
			Time: t, Sender: "192.0.2.10", Host: "mx1", Transport: "tls", Reason: "unknown_user",
			Text: fmt.Sprintf("7ANAB%03d: <user%d@example.org>... User unknown, relay=[203.0.113.9]", i, i),
		})
	}
	f.why[attacked] = w
}

// counted is a time of the history.
type counted struct {
	h  *history
	at time.Time
}

func (c counted) add(m measure, name string, n uint64) { c.h.count(c.at, m, name, n) }

// fill gives a console a history and events like those of a busy day.
func fill(c *Console, now time.Time) {
	random := rand.New(rand.NewPCG(3, 4))
	weights := map[string]float64{
		"dnsbl": 900, "no_rdns": 420, "relay_denied": 130, "unknown_user": 260, "auth_fail": 180, "pregreet": 90, "rate_limit": 40,
		"bad_command": 20, "null_connection": 60,
	}
	for i := range slots {
		at := now.Add(-time.Duration(i) * slotWidth)
		wave := 1 + 0.4*math.Sin(float64(i)/18)
		if i > 40 && i < 60 {
			wave *= 2.4
		}
		s := counted{c.history, at}
		for name, w := range weights {
			n := uint64(w * wave * (0.7 + 0.6*random.Float64()))
			s.add(rejectionsByReason, name, n)
			s.add(rejectionsByHost, fmt.Sprintf("mx%d", 1+random.IntN(4)), n)
			s.add(blocksByRule, []string{"burst", "steady"}[random.IntN(2)], n/40)
			s.add(blocksByReason, name, n/40)
			s.add(blocksByHost, "mx1", n/40)
		}
	}
	for i := range 12 {
		c.Publish(Event{
			Time: now.Add(-time.Duration(12-i) * 7 * time.Second), Kind: EventBlock, Rule: "burst", Reason: "dnsbl", Host: fmt.Sprintf("mx%d", i%4+1),
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32), Text: "score 10.5 from 3 hosts",
		})
	}
	c.Publish(Event{Time: now, Kind: EventGuard, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Text: "own address, not blocked"})
	c.Publish(Event{Time: now, Kind: EventUnblock, Prefix: netip.MustParsePrefix("198.51.100.2/32"), Text: "expired"})
	c.Publish(Event{Time: now, Kind: EventBreaker, Host: "mx6", Text: "opened: 7 of 11 sources are refused by this host alone"})
}
