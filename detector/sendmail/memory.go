package sendmail

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"uppercut/detector/offence"
)

// Input is one line for a Memory.
type Input struct {
	// Line is the caller's number for the line; it comes back in Events.
	Line uint64
	// Time is when the line was written, as far as known.
	Time time.Time
	// Host stands for who sent the line and who claims to have written it.
	Host HostKey
	// PID is the syslog PID; 0 if there is none.
	PID uint32
	// Tag is the length of the syslog tag in bytes, Transport a number for how the
	// line came in: lines of a host that came in one way were cut at one length.
	Tag, Transport int
	// Cut says that the end of the line is known to be missing.
	Cut bool
	// Record is the line parsed. The Memory clones what it keeps.
	Record *Record

	// client is the address of the record if it is proven by now, claim if not.
	client, claim netip.Addr
	// length is that of the longest part of a split line that has to be whole.
	length int
}

// MemoryOptions are the limits and the collaborators of a Memory. The zero
// value of a limit stands for its default.
type MemoryOptions struct {
	// Parser reads split lines once they are joined; nil stands for one
	// without texts of the administrator's.
	Parser *Parser
	// OnUnknown, if not nil, hears of every line that is of no known form; the
	// Record is valid until it returns.
	OnUnknown func(*Record)
	// Key keys the hash of AUTH user names. A caller that keeps Event.User
	// over a restart passes the same key again.
	Key [16]byte
	// MaxSessions bounds the sessions, default 131072.
	MaxSessions int
	// MaxHeld bounds the lines that wait for an address, default 131072, and
	// MaxHeldPerSession those of one session, default 256.
	MaxHeld, MaxHeldPerSession int
	// MaxHeldBytes bounds their texts, default 32 MiB.
	MaxHeldBytes int
	// MaxAge is how long after its last line a session may go on, default 65
	// minutes: sendmail's Timeout.command and a little.
	MaxAge time.Duration
}

func (o MemoryOptions) withDefaults() MemoryOptions {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.MaxSessions, 131072)
	def(&o.MaxHeld, 131072)
	def(&o.MaxHeldPerSession, 256)
	def(&o.MaxHeldBytes, 32<<20)
	if o.MaxAge <= 0 {
		o.MaxAge = 65 * time.Minute
	}
	if o.Parser == nil {
		o.Parser, _ = NewParser(nil)
	}
	return o
}

// Stats counts what went through a Memory. Counters only grow, except where
// said.
type Stats struct {
	// Lines by kind; a split line counts once, as what it is when joined.
	Lines [offence.NumLineKinds]uint64
	// UnknownElsewhere are lines of other programs that are of no known form.
	UnknownElsewhere uint64
	// Sessions, Held and HeldBytes are what is held now.
	Sessions, Held, HeldBytes int
	// Orphans are offences given up because no line of their session proved
	// an address before it ended or was given up.
	Orphans uint64
	// Overflow are offences, among them, given up because a limit was reached.
	Overflow uint64
	// Evicted are sessions given up because there were too many; Expired those
	// that were silent for too long.
	Evicted, Expired uint64
	// Conflicts are lines that named another client than a line of the same
	// session that proves more; the client that they name is not believed.
	Conflicts uint64
	// Unproven are lines whose client would have been believed if a longer line
	// had come from the same host: they may have been cut.
	Unproven uint64
	// Reused are sessions that ended because their PID began another.
	Reused uint64
	// Joined are split lines put together, Torn those with a part missing.
	Joined, Torn uint64
	// NoPID are offences without address and without any PID.
	NoPID uint64
}

// Memory joins lines to sessions. It is bounded; what it gives up is counted.
// It is not safe for concurrent use.
//
// Sessions in flight do not outlive it: their lines are given up over a
// restart, which misses offences and never invents one.
type Memory struct {
	o          MemoryOptions
	sessions   sessions
	number     uint64
	splits     map[uint64]*split
	sinceSplit int // lines since the last part
	routes     map[uint64]*route
	route      *route // of the line that is observed
	lastRoutes [16]lastRoute
	told       []told
	stats      Stats
	joined     Record
	fetched    uint64 // what Fetch has read, so that the compiler lets it
}

