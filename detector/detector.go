package detector

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Line is one log line of a mail host, header taken off and text parsed.
type Line struct {
	// Number is the caller's number for the line, for evidence and replay.
	Number uint64
	// Sender is who sent it: a fact (certificate name, address, file name).
	Sender string
	// Transport is how it came in: udp, tcp, tls, relp, unix, file.
	Transport string
	// Received is when it came in; in a replay the same as the line's time.
	Received time.Time
	// Time is the time in the header; Stamp says what is known of it.
	Time  time.Time
	Stamp Stamp
	// Host and Tag are what the header says: a claim.
	Host, Tag string
	// PID is the number behind the tag; 0 if there is none.
	PID uint32
	// Wrapper tells processes of one host apart whose PIDs may be equal, such as
	// those of several containers; "" for all others.
	Wrapper string
	// Size is how long the whole line was, header included, in bytes as they
	// came.
	Size int
	// Cut says that the end of the line is known to be missing, Relayed that its
	// header shows that another syslog daemon has passed it on, and may have cut
	// it.
	Cut, Relayed bool
	// Record is the parsed text.
	Record sendmail.Record

	// program is the number in programs of the one that wrote the line, from 1; 0
	// for sendmail and for those that are not read.
	program uint8
	// twice: the program writes each such line twice, moments apart.
	twice bool
	// hostKey is that of Sender and Host, sessionKey that of Wrapper, too;
	// digest the hash of tag, PID and text, by which a duplicate is told. They
	// are 0 before Digest.
	hostKey, sessionKey sendmail.HostKey
	digest              uint64
}

// Digest hashes what the line is told by. Observe hashes what was not; but
// Observe has one goroutine, and this any may call, once the other fields are
// set and before they change again.
func (l *Line) Digest() {
	l.hostKey = sendmail.HostKeyOf(l.Sender, l.Host)
	l.sessionKey = l.hostKey ^ sendmail.HostKey(l.program)*programFactor
	if l.Wrapper != "" {
		l.sessionKey ^= sendmail.HostKeyOf(l.Host, l.Wrapper)
	}
	if matters(&l.Record) {
		l.digest = l.hash()
	}
}

// route tells the ways apart on which a host's lines come: the transport, and
// whether another syslog daemon has passed the line on.
func (l *Line) route() int {
	n := len(l.Transport)
	if n > 1 {
		n = int(l.Transport[0])<<8 | int(l.Transport[1]) // udp, tcp, tls, relp, unix, file
	}
	if l.Relayed {
		n |= 1 << 16
	}
	return n
}

func (l *Line) hash() uint64 {
	digest := mix(xxhash.Sum64String(l.Record.Text), uint64(l.PID)^xxhash.Sum64String(l.Tag))
	if l.Wrapper != "" {
		digest ^= xxhash.Sum64String(l.Wrapper)
	}
	return digest | 1
}

// Stamp says how much of a header's time is known.
type Stamp uint8

// The values agree with the receiver's.
const (
	StampNone  Stamp = iota // no time
	StampLocal              // no year and no zone: year 0, UTC
	StampFull               // absolute
)

// Evidence is a line that led to a verdict. Secrets are masked.
type Evidence struct {
	Time      time.Time
	Received  time.Time
	Sender    string
	Host      string
	Transport string
	Reason    offence.Reason
	Text      string
}

// Verdict says: block Prefix until Until; or, with Lift, that some blocks stand
// no more.
type Verdict struct {
	Prefix netip.Prefix
	// At is the time of the deciding offence, Received when its line came in.
	At, Received time.Time
	// Until is when the block ends: offence plus duration, not arrival plus
	// duration.
	Until time.Time
	// Rule is the name of the rule that fired.
	Rule string
	// Score is the sum in the rule's window, in points.
	Score float64
	// Hosts is the number of distinct witnesses: senders with what they pass on,
	// and in files hosts.
	Hosts int
	// Witness is who alone reported what is more than context: what it says
	// nobody else has seen. "" if several did.
	Witness string
	// Evidence holds up to 20 lines, oldest first.
	Evidence []Evidence
	// Lift, if not empty, are blocks of exactly these prefixes that stand no more,
	// since the evidence of the mail host Host at Sender has been set aside. Of
	// the other fields only At is set.
	Lift         []netip.Prefix
	Sender, Host string
}

