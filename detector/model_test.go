package detector

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// A model judges one source the simple way: it keeps every offence in a list
// and adds them all up each time. It knows nothing of tables, marks, slabs,
// tags or twentieths.
type model struct {
	c        Config
	offences []modelOffence
	accepted []int64
	sent     []int64
	until    int64
	blocks   int
	unnamed  float64 // AUTH failures without a user name in the bucket
}

type modelOffence struct {
	second  int64
	reason  string
	host    string
	session uint64
	user    uint64
	points  float64
	count   int
	excess  bool // AUTH failures without a user name beyond the bucket
}

type modelVerdict struct {
	at, until int64
	rule      string
	score     float64
	hosts     int
}

func (m *model) feed(e *event) *modelVerdict {
	second := e.at.Unix()
	if second < m.until {
		return nil
	}
	switch e.Kind {
	case offence.Accepted:
		m.accepted = append(m.accepted, second)
	case offence.Delivered:
		m.sent = append(m.sent, second)
	case offence.Offence:
		if m.remember(e, second) {
			return m.judge(second, e.received.Unix())
		}
	}
	return nil
}

// remember returns whether the offence adds to the score.
func (m *model) remember(e *event, second int64) bool {
	reason := e.Reason.String()
	o := modelOffence{second, reason, e.host, e.Session, e.User, m.c.Weights[reason] * float64(e.Count), int(e.Count), false}
	tempFailure := e.Temporary && !slices.Contains([]string{"rate_limit", "conn_limit", "bad_command", "bare_newline"}, reason)
	bounce := e.NullSender && reason == "unknown_user"
	if tempFailure || bounce || o.points == 0 {
		return false
	}
	defer m.forget()
	if reason == "auth_fail" {
		o.points = m.c.Weights[reason]
		if o.user == 0 {
			return m.rememberUnnamed(o)
		}
		for i, known := range m.offences {
			if known.reason == reason && known.user == o.user {
				if second <= known.second {
					return false
				}
				m.offences[i].second, m.offences[i].session, m.offences[i].host = second, o.session, o.host
				return true
			}
		}
		m.offences = append(m.offences, o)
		return true
	}
	o.points = min(o.points, m.left(e.Session, reason))
	if o.points <= 0 {
		return false
	}
	m.offences = append(m.offences, o)
	return true
}

// rememberUnnamed: one a minute leaves the bucket, ten find room in it, and each
// further one counts for a third of a user name.
func (m *model) rememberUnnamed(o modelOffence) bool {
	scored, second := true, o.second
	i := slices.IndexFunc(m.offences, func(k modelOffence) bool { return k.reason == "auth_fail" && k.user == 0 && !k.excess })
	if i < 0 {
		m.unnamed = 0
		m.offences = append(m.offences, o)
	} else if known := &m.offences[i]; second > known.second {
		m.unnamed = max(0, m.unnamed-float64(second-known.second)/60)
		known.second, known.host = second, o.host
	} else {
		scored = false
	}
	m.unnamed += float64(o.count)
	if excess := math.Floor(m.unnamed - 10 + 1e-9); excess >= 1 {
		m.unnamed -= excess
		o.points, o.excess, scored = excess*o.points/3, true, true
		m.offences = append(m.offences, o)
	}
	return scored
}

var attackerReasons = []string{"pregreet", "open_proxy", "bogus_cmd", "smtp_attack", "auth_fail", "auth_decode", "long_input"}

var ownReasons = []string{"dnsbl", "tcpwrappers", "relay_denied", "ehlo_pipelining", "bad_command", "bad_helo"}

// left is what a session can still earn by a reason.
func (m *model) left(session uint64, reason string) float64 {
	left := 1e9
	if limit := m.c.SessionCaps[reason]; limit > 0 {
		left = limit
		for _, o := range m.offences {
			if o.session == session && o.reason == reason {
				left -= o.points
			}
		}
	}
	if reason == "rcpt_trap" || slices.Contains(attackerReasons, reason) {
		return left
	}
	total := m.c.SessionTotal
	for _, o := range m.offences {
		if o.session == session && o.reason != "rcpt_trap" && !slices.Contains(attackerReasons, o.reason) {
			total -= o.points
		}
	}
	return min(left, total)
}