// held is an offence that waits for its address.
type held struct {
	event offence.Event
	qid   [2]byte
	hasID bool
	// claim is the client that the line names, if it names one, proof what that
	// takes; length is that of the line, and route how it came.
	claim  netip.Addr
	proof  Proof
	length int
	route  *route
}

// needsRoute says whether the line names a client that a longer line of its route
// proves.
func (h *held) needsRoute() bool {
	return h.claim.IsValid() && (h.proof == ProofWhole || h.proof == ProofShort)
}

// accepted is a message that came in and was not yet seen to be delivered.
type accepted struct {
	qid   [2]byte
	event offence.Event
}

// maxAccepted bounds the messages of a session that wait for their delivery;
// sendmail starts one at a time.
const maxAccepted = 8

// NewMemory returns an empty Memory.
func NewMemory(o MemoryOptions) *Memory {
	return &Memory{o: o.withDefaults(), sessions: newSessions(), routes: make(map[uint64]*route)}
}

// UseParser replaces the Parser of split lines.
func (m *Memory) UseParser(p *Parser) { m.o.Parser = p }

// Stats returns the counters.
func (m *Memory) Stats() Stats {
	m.stats.Sessions = m.sessions.count
	return m.stats
}

// Key stands for the session that a line belongs to, for Fetch.
func (m *Memory) Key(host HostKey, pid uint32, rec *Record) uint64 {
	return host.session(process(pid, rec))
}

// Fetch reads the sessions of the lines that come next, by their keys, and
// changes nothing. Many are far from the processor, which waits for all of them
// at once here and for one after the other in Observe. It appends the sessions'
// clients, as far as they are known, to dst.
func (m *Memory) Fetch(keys []uint64, dst []netip.Addr) []netip.Addr {
	dst, sum := m.sessions.fetch(keys, dst)
	m.fetched += sum
	return dst
}

// process is the number of the process whose session a line is of, 0 if it is
// unknown.
func process(pid uint32, rec *Record) uint32 {
	if rec.PID != 0 {
		return rec.PID
	}
	return pid
}

// Observe takes a line and appends to dst what is proven now: at most one
// event of the line itself and those that were held for its session, or for a
// longer line of its host.
func (m *Memory) Observe(in Input, dst []offence.Event) []offence.Event {
	rec := in.Record
	m.route = m.routeOf(&in)
	if m.route.travel(&in) {
		dst = m.prove(m.route, dst)
	}
	if rec.Kind == offence.LinePart || len(m.splits) > 0 {
		var ok bool
		if dst, ok = m.join(&in, dst); !ok {
			return dst
		}
	}
	return m.whole(&in, dst)
}

// whole takes a line that is not a part of one.
func (m *Memory) whole(in *Input, dst []offence.Event) []offence.Event {
	rec := in.Record
	switch {
	case rec.mask == nil:
		m.stats.Lines[rec.Kind]++
	case rec.Kind == offence.LineUnknown:
		m.stats.UnknownElsewhere++
	}
	if len(m.told) > 0 {
		dst = m.hear(in, dst)
	}
	switch rec.Kind {
	case offence.LineInfo:
		return dst
	case offence.LineUnknown:
		if m.o.OnUnknown != nil {
			m.o.OnUnknown(rec)
		}
		return dst
	}
	return m.observe(in, dst)
}

func (m *Memory) observe(in *Input, dst []offence.Event) []offence.Event {
	rec := in.Record
	proven := m.proven(in)
	if proven {
		in.client = rec.Addr
	} else {
		in.claim = rec.Addr
	}
	pid := process(in.PID, rec)
	if pid == 0 {
		return m.withoutPID(in, dst)
	}
	if rec.InSession && in.PID != 0 && rec.PID != 0 && in.PID != rec.PID {
		return dst
	}
	if rec.Kind == offence.LineTo {
		return m.delivery(in, pid, dst)
	}
	s := m.session(in, pid)
	if rec.Local && proven {
		m.giveUp(s)
		s.setAddr(noAddr)
		return dst
	}
	dst = m.client(s, in, dst)
	dst = m.line(s, in, dst)
	if rec.Ends {
		m.giveUp(s)
		s.flags |= hasEnded
	}
	return dst
}