// Options are a Detector's collaborators. All functions are called by the
// goroutine that owns the Detector and must answer from memory. Where reading and
// judging are apart, HostLabel, HostRow, Witness and OnUnknown are called by who
// reads, OnNotice by either, the others by who judges.
type Options struct {
	// OnNotice, if not nil, hears of zones learned, breakers and exempt sources.
	OnNotice func(Notice)
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Local is the zone that a sender without a configured zone is first taken
	// to write in, beside UTC; nil is time.Local.
	Local *time.Location
	// HostLabel returns the metric label of a mail host. It must have few
	// values; nil gives "other" to all.
	HostLabel func(sender, host string) string
	// HostRow returns under which name HostLines lists a mail host; nil takes
	// HostLabel.
	HostRow func(sender, host string) string
	// Witness says who a sender is. It is asked about each once, and again by
	// Reconfigure. nil is for files: each host that a line names is a witness.
	Witness func(sender string) Witness
	// Exempt says why a prefix must not be blocked, "" if it may be. It is
	// asked before each verdict. nil exempts nobody.
	Exempt func(netip.Prefix) (cause string)
	// Holes says what a block of a whole network must leave out, or why it must
	// not be blocked even so. nil asks Exempt.
	Holes func(netip.Prefix) (holes []netip.Prefix, cause string)
	// OnEvent, if not nil, sees every event before it is judged, those of
	// duplicate lines included (replay reports, per-host metrics).
	OnEvent func(*Line, *offence.Event)
	// OnUnknown, if not nil, hears of every line of sendmail's that is of no known
	// form, with its text: of a line that came in parts that of all. The text is
	// valid until it returns, and secrets in it are not masked.
	OnUnknown func(l *Line, text string)
	// Blocked says whether a source that a verdict says is blocked really is. It
	// is asked once the enforcer has had 10 seconds for the verdict: a block may
	// have been refused, lifted, lost or only observed, and its source is judged
	// again. nil believes the verdicts.
	Blocked func(netip.Prefix) bool
	// OnBlockedSeen, if not nil, hears of every event of a source that a
	// verdict says is blocked at the event's time. Soon after the block that
	// is normal (open sessions, lines on their way); later it means that the
	// block does not work. It hears of none of which Blocked says otherwise.
	OnBlockedSeen func(l *Line, e *offence.Event, source netip.Prefix, until time.Time)
}

// Detector is the judge.
type Detector struct {
	options    Options
	metrics    *metrics
	judgement  *judgement
	parser     *sendmail.Parser // of split lines
	memory     *sendmail.Memory
	hosts      *hosts
	lines      *lineTable
	sources    *table
	ring       *ring
	ceiling    *ceiling
	networks   map[netip.Prefix]*network
	pardons    *pardons
	fleet      fleet
	decided    map[netip.Prefix]uint32 // see takeBack
	fresh      map[uint32]uint32       // second of arrival of the last verdict on a source, by number; for Options.Blocked
	duplicates map[uint64]struct{}     // numbers of duplicate lines that may be held for their session
	key        [16]byte                // of the hashes of user names
	restarts   uint64                  // sessions are numbered anew after each
	now        time.Time               // the latest arrival
	swept      uint32                  // where the search for dead sources stands

	line     *Line  // that is observed
	unknown  bool   // it is of no known form
	waiting  []Line // whose own event waits for the next line of their process
	events   []offence.Event
	verdicts []Verdict
	scratch  []mark
	quiet    func() // see Apart
	one      Epoch  // of Observe
	// What was read ahead by the two halves, so that the compiler lets it.
	fetched, fetchedSources uint32
}

// New returns a Detector with the rules of c.
func New(c Config, o Options) (*Detector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &Detector{
		options: o, metrics: newMetrics(o.Registerer),
		ring: newRing(c.EvidenceBytes), ceiling: newCeiling(),
		networks: map[netip.Prefix]*network{}, decided: map[netip.Prefix]uint32{}, pardons: &pardons{}, fresh: map[uint32]uint32{}, duplicates: map[uint64]struct{}{},
		sources: newTable(c.MaxSources, [2]uint64{mathrand.Uint64(), mathrand.Uint64()}),
		scratch: make([]mark, 0, maxMarks+1),
	}
	if _, err := rand.Read(d.key[:]); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	d.memory = d.newMemory()
	d.hosts = newHosts(o, d.metrics)
	d.lines = newLineTable(o, d.metrics)
	return d, d.Reconfigure(c)
}

