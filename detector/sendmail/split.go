package sendmail

import (
	"strings"

	"uppercut/detector/offence"
)

const (
	maxSplit     = 20 << 10 // bytes of a line joined
	maxSplits    = 1024     // lines being joined at one time
	maxSplitWait = 1 << 16  // lines after which unfinished ones are given up
)

// split is a split line that is not complete yet.
type split struct {
	first Input // part 1
	rec   Record
	next  uint16
	text  []byte
	// longest is the length of the longest part, cut says that one was cut.
	longest int
	cut     bool
}

// join takes the parts of a split line until it is whole and then makes in that
// line. ok is false if there is nothing left to take.
//
// A part is never read alone: sendmail breaks lines where the client wants, and
// the second part can be a perfect record of anything.
func (m *Memory) join(in *Input, dst []offence.Event) (_ []offence.Event, ok bool) {
	rec := in.Record
	key := in.Host.session(in.processID())
	sp := m.splits[key]
	if rec.Kind == offence.LinePart && sp != nil && sp.continues(rec) {
		m.sinceSplit = 0
		sp.text = append(sp.text, strings.TrimSuffix(rec.Body, partMark)...)
		sp.next++
		sp.longest = max(sp.longest, lineLength(in))
		sp.cut = sp.cut || in.Cut
		if rec.More {
			return dst, false
		}
		delete(m.splits, key)
		m.stats.Joined++
		m.joinedLine(in, sp)
		return dst, true
	}
	if sp != nil {
		dst = m.tear(key, sp, dst)
	}
	if rec.Kind != offence.LinePart {
		if m.sinceSplit++; m.sinceSplit > maxSplitWait {
			m.tearAll()
		}
		return dst, true
	}
	if rec.Part == 1 {
		m.split(key, *in)
	} else if sp == nil {
		m.stats.Torn++
	}
	return dst, false
}

// joinedLine makes in the line that sp is, now that in, its last part, has come.
// Its client takes parts that are whole: of those that hold nothing but text of
// the client's before it, the last alone.
func (m *Memory) joinedLine(in *Input, sp *split) {
	last := lineLength(in)
	*in = sp.first
	in.length, in.Cut = sp.longest, sp.cut
	rec := &m.joined
	m.o.Parser.Parse(string(sp.text), rec)
	rec.Joined, rec.torn = true, false
	if rec.Kind == offence.LineAuthFailure {
		in.length = last
	}
	rec.Proof = ProofWhole // the echo of a recipient is too short to be split
	in.Record = rec
}

// processID is the syslog PID, or that of the queue id for want of one.
func (in *Input) processID() uint32 {
	if in.PID != 0 {
		return in.PID
	}
	return in.Record.PID
}

func (sp *split) continues(rec *Record) bool {
	return rec.Part == sp.next && rec.QID == sp.rec.QID && len(sp.text)+len(rec.Body) <= maxSplit
}

// split begins a split line with its first part.
func (m *Memory) split(key uint64, in Input) {
	if len(m.splits) >= maxSplits {
		m.tearAll()
	}
	if m.splits == nil {
		m.splits = make(map[uint64]*split)
	}
	sp := &split{first: in, next: 2, longest: lineLength(&in), cut: in.Cut}
	sp.rec.QID, sp.rec.PID = strings.Clone(in.Record.QID), in.Record.PID
	if sp.rec.QID != "" {
		sp.text = append(append(sp.text, sp.rec.QID...), ": "...)
	}
	sp.text = append(sp.text, strings.TrimSuffix(in.Record.Body, partMark)...)
	sp.first.Record = nil
	m.splits[key] = sp
	m.sinceSplit = 0
}

// tear gives up a split line that will not become whole. What its first part
// says of the reason is sendmail's own; it never gives an address.
func (m *Memory) tear(key uint64, sp *split, dst []offence.Event) []offence.Event {
	delete(m.splits, key)
	m.stats.Torn++
	rec := &m.joined
	m.o.Parser.Parse(string(sp.text), rec)
	if rec.Kind != offence.LineAuthFailure && rec.Kind != offence.LineTLSFailure || rec.QID == "" {
		return dst
	}
	rec.Addr, rec.User = noAddr, ""
	sp.first.Record = rec
	return m.whole(&sp.first, dst)
}

// tearAll gives up every split line.
func (m *Memory) tearAll() {
	m.stats.Torn += uint64(len(m.splits))
	clear(m.splits)
	m.sinceSplit = 0
}
