package detector

import (
	"errors"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the detector's own. They are written by the goroutine that owns
// the Detector and read by any.
type metrics struct {
	registerer prometheus.Registerer

	rejections    *prometheus.CounterVec
	accepted      *prometheus.CounterVec
	authFailures  *prometheus.CounterVec
	late          *prometheus.CounterVec
	ahead         *prometheus.CounterVec
	lag           *prometheus.GaugeVec
	zone          *prometheus.GaugeVec
	breakerOpen   *prometheus.GaugeVec
	breakerOpened *prometheus.CounterVec
	setAside      *prometheus.CounterVec

	hostLines, sourceLost, sourceLosses *prometheus.CounterVec

	programs [][]prometheus.Counter           // by number of the program and kind of line
	rulesets map[string][2]prometheus.Counter // by ruleset; 0: for good, 1: temporarily
	lags     *lags

	judged, foreign, duplicates, undated prometheus.Counter
	tracked4, tracked6, limit            prometheus.Gauge
	evicted, merged                      prometheus.Counter
	ranOut, heldBack                     prometheus.Counter
	waiting, decided                     prometheus.Gauge
	lost, takenBack                      prometheus.Counter
	over, known                          prometheus.Gauge
	forgotten                            prometheus.Counter
	verdictsVec, suppressedVec           *prometheus.CounterVec
	verdicts, suppressed                 map[string]prometheus.Counter

	lines            map[offence.LineKind]prometheus.Counter
	sessions, held   prometheus.Gauge
	orphans, clashes prometheus.Counter
	unproven         prometheus.Counter
	stats            sendmail.Stats // at the last export
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{registerer: r, verdicts: map[string]prometheus.Counter{}, suppressed: map[string]prometheus.Counter{}}
	m.perHost()
	m.rulesetReplies()
	m.sources()
	m.decisions()
	m.memory()
	return m
}

func (m *metrics) perHost() {
	m.rejections = m.counters("uppercut_rejections_total", "Rejections by mail host and reason.", "host", "reason")
	m.accepted = m.counters("uppercut_mail_accepted_total", "Messages accepted for delivery (sendmail from= lines).", "host")
	m.authFailures = m.counters("uppercut_auth_failures_total", "Failed logins, of SMTP AUTH and other programs.", "host")
	m.late = m.counters("uppercut_late_lines_total", "Lines that arrived more than 2 minutes after their timestamp: a backlog, judged by its timestamps.", "host")
	m.ahead = m.counters("uppercut_clock_ahead_lines_total", "Lines dated more than 2 minutes after their arrival: a wrong clock, judged by arrival.", "host")
	m.lag = m.gauges("uppercut_host_lag_seconds", "Arrival of this host's newest line minus the time at which it was judged: large while a backlog is replayed.", "host")
	m.lags = register(m.registerer, newLags())
	m.hostLines = m.counters("uppercut_host_lines_total", "Lines of each host by how they were read; result is understood, unknown (of a program that is read, in an unrecognised format) or foreign (with a tag of no such program).", "host", "result")
	m.sourceLost = m.counters("uppercut_source_lost_messages_total", "Lines that the log daemons of this host report as dropped before they were forwarded.", "host")
	m.sourceLosses = m.counters("uppercut_source_losses_unknown_total", "Times that the log daemons of this host reported dropped lines without a number.", "host")
	m.zone = m.gauges("uppercut_host_zone_offset_seconds", "Time zone, east of UTC, learned for a host whose timestamps have none; 0 until then.", "host")
	m.breakerOpen = m.gauges("uppercut_breaker_open", "1 while the evidence of this mail host is disregarded because it refuses innocent clients.", "host")
	m.breakerOpened = m.counters("uppercut_breaker_opened_total", "Times that the breaker of this host opened; cause is partners or surge.", "host", "cause")
	m.setAside = m.counters("uppercut_breaker_set_aside_total", "Offences reported by this host that were not counted because its breaker was open.", "host")
}

func (m *metrics) rulesetReplies() {
	vec := m.counters("uppercut_ruleset_rejections_total", "SMTP rejections by sendmail ruleset and reply class.", "ruleset", "reply_class")
	m.rulesets = map[string][2]prometheus.Counter{}
	for _, r := range sendmail.Rulesets() {
		m.rulesets[r.String()] = [2]prometheus.Counter{vec.WithLabelValues(r.String(), "5xx"), vec.WithLabelValues(r.String(), "4xx")}
	}
}

// countReply counts the reply of a ruleset.
func (m *metrics) countReply(e *offence.Event) {
	class := 0
	if e.Temporary {
		class = 1
	}
	m.rulesets[e.Ruleset][class].Add(float64(max(1, e.Count)))
}

func (m *metrics) sources() {
	tracked := m.gauges("uppercut_tracked_sources", "Source addresses with a live score.", "family")
	m.tracked4, m.tracked6 = tracked.WithLabelValues("ipv4"), tracked.WithLabelValues("ipv6")
	m.limit = m.gauge("uppercut_tracked_sources_limit", "Maximum number of tracked source addresses.")
	m.evicted = m.counter("uppercut_tracked_sources_evicted_total", "Sources dropped early because the limit was reached.")
	m.merged = m.counter("uppercut_scores_merged_total", "Times that the oldest offences of a source were merged because of its limit.")
	m.judged = m.counter("uppercut_messages_judged_total", "Messages that the detector has judged, whatever the result.")
	m.foreign = m.counter("uppercut_foreign_lines_total", "Lines with a tag of no program that is read, except reports of dropped lines.")
	m.duplicates = m.counter("uppercut_duplicate_lines_total", "Lines that a sender sent again and that were not counted twice.")
	m.undated = m.counter("uppercut_undated_lines_total", "Lines without a usable time, judged by arrival.")
}

func (m *metrics) decisions() {
	m.verdictsVec = m.counters("uppercut_verdicts_total", "Decisions to block, by the rule that fired.", "rule")
	m.suppressedVec = m.counters("uppercut_verdicts_suppressed_total", "Sources that would have been blocked if they were not exempt, by cause.", "cause")
	m.ranOut = m.counter("uppercut_verdicts_ran_out_total", "Blocks that were not made because they would already have ended when their line arrived.")
	m.heldBack = m.counter("uppercut_verdicts_held_back_total", "Blocks that had to wait because of the ceiling of blocks per minute.")
	m.waiting = m.gauge("uppercut_verdicts_waiting", "Blocks waiting because of the ceiling of blocks per minute.")
	m.lost = m.counter("uppercut_verdicts_lost_total", "Blocks dropped because too many waited for the ceiling; their sources are judged again at their next offence.")
	m.over = m.gauge("uppercut_witnesses_over_limit", "Mail hosts that alone caused so many blocks within a minute, for what only an attacker does, that further ones wait.")
	m.decided = m.gauge("uppercut_correspondents_blocked", "Blocks of sources with accepted mail; a breaker that opens lifts those that depend on its host's evidence.")
	m.takenBack = m.counter("uppercut_verdicts_taken_back_total", "Blocks lifted because the breaker opened of a host whose evidence they depended on.")
	m.known = m.gauge("uppercut_judged_hosts", "Mail hosts that the judge distinguishes, by sender and by name in the line.")
	m.forgotten = m.counter("uppercut_judged_hosts_forgotten_total", "Mail hosts that were forgotten, with their evidence, to make room for others.")
}

func (m *metrics) memory() {
	lines := m.counters("uppercut_sendmail_lines_total", "sendmail's log lines by class.", "class")
	m.lines = map[offence.LineKind]prometheus.Counter{}
	for _, kind := range offence.LineKinds() {
		m.lines[kind] = lines.WithLabelValues(kind.String())
	}
	of := m.counters("uppercut_program_lines_total", "Log lines of other programs than sendmail by class.", "program", "class")
	m.programs = make([][]prometheus.Counter, 1, len(programs)+1)
	for _, p := range programs {
		var classes []prometheus.Counter
		for _, kind := range offence.LineKinds() {
			classes = append(classes, of.WithLabelValues(p.Name(), kind.String()))
		}
		m.programs = append(m.programs, classes)
	}
	m.sessions = m.gauge("uppercut_smtp_sessions", "SMTP sessions whose lines are being joined.")
	m.held = m.gauge("uppercut_smtp_session_lines_held", "Offences waiting for a line of their session that names the client.")
	m.orphans = m.counter("uppercut_orphaned_offences_total", "Offences that were not counted because no line of their session named the client.")
	m.clashes = m.counter("uppercut_session_conflicts_total", "Lines that named a different client than their session proves; they do not count against the client that they name.")
	m.unproven = m.counter("uppercut_unproven_lines_total", "Offences that had to wait because their line may have been cut in transit: no longer line had come from its host.")
}

// remember exports what the session memory has counted since the last time.
func (m *metrics) remember(s sendmail.Stats) {
	for _, kind := range offence.LineKinds() {
		m.lines[kind].Add(float64(s.Lines[kind] - m.stats.Lines[kind]))
	}
	m.sessions.Set(float64(s.Sessions))
	m.held.Set(float64(s.Held))
	m.orphans.Add(float64(s.Orphans - m.stats.Orphans))
	m.clashes.Add(float64(s.Conflicts - m.stats.Conflicts))
	m.unproven.Add(float64(s.Unproven - m.stats.Unproven))
	m.stats = s
}

// exemptions are the causes that start at 0.
var exemptions = []string{"allowlist", "own_address", "next_hop", "resolver", "sender", "ssh_peer", "reserved", "too_wide"}

// watched sets the number of hosts.
func (m *metrics) watched(h *hosts) {
	n := 0
	for range h.all {
		n++
	}
	m.known.Set(float64(n))
}

// configure makes the counters of the rules and causes.
func (m *metrics) configure(j *judgement) {
	for i := range j.rules {
		name := j.rules[i].name
		m.verdicts[name] = m.verdictsVec.WithLabelValues(name)
	}
	m.verdicts[neighbourhoodRule] = m.verdictsVec.WithLabelValues(neighbourhoodRule)
	for _, cause := range exemptions {
		m.suppressed[cause] = m.suppressedVec.WithLabelValues(cause)
	}
}

// suppress counts a block that an exemption has prevented.
func (m *metrics) suppress(cause string) {
	c := m.suppressed[cause]
	if c == nil {
		c = m.suppressedVec.WithLabelValues(cause)
		m.suppressed[cause] = c
	}
	c.Inc()
}

// track sets the number of sources.
func (m *metrics) track(t *table) {
	m.tracked4.Set(float64(t.ipv4))
	m.tracked6.Set(float64(t.count - t.ipv4))
}

// hostCounters are the counters of one host label.
type hostCounters struct {
	rejections                          [64]prometheus.Counter
	accepted, authFailures, late, ahead prometheus.Counter
	lag, zone, breakerOpen              prometheus.Gauge
	breakerOpened                       [2]prometheus.Counter
	setAside                            prometheus.Counter
}

func (m *metrics) forHost(label string) (c hostCounters) {
	for _, r := range offence.Reasons() {
		c.rejections[r] = m.rejections.WithLabelValues(label, r.String())
	}
	c.accepted = m.accepted.WithLabelValues(label)
	c.authFailures = m.authFailures.WithLabelValues(label)
	c.late = m.late.WithLabelValues(label)
	c.ahead = m.ahead.WithLabelValues(label)
	c.lag = m.lag.WithLabelValues(label)
	c.zone = m.zone.WithLabelValues(label)
	c.breakerOpen = m.breakerOpen.WithLabelValues(label)
	c.setAside = m.setAside.WithLabelValues(label)
	for cause := range c.breakerOpened {
		c.breakerOpened[cause] = m.breakerOpened.WithLabelValues(label, breakerCause(cause).String())
	}
	return c
}

// lineCounters count what was made of the lines of one host label.
type lineCounters struct {
	understood, unknown, foreign, lost, lostUntold prometheus.Counter
}

func (m *metrics) forHostLines(label string) lineCounters {
	return lineCounters{
		understood: m.hostLines.WithLabelValues(label, "understood"),
		unknown:    m.hostLines.WithLabelValues(label, "unknown"),
		foreign:    m.hostLines.WithLabelValues(label, "foreign"),
		lost:       m.sourceLost.WithLabelValues(label),
		lostUntold: m.sourceLosses.WithLabelValues(label),
	}
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	return register(m.registerer, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

func (m *metrics) gauge(name, help string) prometheus.Gauge {
	return register(m.registerer, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

func (m *metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(m.registerer, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

func (m *metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(m.registerer, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}

// register registers c, or returns what stands there under its name already: a
// Detector that replaces another goes on with its counters.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return already.ExistingCollector.(C)
	}
	if err != nil {
		panic(err) // two metrics of one name: a mistake in the program
	}
	return c
}