func (d *Detector) newMemory() *sendmail.Memory {
	return sendmail.NewMemory(sendmail.MemoryOptions{Key: d.key, Parser: d.parser, OnUnknown: d.notUnderstood})
}

// Reconfigure replaces rules and weights and keeps every score, or changes
// nothing and says why. What is blocked stays blocked.
func (d *Detector) Reconfigure(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	reader, err := NewReader(c)
	if err != nil {
		return err
	}
	d.parser = reader.mail
	d.memory.UseParser(reader.mail)
	d.judgement = newJudgement(c)
	d.hosts.configure(c.Zones)
	d.metrics.configure(d.judgement)
	d.lines.forgetLabels()
	d.sources.resize(c.MaxSources)
	d.ring.resize(c.EvidenceBytes)
	d.metrics.limit.Set(float64(c.MaxSources))
	return nil
}

// Observe judges one line. The verdicts are valid until the next call.
func (d *Detector) Observe(l *Line) []Verdict {
	d.begin(l.Received)
	e := &d.one
	e.reads, e.events, e.repeated = e.reads[:0], e.events[:0], e.repeated[:0]
	d.Read(l, e)
	h := e.reads[len(e.reads)-1].host
	for i := range e.events {
		d.event(l, &e.events[i], h, slices.Contains(e.repeated, i))
	}
	return d.verdicts
}

// foreign takes a line that is none of sendmail's: it may tell of lines that
// never came.
func (d *Detector) foreign(l *Line) {
	lines := d.lines.of(l)
	loss, ok := lossOf(daemonOf(l.Tag), l.Record.Text)
	switch {
	case !ok:
		d.metrics.foreign.Inc()
		lines.foreign(l)
	case d.hosts.of(l).tells(l):
		lines.lost(loss, l)
	default:
		d.metrics.duplicates.Inc()
	}
}

// notUnderstood hears from the memory that the line is sendmail's and of no
// known form.
func (d *Detector) notUnderstood(r *sendmail.Record) {
	d.unknown = true
	if d.options.OnUnknown != nil {
		d.options.OnUnknown(d.line, r.Text)
	}
}

// matters tells that it makes a difference whether a line is seen twice. Most
// of what sendmail writes proves nothing about a client.
func matters(r *sendmail.Record) bool {
	return r.Kind != offence.LineInfo && r.Kind != offence.LineUnknown
}

// maxHeldDuplicates is how many duplicate lines may wait for their session to
// be known. A line that is forgotten scores again.
const maxHeldDuplicates = 8192

// noteDuplicate remembers that what a line proves, now or with its session,
// does not score.
func (d *Detector) noteDuplicate(number uint64) {
	if len(d.duplicates) >= maxHeldDuplicates {
		clear(d.duplicates)
	}
	d.duplicates[number] = struct{}{}
}

// begin forgets the last call's verdicts and moves on to a time of arrival.
func (d *Detector) begin(now time.Time) {
	d.verdicts = d.verdicts[:0]
	if now.After(d.now) {
		d.now = now
	}
	d.release(unixSecond(d.now))
}

// Tick does what is due by now without a line: waiting verdicts, breakers that
// close. The verdicts are valid until the next call. It wants to be called
// about once a second.
func (d *Detector) Tick(now time.Time) []Verdict {
	d.begin(now)
	d.hosts.arrived(now)
	d.settle(now)
	d.closeBreakers()
	d.pardons.end(d.now)
	d.endFresh()
	d.underLimit()
	d.forgetNetworks(unixSecond(d.now))
	if len(d.hosts.retired) > 0 {
		d.sweep(retiredSweep)
	}
	d.sweep(tickSweep)
	d.metrics.watched(d.hosts)
	d.metrics.track(d.sources)
	d.metrics.remember(d.memory.Stats())
	return d.verdicts
}

