package detector

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"uppercut/detector/sendmail"

	"github.com/go-viper/mapstructure/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
)

// A scenario is a text archive in testdata/scenarios: a story, then
//
//	-- config --    what differs from the default configuration, in YAML
//	-- exempt --    prefixes that must not be blocked
//	-- log --       what happens, see happening
//	-- verdicts --  every verdict, see expectation; empty: nobody is blocked
//	-- metrics --   NAME VALUE, summed over labels; a VALUE with a + is a minimum
//
// Times are those of 23 November 2026, UTC; 1+08:00:00 is a day later.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScenario(t, archive)
			s.play(func(d *Detector) player { return d })
			s.compare()
			for _, lines := range []int{1, 7, 1000} {
				apart := newScenario(t, archive)
				apart.play(func(d *Detector) player { return newTwoHalves(t, d, lines, apart.take) })
				if !reflect.DeepEqual(s.verdicts, apart.verdicts) {
					t.Errorf("halves apart, %d lines an epoch: %d verdicts that are not the %d of the whole", lines, len(apart.verdicts), len(s.verdicts))
				}
			}
		})
	}
}

// scenario is a story under way.
type scenario struct {
	t            *testing.T
	config       Config
	exempt       []netip.Prefix
	happenings   []happening
	expectations []expectation
	metrics      []string
	registry     *prometheus.Registry
	lines        []scenarioLine
	pid          uint32
	verdicts     []Verdict
}

type scenarioLine struct {
	received, at time.Time
	sender, host string
	transport    string
	stamp        Stamp
	pid          uint32
	text         string
}

func newScenario(t *testing.T, archive *txtar.Archive) *scenario {
	t.Helper()
	s := &scenario{t: t, config: DefaultConfig(), registry: prometheus.NewPedanticRegistry()}
	s.config.MaxSources, s.config.EvidenceBytes = 100_000, 1<<20
	for _, f := range archive.Files {
		lines := section(f.Data)
		switch f.Name {
		case "config":
			s.configure(f.Data)
		case "exempt":
			for _, l := range lines {
				s.exempt = append(s.exempt, netip.MustParsePrefix(l))
			}
		case "log":
			for _, l := range lines {
				s.happenings = append(s.happenings, parseHappening(t, l))
			}
		case "verdicts":
			for _, l := range lines {
				s.expectations = append(s.expectations, parseExpectation(t, l))
			}
		case "metrics":
			s.metrics = lines
		default:
			t.Fatalf("unknown section %q", f.Name)
		}
	}
	return s
}