// proven says whether the line's client is proven by the line and its route.
func (m *Memory) proven(in *Input) bool {
	switch in.Record.Proof {
	case ProofOwn:
		// or the echo of a recipient, cut before its mark
		return m.route.tears[0] == 0 || in.Record.QID == "" || !m.route.cutsAt(lineLength(in)) || unescapedLen(in.Record.Body) > maxEcho
	case ProofWhole, ProofShort:
		if in.length == 0 {
			in.length = lineLength(in)
		}
		return !in.Cut && m.route.whole(in.length)
	}
	return false
}

// client binds the session to the address that the line proves.
func (m *Memory) client(s *session, in *Input, dst []offence.Event) []offence.Event {
	rec := in.Record
	if s.extras != 0 && rec.QID != "" && in.processID() == rec.PID {
		dst = m.believe(s, rec, dst)
	}
	if !in.client.IsValid() {
		return dst
	}
	own := rec.Proof == ProofOwn
	m.settleConflict(s, in, own)
	if s.is(inConflict) || !in.client.IsValid() {
		return dst
	}
	if rec.QID == "" && s.began != 0 && !s.is(hasClient) {
		// until a line with a queue id shows that it is the same process
		x := m.sessions.extrasOf(s)
		x.likely, x.likelyOwn = in.client, own
		return dst
	}
	s.bind(in.client, own)
	if in.PID != 0 && rec.PID != 0 && in.PID != rec.PID {
		m.dropAnonymous(s)
	}
	return m.flush(s, rec, dst)
}

// settleConflict weighs the client that the line names against another one that
// the session has. The line that proves less is not believed; what other lines
// have proven is not touched. Only if sendmail's own words name two, nothing is
// proven any more.
func (m *Memory) settleConflict(s *session, in *Input, own bool) {
	switch {
	case !own && s.is(doubted):
	case !s.is(hasClient) || s.addr() == in.client:
		return
	case own && s.is(byRoute):
		return
	case own:
		s.flags |= inConflict
		m.giveUp(s)
		return
	case s.is(byRoute):
		s.setAddr(noAddr)
		s.flags |= doubted
	}
	in.claim, in.client = in.client, noAddr
}

// dropAnonymous gives up what is held without a queue id when another process
// names the client: its queue id may be of an older process with this PID.
func (m *Memory) dropAnonymous(s *session) {
	if s.extras == 0 {
		return
	}
	x := m.sessions.extrasOf(s)
	kept := x.held[:0]
	for _, h := range x.held {
		if h.hasID {
			kept = append(kept, h)
			continue
		}
		m.stats.Held--
		m.stats.HeldBytes -= len(h.event.Raw)
		m.stats.Orphans++
	}
	clear(x.held[len(kept):])
	x.held = kept
}

// believe binds the session to the client that a line without queue id named.
func (m *Memory) believe(s *session, rec *Record, dst []offence.Event) []offence.Event {
	x := m.sessions.extrasOf(s)
	if !x.likely.IsValid() {
		return dst
	}
	s.bind(x.likely, x.likelyOwn)
	x.likely = noAddr
	return m.flush(s, rec, dst)
}

// flush gives out what was held for the session.
func (m *Memory) flush(s *session, rec *Record, dst []offence.Event) []offence.Event {
	if s.extras == 0 {
		return dst
	}
	x := m.sessions.extrasOf(s)
	for i := range x.held {
		h := &x.held[i]
		m.stats.Held--
		m.stats.HeldBytes -= len(h.event.Raw)
		if !m.resolve(h.claim, h.proof, s) {
			m.stats.Orphans++
			continue
		}
		e := h.event
		e.Addr, e.Session, e.ViaSession = s.addr(), s.number, h.claim != s.addr()
		if rec.Kind == offence.LineFrom && h.hasID && h.qid == rec.transaction {
			e.NullSender = rec.NullSender
		}
		dst = append(dst, e)
	}
	x.release()
	m.sessions.settle(s)
	return dst
}

// resolve says whether a line that claims an address, if it claims any, counts
// for the client of its session.
func (m *Memory) resolve(claim netip.Addr, proof Proof, s *session) bool {
	if !claim.IsValid() || claim == s.addr() {
		return true
	}
	m.stats.Conflicts++
	return proof != ProofSession // which is then all the client's making
}