// timeOf returns the time by which a line is judged, and counts what is wrong
// with the one in its header.
func (d *Detector) timeOf(l *Line, h *host) time.Time {
	r := h.clock.read(l)
	switch r.state {
	case clockLate:
		h.counters.late.Inc()
	case clockAhead:
		h.counters.ahead.Inc()
	case clockAbsent:
		d.metrics.undated.Inc()
		return r.at
	}
	d.metrics.lags.observe(r.lag)
	if second := l.Received.Unix(); second != h.lagShown {
		h.lagShown = second
		h.counters.lag.Set(r.lag.Seconds())
	}
	if r.learned {
		h.counters.zone.Set(h.clock.offset.Seconds())
		n := h.notice(ZoneLearned)
		n.Offset = h.clock.offset
		d.notice(n)
	}
	return r.at
}

// event judges what one line has proven; what was proven before by the same line
// counts no more.
func (d *Detector) event(l *Line, e *offence.Event, h *host, repeated bool) {
	if d.options.OnEvent != nil {
		d.options.OnEvent(l, e)
	}
	if repeated {
		return
	}
	h.count(e)
	if e.Ruleset != "" {
		d.metrics.countReply(e)
	}
	key := d.sources.keyFor(e.Addr, d.judgement.ipv6Prefix)
	second := unixSecond(e.Time)
	number := d.sources.find(&key)
	if number != 0 && second < d.sources.at(number).until && d.blocked(l, e, number, second) {
		return
	}
	switch e.Kind {
	case offence.Offence:
		d.offence(l, e, h, number, &key, second)
	case offence.Accepted:
		d.inFavour(number, &key, second, acceptedMail)
		d.accepts(h, &key, second)
	case offence.Delivered:
		d.inFavour(number, &key, second, deliveredMail)
	}
}

// blocked tells whether a source is blocked, as its last verdict says, and tells
// of one that should not be able to reach anybody. What arrives after the end of
// the block and is older is not asked about.
func (d *Detector) blocked(l *Line, e *offence.Event, number, second uint32) bool {
	s := d.sources.at(number)
	if s.until <= unixSecond(l.Received) {
		return true
	}
	if d.options.Blocked != nil && !d.isFresh(number) && !d.options.Blocked(s.prefix()) {
		d.disown(s, second)
		return false
	}
	if d.options.OnBlockedSeen != nil && e.Kind != offence.Delivered {
		d.options.OnBlockedSeen(l, e, s.prefix(), time.Unix(int64(s.until), 0))
	}
	return true
}

// disown forgets the last block of a source, which nobody made, or not for so
// long: another one is not to last longer for it.
func (d *Detector) disown(s *source, second uint32) {
	s.until = second
	s.blocks -= min(s.blocks, 1)
	prefix := s.prefix()
	if around, ok := networkOf(prefix); ok && d.networks[around] != nil {
		delete(d.networks[around].blocked, prefix)
	}
}

// isFresh tells whether the enforcer may not yet have acted on the last verdict.
func (d *Detector) isFresh(number uint32) bool {
	_, fresh := d.fresh[number]
	return fresh
}

// freshFor is how many seconds the enforcer has for a verdict before Options.Blocked
// is asked about it.
const freshFor = 10

// endFresh forgets the verdicts that the enforcer has had time for.
func (d *Detector) endFresh() {
	now := unixSecond(d.now)
	for number, since := range d.fresh {
		if now-since >= freshFor {
			delete(d.fresh, number)
		}
	}
}

// offence judges an offence of the source with a key; number is 0 if nothing is
// known of it.
func (d *Detector) offence(l *Line, e *offence.Event, h *host, number uint32, key *sourceKey, second uint32) {
	var known *source
	if number != 0 {
		known = d.sources.at(number)
	}
	d.refuses(h, known, key, e.Reason, second)
	weight := d.judgement.weight(e)
	if weight == 0 || d.pardoned(prefixOf(key.addr, key.bits)) {
		return
	}
	if known == nil {
		number = d.add(key)
		known = d.sources.at(number)
	}
	d.keep(known, key.hash, l, e, h)
	m := d.mark(e, h, weight, second)
	h.marked = true
	d.countAside(h, known, &m, e.Count)
	scored := d.remember(known, m)
	d.touch(number, second)
	if scored {
		d.decide(number, l, e, h, second)
	}
}

// mark returns what is remembered of an offence.
func (d *Detector) mark(e *offence.Event, h *host, weight points, second uint32) mark {
	m := mark{
		second: second, weight: uint16(min(weight, maxWeight)), session: d.sessionTag(e.Session),
		extra: uint16(min(e.Count, maxExtra)), origin: origin(h.number, e.Reason),
	}
	if e.Reason == offence.AuthFail {
		m.extra = userTag(e.User)
		if m.extra == unnamedUser {
			m.session = uint16(min(max(1, e.Count), mostUnnamed))
		}
	}
	return m
}