// forget drops what is longer ago than the longest window, seen from the
// newest offence.
func (m *model) forget() {
	longest, newest := int64(0), int64(0)
	for _, r := range m.c.Rules {
		longest = max(longest, int64(r.Window/time.Second))
	}
	for _, o := range m.offences {
		newest = max(newest, o.second)
	}
	m.offences = slices.DeleteFunc(m.offences, func(o modelOffence) bool { return newest-o.second >= longest })
}

// judge looks at every window that holds the offence.
func (m *model) judge(second, received int64) *modelVerdict {
	var best *modelVerdict
	var bestBlock int64
	for _, r := range m.c.Rules {
		ends := []int64{}
		for _, o := range m.offences {
			if o.second >= second && o.second < second+int64(r.Window/time.Second) {
				ends = append(ends, o.second)
			}
		}
		slices.SortFunc(ends, func(a, b int64) int { return cmp.Compare(b, a) })
		for _, end := range ends {
			score, hosts := m.score(r, end)
			if score < r.Score-1e-6 || hosts < r.MinHosts {
				continue
			}
			if block := int64(r.Block / time.Second); best == nil || end+block > bestBlock {
				best, bestBlock = &modelVerdict{at: end, rule: r.Name, score: score, hosts: hosts}, end+block
				best.until = min(end, received) + m.grown(r, end)
			}
			break
		}
	}
	if best == nil {
		return nil
	}
	if best.until <= received { // it has run out already
		m.until = best.until
		return nil
	}
	if m.forgiven(best.at) {
		m.blocks = 0
	}
	m.blocks++
	m.until = best.until
	return best
}

func (m *model) forgiven(at int64) bool { return at-m.until >= int64(m.c.Repeat.Forget/time.Second) }

func (m *model) grown(r Rule, at int64) int64 {
	block := int64(r.Block / time.Second)
	if m.forgiven(at) {
		return block
	}
	grown := block
	for range m.blocks {
		grown = min(2*grown, max(block, int64(m.c.Repeat.Max/time.Second)))
	}
	return grown
}

func (m *model) score(r Rule, end int64) (score float64, hosts int) {
	width := int64(r.Window / time.Second)
	within := func(second, width int64) bool { return second <= end && second > end-width }
	var attacker, own, relayed, context, limits, unknown float64
	unknowns, sessions, unknownSessions, limitSessions, names := 0, map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}, map[string]bool{}
	for _, o := range m.offences {
		if !within(o.second, width) || len(r.Reasons) > 0 && !slices.Contains(r.Reasons, o.reason) ||
			len(r.Hosts) > 0 && !slices.Contains(r.Hosts, o.host) {
			continue
		}
		names[o.host] = true
		switch {
		case slices.Contains(attackerReasons, o.reason):
			attacker += o.points
		case slices.Contains([]string{"null_connection", "timeout", "lost_input", "premature_eom", "tls_fail"}, o.reason):
			context += o.points
		case o.reason == "unknown_user":
			unknown += o.points
			unknowns += o.count
			unknownSessions[o.session] = true
		case o.reason == "rate_limit", o.reason == "conn_limit":
			limits += o.points
			limitSessions[o.session] = true
		case slices.Contains(ownReasons, o.reason):
			own += o.points
			sessions[o.session] = true
		default:
			relayed += o.points
			sessions[o.session] = true
		}
	}
	if unknowns >= 3 && len(unknownSessions) >= 2 {
		relayed += unknown
		for s := range unknownSessions {
			sessions[s] = true
		}
	}
	week, credit, current, longest := 0, 0.0, false, int64(0)
	for _, rule := range m.c.Rules {
		longest = max(longest, int64(rule.Window/time.Second))
	}
	for _, s := range m.accepted {
		if within(s, 7*24*3600) {
			week++
		}
		current = current || within(s, longest)
		if within(s, width) {
			credit += m.c.Favour.Accepted
		}
	}
	for _, s := range m.sent {
		if within(s, width) {
			credit += m.c.Favour.Delivered
		}
	}
	if current {
		context += limits
	} else {
		relayed += limits
		for s := range limitSessions {
			sessions[s] = true
		}
	}
	partner := week >= m.c.Favour.Partner
	if partner {
		own = max(0, own-max(0, credit-relayed))
	}
	relayed = max(0, relayed-credit)
	if partner && len(sessions) < 2 {
		own, relayed = 0, 0
	}
	rest := attacker + own + relayed
	return rest + min(rest, context), len(names)
}

// The model is compared on so many random streams: this many configurations,
// each with that many sources.
const (
	modelConfigs = 100
	modelSources = 100
)