// line gives the event of the line itself, or holds it.
func (m *Memory) line(s *session, in *Input, dst []offence.Event) []offence.Event {
	rec := in.Record
	if rec.Kind == offence.LineFrom && rec.mask == nil && (rec.Recipients == 0 || rec.QID == "") {
		return dst
	}
	e, ok := m.event(in)
	if !ok {
		return dst
	}
	if s.is(inConflict) {
		m.stats.Conflicts++
		return dst
	}
	e.Session = s.number
	switch {
	case rec.Kind == offence.LineFrom && rec.mask == nil:
		e.Count, e.Addr = rec.Recipients, rec.Addr // to speak for a client takes no proof, if nobody else is
		m.sessions.extrasOf(s).accept(accepted{qid: rec.transaction, event: e})
		return dst
	case in.client.IsValid():
		e.Addr = in.client
		if rec.tellsTwice && rec.Reason == offence.VrfyExpn {
			e.Raw, e.Mask = strings.Clone(e.Text()), nil
			return m.tell(told{host: in.Host, key: s.key, event: e}, dst)
		}
		return append(dst, e)
	case e.Kind != offence.Offence:
		return dst
	case s.is(hasClient) && in.claim == s.addr():
		e.Addr = in.claim
		return append(dst, e)
	case s.is(hasClient) && rec.QID != "" && s.began != 0:
		if !m.resolve(in.claim, rec.Proof, s) {
			return dst
		}
		e.Addr, e.ViaSession = s.addr(), true
		return append(dst, e)
	}
	if m.hold(s, e, in); in.claim.IsValid() && rec.Proof == ProofShort && !in.Cut {
		return m.tell(told{host: in.Host, key: s.key, event: offence.Event{Line: in.Line, Time: in.Time}, held: true}, dst)
	}
	return dst
}

// event makes the event of a line, without its address.
func (m *Memory) event(in *Input) (offence.Event, bool) {
	rec := in.Record
	e := offence.Event{
		Line: in.Line, Time: in.Time, Count: rec.Count, Reason: rec.Reason, Ruleset: rec.Ruleset.String(),
		Temporary: rec.Temporary, NullSender: rec.NullSender, ViaSession: rec.Joined,
	}
	switch {
	case rec.Reason != offence.ReasonNone:
		e.Kind = offence.Offence
		e.User = m.userHash(rec.User)
	case rec.Kind == offence.LineConnect:
		e.Kind = offence.Connected
	case rec.Kind == offence.LineFrom:
		e.Kind = offence.Accepted
	case rec.Kind == offence.LineAuth:
		e.Kind = offence.Authenticated
	default:
		return offence.Event{}, false
	}
	e.Raw, e.Mask = rec.Text, rec.mask
	if e.Mask == nil {
		e.Mask = Mask
	}
	return e, true
}

// accept remembers a message until it is seen to be taken.
func (x *extras) accept(a accepted) {
	a.event.Raw = "" // nobody reads it
	if len(x.accepted) == maxAccepted {
		x.accepted = slices.Delete(x.accepted, 0, 1)
	}
	x.accepted = append(x.accepted, a)
}

// taken gives the event of a message that was accepted for good: what a milter
// or a header check refuses has an envelope record as well, but no mailer ever
// takes it.
func (m *Memory) taken(s *session, qid [2]byte, dst []offence.Event) []offence.Event {
	if s.extras == 0 {
		return dst
	}
	x := m.sessions.extrasOf(s)
	for i := range x.accepted {
		if x.accepted[i].qid == qid {
			e := x.accepted[i].event
			if s.is(hasClient) {
				e.Addr = s.addr()
			}
			if e.Addr.IsValid() && !s.is(inConflict) {
				dst = append(dst, e)
			}
			x.accepted = slices.Delete(x.accepted, i, i+1)
			m.sessions.settle(s)
			break
		}
	}
	return dst
}