// sessionTag returns 16 bits for a session, never severalSessions. Two
// sessions of one source hardly ever share one; if they do, that is to the
// source's advantage.
func (d *Detector) sessionTag(session uint64) uint16 {
	return max(1, uint16(mix(session, d.restarts)>>48))
}

// weight returns the points of an offence, before what its session can earn at
// most: none for a failure of ours and for bounces to unknown users.
func (j *judgement) weight(e *offence.Event) points {
	switch r := e.Reason; {
	case ours.has(r), e.Temporary && !judged4xx.has(r), e.NullSender && r == offence.UnknownUser:
		return 0
	case r == offence.AuthFail:
		return j.weights[r] // the same user name, however often
	default:
		return j.weights[r] * points(min(max(1, e.Count), maxWeight))
	}
}

// inFavour remembers a message that speaks for a source.
func (d *Detector) inFavour(number uint32, key *sourceKey, second uint32, kind uint16) {
	if number == 0 {
		number = d.add(key)
	}
	d.favour(d.sources.at(number), second, kind)
	d.touch(number, second)
}

// touch notes that something was heard of a source.
func (d *Detector) touch(number, second uint32) {
	s := d.sources.at(number)
	s.seen = max(s.seen, second)
	d.sources.touch(number, d.sources.guilt(s))
}

// count counts an event for its host.
func (h *host) count(e *offence.Event) {
	switch e.Kind {
	case offence.Offence:
		n := float64(max(1, e.Count))
		h.counters.rejections[e.Reason].Add(n)
		if e.Reason == offence.AuthFail {
			h.counters.authFailures.Add(n)
		}
	case offence.Accepted:
		h.counters.accepted.Inc()
	}
}

// add makes a source, and room for it.
func (d *Detector) add(key *sourceKey) uint32 {
	d.sweep(addSweep)
	for d.sources.count >= d.sources.limit {
		d.evict(d.sources.least())
	}
	number := d.sources.add(key)
	d.metrics.track(d.sources)
	return number
}

func (d *Detector) evict(number uint32) {
	d.sources.remove(number)
	d.metrics.evicted.Inc()
}

// Sources that are looked at in search of dead ones, with each new source and
// each Tick.
const (
	addSweep  = 2
	tickSweep = 10_000
	// retiredSweep is for as long as numbers of hosts are to become free.
	retiredSweep = 100_000
)

// sweep looks at the next n sources and forgets the dead.
func (d *Detector) sweep(n int) {
	now := unixSecond(d.now)
	for range min(n, int(d.sources.bound)-1) {
		d.swept++
		if d.swept >= d.sources.bound {
			d.swept = 1
			d.hosts.sweptRound()
		}
		s := d.sources.at(d.swept)
		if s.flags&inUse == 0 {
			continue
		}
		if len(d.hosts.retired) > 0 {
			d.purge(d.swept, s)
		}
		if d.dead(s, now) {
			d.sources.remove(d.swept)
		}
	}
	if d.sources.bound == 1 {
		d.hosts.sweptRound()
	}
}

// purge takes from a source what hosts have said that were forgotten.
func (d *Detector) purge(number uint32, s *source) {
	offences := d.sources.offences(s)
	if !slices.ContainsFunc(offences, func(m mark) bool { return d.hosts.gone(&m) }) {
		return
	}
	list := append(d.scratch[:0], offences...)
	list = slices.DeleteFunc(list, func(m mark) bool { return d.hosts.gone(&m) })
	d.sources.setOffences(s, list)
	d.scratch = list
	d.sources.touch(number, d.sources.guilt(s))
}

// markLimit is how many offences a source can have now: fewer when memory gets
// short, so that the sources fit into it.
func (d *Detector) markLimit() int {
	switch used, all := d.sources.slab.used, d.sources.slab.limit*slabPageSize; {
	case 4*used <= 3*all:
		return maxMarks
	case 8*used <= 7*all:
		return maxMarks / 2
	case used < all:
		return maxMarks / 4
	default:
		return maxMarks / 8
	}
}