// section returns the lines of a section without comments.
func section(data []byte) (lines []string) {
	for l := range strings.Lines(string(data)) {
		l, _, _ = strings.Cut(l, "#")
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

func (s *scenario) configure(text []byte) {
	s.t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		s.t.Fatal(err)
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		DecodeHook: mapstructure.StringToTimeDurationHookFunc(), ErrorUnused: true, Result: &s.config,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := decoder.Decode(values); err != nil {
		s.t.Fatal(err)
	}
}

// happening is one line of a log section:
//
//	TIME WHAT by CLIENTS at HOSTS [KEY=VALUE...]
//
// CLIENTS is an address, a range A-B, or FIRST*N for N IPv6 /64s. HOSTS is a
// name or a range mx1-mx10. Every client does it at every host. Keys:
//
//	times=N every=D   it happens N times, D apart (1, 1s)
//	stagger=D         each further client begins D later (0s)
//	session=one       a client's times belong to one SMTP session for each host
//	user=NAME         of an AUTH attempt; NAME% appends the number of the time
//	clock=D           the host's clock is ahead by D
//	local=D           the host writes neither year nor zone, and lives D east of UTC
//	drain=TIME/D      the lines arrive at TIME, all within D
//	sender=NAME       who sends the lines (relay)
type happening struct {
	at       time.Time
	what     string
	clients  []netip.Addr
	hosts    []string
	times    int
	every    time.Duration
	stagger  time.Duration
	one      bool
	user     string
	clock    time.Duration
	local    bool
	drain    time.Time
	drainFor time.Duration
	sender   string
}

func parseHappening(t *testing.T, line string) happening {
	t.Helper()
	f := strings.Fields(line)
	if len(f) < 6 || f[2] != "by" || f[4] != "at" {
		t.Fatalf("TIME WHAT by CLIENTS at HOSTS: %q", line)
	}
	h := happening{
		at: clockTime(t, f[0]), what: f[1], clients: clients(t, f[3]), hosts: hostRange(t, f[5]),
		times: 1, every: time.Second, user: "alice", sender: "relay",
	}
	for _, option := range f[6:] {
		h.option(t, option)
	}
	return h
}

func (h *happening) option(t *testing.T, option string) {
	t.Helper()
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "times":
		h.times = number(t, value)
	case "every":
		h.every = duration(t, value)
	case "stagger":
		h.stagger = duration(t, value)
	case "session":
		h.one = value == "one"
	case "user":
		h.user = value
	case "clock":
		h.clock = duration(t, value)
	case "local":
		h.clock, h.local = duration(t, value), true
	case "drain":
		at, within, _ := strings.Cut(value, "/")
		h.drain, h.drainFor = clockTime(t, at), duration(t, within)
	case "sender":
		h.sender = value
	default:
		t.Fatalf("unknown option %q", option)
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// clockTime reads [DAYS+]HH:MM:SS.
func clockTime(t *testing.T, s string) time.Time {
	t.Helper()
	days, clock, ok := strings.Cut(s, "+")
	if !ok {
		days, clock = "0", s
	}
	at, err := time.Parse(time.TimeOnly, clock)
	if err != nil {
		t.Fatal(err)
	}
	return noon.Truncate(day).AddDate(0, 0, number(t, days)).Add(at.Sub(at.Truncate(day)))
}

func clients(t *testing.T, s string) (list []netip.Addr) {
	t.Helper()
	if first, count, ok := strings.Cut(s, "*"); ok {
		b := netip.MustParseAddr(first).As16()
		for n := range number(t, count) {
			b[4], b[5], b[6], b[7] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
			list = append(list, netip.AddrFrom16(b))
		}
		return list
	}
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	for a := netip.MustParseAddr(first); a.Compare(netip.MustParseAddr(last)) <= 0; a = a.Next() {
		list = append(list, a)
	}
	return list
}

func hostRange(t *testing.T, s string) (list []string) {
	t.Helper()
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return []string{s}
	}
	stem := strings.TrimRight(first, "0123456789")
	for n := number(t, first[len(stem):]); n <= number(t, last[len(stem):]); n++ {
		list = append(list, stem+strconv.Itoa(n))
	}
	return list
}

// play writes the lines, sorts them by arrival and lets the Detector judge
// them, with a Tick each second in between.
func (s *scenario) play(by func(*Detector) player) {
	s.t.Helper()
	for i := range s.happenings {
		s.write(&s.happenings[i])
	}
	slices.SortStableFunc(s.lines, func(a, b scenarioLine) int {
		return cmp.Or(a.received.Compare(b.received), a.at.Compare(b.at))
	})
	d, err := New(s.config, Options{Registerer: s.registry, Local: time.UTC, Exempt: s.allowed, Holes: s.holes})
	if err != nil {
		s.t.Fatal(err)
	}
	parser, err := sendmail.NewParser(s.config.Texts)
	if err != nil {
		s.t.Fatal(err)
	}
	p := by(d)
	tick := time.Time{}
	for i := range s.lines {
		sl := &s.lines[i]
		if sl.received.Sub(tick) >= time.Second {
			tick = sl.received
			s.take(p.Tick(tick))
		}
		l := sl.line(uint64(i))
		parser.Parse(sl.text, &l.Record)
		if verdicts := p.Observe(&l); len(verdicts) > 0 {
			s.take(verdicts) // halves that are apart give them to take themselves
		}
	}
	for range 120 {
		tick = tick.Add(time.Second)
		s.take(p.Tick(tick))
	}
}

func (s *scenario) allowed(p netip.Prefix) string {
	if slices.ContainsFunc(s.exempt, p.Overlaps) {
		return "allowlist"
	}
	return ""
}

func (s *scenario) holes(p netip.Prefix) (holes []netip.Prefix, cause string) {
	for _, e := range s.exempt {
		if p.Overlaps(e) {
			holes = append(holes, e)
		}
	}
	return holes, ""
}

func (s *scenario) take(verdicts []Verdict) { s.verdicts = append(s.verdicts, verdicts...) }

func (sl *scenarioLine) line(n uint64) Line {
	return Line{
		Number: n, Sender: sl.sender, Transport: sl.transport, Received: sl.received, Time: sl.at, Stamp: sl.stamp,
		Host: sl.host, Tag: "sm-mta", PID: sl.pid,
	}
}

func (s *scenario) write(h *happening) {
	for _, host := range h.hosts {
		for i, client := range h.clients {
			s.pid++
			for n := range h.times {
				if n > 0 && !h.one {
					s.pid++
				}
				at := h.at.Add(time.Duration(i)*h.stagger + time.Duration(n)*h.every)
				began := at
				if h.one {
					began = h.at
				}
				for _, text := range s.texts(h, client, began, n) {
					s.lines = append(s.lines, s.line(h, host, at, text))
				}
			}
		}
	}
}

func (s *scenario) line(h *happening, host string, at time.Time, text string) scenarioLine {
	l := scenarioLine{
		received: at, at: at.Add(h.clock), sender: h.sender, host: host, transport: "tcp",
		stamp: StampFull, pid: s.pid, text: text,
	}
	if h.local {
		l.stamp = StampLocal
		l.at = l.at.AddDate(-l.at.Year(), 0, 0)
	}
	if !h.drain.IsZero() {
		all := time.Duration(h.times-1)*h.every + time.Duration(len(h.clients)-1)*h.stagger
		done := float64(at.Sub(h.at)) / float64(max(all, 1))
		l.received = h.drain.Add(time.Duration(done * float64(h.drainFor)))
	}
	return l
}

// texts returns what sendmail writes when a client does something.
func (s *scenario) texts(h *happening, client netip.Addr, began time.Time, n int) []string {
	relay := "[" + client.String() + "]"
	if client.Is6() {
		relay = "[IPv6:" + client.StringExpanded() + "]"
	}
	id := queueID(began, s.pid, n)
	rcpt := func(reject string) []string {
		return []string{fmt.Sprintf("%s: ruleset=check_rcpt, arg1=<u%d@a.example>, relay=%s, reject=%s", id, n, relay, strings.ReplaceAll(reject, "ARG", fmt.Sprintf("<u%d@a.example>", n)))}
	}
	connect := func(answer string) []string {
		return []string{fmt.Sprintf("ruleset=check_relay, arg1=%s, arg2=127.0.0.2, relay=%s, reject=%s", relay, relay, answer)}
	}
	from := func(sender string, accepted int) string {
		return fmt.Sprintf("%s: from=<%s>, size=1000, class=0, nrcpts=%d, proto=ESMTP, daemon=MTA, relay=%s", id, sender, accepted, relay)
	}
	taken := id + ": to=<u@a.example>, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=31000, dsn=2.0.0, stat=Sent"
	unknown := fmt.Sprintf("%s: <nobody%d@a.example>... User unknown", id, n)
	switch h.what {
	case "accepted":
		return []string{from("a@b.example", 1), taken}
	case "delivered":
		return []string{fmt.Sprintf("%s: to=<x@b.example>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30000, relay=mx.b.example. %s, dsn=2.0.0, stat=Sent (ok)", id, relay)}
	case "unknown_user":
		return []string{unknown, from("a@b.example", 0)}
	case "partly_unknown": // one good recipient, one bad
		return []string{unknown, from("a@b.example", 1), taken}
	case "backscatter":
		return []string{unknown, from("", 0)}
	case "relay_denied":
		return rcpt("550 5.7.1 ARG... Relaying denied")
	case "trap":
		return append(rcpt("550 5.7.1 ARG... Spam trap hit"), from("a@b.example", 0))
	case "access_denied":
		return rcpt("550 5.7.1 ARG... Access denied")
	case "system_failure":
		return rcpt("451 4.3.0 Temporary system failure. Please try again later.")
	case "dnsbl":
		return connect("550 5.7.1 Rejected: " + client.String() + " listed at zen.dnsbl.example")
	case "dnsbl_down":
		return connect("451 4.4.3 Temporary lookup failure of " + client.String() + " at zen.dnsbl.example")
	case "rate_limit":
		return connect("421 4.3.2 Connection rate limit exceeded.")
	case "pregreet":
		return []string{fmt.Sprintf("rejecting commands from %s %s due to pre-greeting traffic after 1 seconds", relay, relay)}
	case "open_proxy":
		return []string{fmt.Sprintf("%s: %s: probable open proxy: command=GET http://x/", id, relay)}
	case "probe":
		return []string{fmt.Sprintf("%s: %s did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", id, relay)}
	case "auth_fail":
		user := h.user
		if stem, ok := strings.CutSuffix(user, "%"); ok {
			user = stem + strconv.Itoa(n)
		}
		return []string{fmt.Sprintf("%s: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=%s, relay=%s", id, user, relay)}
	}
	s.t.Fatalf("nobody knows how to %q", h.what)
	return nil
}

// queueID makes a queue id as sendmail does: the time, a counter, the process.
func queueID(at time.Time, pid uint32, n int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	at = at.UTC()
	id := []byte{
		digits[at.Year()%60], digits[at.Month()-1], digits[at.Day()], digits[at.Hour()], digits[at.Minute()], digits[at.Second()],
		digits[n/60%60], digits[n%60],
	}
	return fmt.Sprintf("%s%06d", id, pid)
}

// expectation is one line of a verdicts section:
//
//	N of PREFIX by RULE from TIME to TIME [until TIME]
//
// N verdicts on PREFIX or parts of it are given, all by the rule and for
// offences between the times.
type expectation struct {
	count    int
	prefix   netip.Prefix
	rule     string
	from, to time.Time
	until    time.Time
}

func parseExpectation(t *testing.T, line string) expectation {
	t.Helper()
	f := strings.Fields(line)
	if len(f) < 9 || f[1] != "of" || f[3] != "by" || f[5] != "from" || f[7] != "to" {
		t.Fatalf("N of PREFIX by RULE from TIME to TIME: %q", line)
	}
	e := expectation{
		count: number(t, f[0]), prefix: netip.MustParsePrefix(f[2]), rule: f[4],
		from: clockTime(t, f[6]), to: clockTime(t, f[8]),
	}
	if len(f) == 11 {
		e.until = clockTime(t, f[10])
	}
	return e
}

func (e *expectation) covers(v *Verdict) bool {
	return e.prefix.Overlaps(v.Prefix) && e.rule == v.Rule && !v.At.Before(e.from) && !v.At.After(e.to) &&
		(e.until.IsZero() || e.until.Equal(v.Until))
}

func (s *scenario) compare() {
	s.t.Helper()
	counts := make([]int, len(s.expectations))
	for i := range s.verdicts {
		v := &s.verdicts[i]
		at := slices.IndexFunc(s.expectations, func(e expectation) bool { return e.covers(v) })
		if at < 0 {
			s.t.Errorf("not expected: %v by %s with %v points at %v until %v", v.Prefix, v.Rule, v.Score, v.At, v.Until)
			continue
		}
		counts[at]++
	}
	for i, e := range s.expectations {
		if counts[i] != e.count {
			s.t.Errorf("%d verdicts on %v by %s, want %d", counts[i], e.prefix, e.rule, e.count)
		}
	}
	for _, line := range s.metrics {
		s.compareMetric(line)
	}
}

func (s *scenario) compareMetric(line string) {
	s.t.Helper()
	name, value, _ := strings.Cut(line, " ")
	value, least := strings.CutSuffix(value, "+")
	want, err := strconv.ParseFloat(value, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := total(s.t, s.registry, name); got != want && (!least || got < want) {
		s.t.Errorf("%s is %v, want %s", name, got, line)
	}
}

// total adds up a metric over its labels.
func total(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	t.Fatalf("no metric %s", name)
	return 0
}