func (m *Memory) hold(s *session, e offence.Event, in *Input) {
	rec := in.Record
	x := m.sessions.extrasOf(s)
	if len(x.held) >= m.o.MaxHeldPerSession || m.stats.Held >= m.o.MaxHeld || m.stats.HeldBytes+len(e.Raw) > m.o.MaxHeldBytes {
		m.stats.Overflow++
		m.stats.Orphans++
		m.sessions.settle(s)
		return
	}
	e.Raw, e.Mask = strings.Clone(e.Text()), nil
	e.ViaSession = true
	m.stats.Held++
	m.stats.HeldBytes += len(e.Raw)
	x.held = append(x.held, held{
		event: e, qid: rec.transaction, hasID: rec.QID != "",
		claim: in.claim, proof: rec.Proof, length: in.length, route: m.route,
	})
	if in.Cut || !x.held[len(x.held)-1].needsRoute() {
		return
	}
	m.wait(m.route, s.key)
	if rec.Proof == ProofWhole {
		m.stats.Unproven++
	}
}

// giveUp drops what is held for the session.
func (m *Memory) giveUp(s *session) {
	if s.extras == 0 {
		return
	}
	x := m.sessions.extrasOf(s)
	for i := range x.held {
		m.stats.HeldBytes -= len(x.held[i].event.Raw)
	}
	m.stats.Held -= len(x.held)
	m.stats.Orphans += uint64(len(x.held))
	x.release()
	m.sessions.settle(s)
}

// release empties what is held. The memory of a few lines is kept for the next
// session that needs it.
func (x *extras) release() {
	if cap(x.held) > keptHeld {
		x.held = nil
	}
	clear(x.held)
	x.held = x.held[:0]
}

const keptHeld = 8

// clear gives up what is held for the session and all else that waits in it.
func (m *Memory) clear(s *session) {
	m.giveUp(s)
	if s.extras != 0 {
		x := m.sessions.extrasOf(s)
		x.likely, x.accepted = noAddr, x.accepted[:0]
		m.sessions.settle(s)
	}
}

func (m *Memory) withoutPID(in *Input, dst []offence.Event) []offence.Event {
	rec := in.Record
	e, ok := m.event(in)
	if !ok || rec.Kind == offence.LineFrom {
		return dst
	}
	if !in.client.IsValid() {
		if e.Kind == offence.Offence {
			m.stats.NoPID++
			m.stats.Orphans++
		}
		return dst
	}
	m.number++
	e.Addr, e.Session = in.client, m.number
	return append(dst, e)
}

// delivery looks at a to= line: it shows that the message had been accepted,
// and which host took it.
func (m *Memory) delivery(in *Input, pid uint32, dst []offence.Event) []offence.Event {
	rec := in.Record
	if rec.QID == "" {
		return dst
	}
	if rec.Taken {
		if s := m.sessions.find(in.Host.session(pid)); s != nil && s.began == rec.began {
			dst = m.taken(s, rec.transaction, dst)
		}
	}
	if rec.Delivered {
		m.number++
		dst = append(dst, offence.Event{Line: in.Line, Time: in.Time, Addr: rec.Addr, Session: m.number, Count: 1, Kind: offence.Delivered, Raw: rec.Text, Mask: Mask})
	}
	return dst
}

// HostKey stands for a mail host: who sent its lines over the wire, and the name
// that they give it. It is a keyed hash of 64 bits, so that nobody can aim for
// a collision, and another one in each process.
type HostKey uint64

var hostSeed = maphash.MakeSeed()

// HostKeyOf returns the key of a mail host.
func HostKeyOf(sender, host string) HostKey {
	return HostKey(maphash.String(hostSeed, sender) + bits.RotateLeft64(maphash.String(hostSeed, host), 17))
}

// session stands for the session of a process of the host. The upper half has to
// be as good as a hash, for the index of sessions goes by it.
func (k HostKey) session(pid uint32) uint64 {
	high, low := bits.Mul64(uint64(k)^(uint64(pid)+1), 0x9e3779b97f4a7c15)
	return high ^ low
}

// userHash is a keyed hash of an AUTH user name, 0 for none.
func (m *Memory) userHash(user string) uint64 {
	if user == "" {
		return 0
	}
	var b [16 + 256]byte
	n := copy(b[:], m.o.Key[:])
	n += copy(b[n:], user)
	sum := sha256.Sum256(b[:n])
	return binary.LittleEndian.Uint64(sum[:]) | 1
}