// Random streams of offences and mail get the same verdicts from the Detector
// as from the model.
func TestModel(t *testing.T) {
	blocked := 0
	for seed := range uint64(modelConfigs) {
		random := rand.New(rand.NewPCG(seed, 4))
		c := randomConfig(random)
		b := newBench(t, func(bc *Config, _ *Options) { c.MaxSources, c.EvidenceBytes = 1000, 64<<10; *bc = c })
		start := noon
		for i := range modelSources {
			m := &model{c: c}
			for _, e := range randomStream(random, start, i) {
				want := m.feed(&e)
				got := b.feed(e)
				if diff := compare(want, got); diff != "" {
					t.Fatalf("seed %d, source %d (%v %v at %d): %s", seed, i, e.Kind, e.Reason, e.at.Unix(), diff)
				}
				blocked += len(got)
				start = e.received
			}
		}
	}
	if blocked < modelConfigs*modelSources/10 {
		t.Errorf("only %d verdicts: the streams show nothing", blocked)
	}
	t.Logf("%d streams, %d verdicts", modelConfigs*modelSources, blocked)
}

func compare(want *modelVerdict, got []Verdict) string {
	switch {
	case want == nil && len(got) == 0:
		return ""
	case want == nil:
		return fmt.Sprintf("verdict %+v, the model has none", got)
	case len(got) != 1:
		return fmt.Sprintf("verdicts %+v, the model has %+v", got, *want)
	}
	v := got[0]
	same := modelVerdict{v.At.Unix(), v.Until.Unix(), v.Rule, want.score, v.Hosts}
	if same != *want || v.Score-want.score > 1e-6 || want.score-v.Score > 1e-6 {
		return fmt.Sprintf("verdict %+v score %v, the model has %+v", same, v.Score, *want)
	}
	return ""
}

func randomConfig(random *rand.Rand) Config {
	c := DefaultConfig()
	c.Breaker.Enabled = false
	c.Repeat.Forget = time.Duration(1+random.IntN(48)) * time.Hour
	c.Favour.Partner = 1 + random.IntN(20)
	c.Rules = nil
	for i := range 1 + random.IntN(3) {
		r := Rule{
			Name:   fmt.Sprintf("rule%d", i),
			Window: time.Duration(1+random.IntN(3600)) * time.Second,
			Score:  float64(1 + random.IntN(30)),
			Block:  time.Duration(1+random.IntN(7200)) * time.Second,
		}
		switch random.IntN(6) {
		case 0:
			r.Reasons = []string{"auth_fail", "unknown_user", "null_connection", "relay_denied"}
		case 1:
			r.Hosts = []string{"mx1", "mx2"}
		case 2:
			r.MinHosts = 1 + random.IntN(3)
		}
		c.Rules = append(c.Rules, r)
	}
	return c
}

// randomStream makes a source's life: bursts and pauses, a few sessions at a
// time, some lines late. It stays below the number of offences at which the
// oldest are merged.
func randomStream(random *rand.Rand, now time.Time, source int) (events []event) {
	all := offence.Reasons()
	favourites := []offence.Reason{all[random.IntN(len(all))], all[random.IntN(len(all))], offence.UnknownUser, offence.AuthFail}
	for range 10 + random.IntN(50) {
		if random.IntN(4) == 0 {
			now = now.Add(time.Duration(random.Int64N(int64(time.Hour))))
		}
		now = now.Add(time.Duration(random.Int64N(int64(20 * time.Second))))
		e := event{at: now, received: now, addr: fmt.Sprintf("198.51.100.%d", source), host: fmt.Sprintf("mx%d", 1+random.IntN(4))}
		if random.IntN(5) == 0 {
			e.at = now.Add(-time.Duration(random.Int64N(int64(30 * time.Minute))))
		}
		e.Session = uint64(1 + len(events)/4 + random.IntN(4))
		e.Count = 1
		switch random.IntN(10) {
		case 0:
			e.Kind = offence.Accepted
		case 1:
			e.Kind = offence.Delivered
		default:
			e.Reason = favourites[random.IntN(len(favourites))]
			e.Temporary, e.NullSender = random.IntN(10) == 0, random.IntN(10) == 0
			e.User = uint64(random.IntN(5))
			e.Count = uint32(1 + random.IntN(8)/7*4)
		}
		events = append(events, e)
	}
	return events
}
