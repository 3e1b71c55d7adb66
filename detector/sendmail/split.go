package sendmail

import "strings"

const (
	maxSplit     = 20 << 10 // bytes of a line joined
	maxSplits    = 1024     // lines being joined at one time
	maxUnknown   = 20       // texts in the sample
	maxUnknownSz = 512      // bytes of each
)

// splits holds the split lines that are not complete yet, by who writes them.
type splits struct {
	open  int
	lines map[uint64]*split
}

type split struct {
	in   Input // of part 1
	rec  Record
	next uint16
	text []byte
}

// join takes the parts of a split line until it is whole. ok is false if there
// is nothing to observe now; whole is nil if the line is to be taken as it is.
// A part is never read alone: sendmail breaks lines where the client wants, and
// the second part can be a perfect record of anything.
func (m *Memory) join(in *Input) (whole *Record, ok bool) {
	rec := in.Record
	pid := in.PID
	if pid == 0 {
		pid = rec.PID
	}
	key := m.key(*in, pid)
	sp := m.splits.lines[key]
	if rec.Kind != LinePart {
		if sp != nil {
			m.tear(key, sp)
		}
		return nil, true
	}
	if rec.Part == 1 {
		if sp != nil {
			m.tear(key, sp)
		}
		m.begin(key, in)
		return nil, false
	}
	if sp == nil || sp.next != rec.Part || sp.rec.QID != rec.QID || len(sp.text)+len(rec.Body) > maxSplit {
		if sp != nil {
			m.tear(key, sp)
		}
		return nil, false
	}
	sp.text = append(sp.text, strings.TrimSuffix(rec.Body, partMark)...)
	sp.next++
	if rec.More {
		return nil, false
	}
	m.drop(key)
	m.stats.Joined++
	*in = sp.in
	m.o.Parser.Parse(string(sp.text), &m.joined)
	m.joined.Joined = true
	return &m.joined, true
}

func (m *Memory) begin(key uint64, in *Input) {
	if m.splits.open >= maxSplits {
		m.stats.Torn++
		return
	}
	if m.splits.lines == nil {
		m.splits.lines = make(map[uint64]*split)
	}
	rec := *in.Record
	sp := &split{in: *in, next: 2}
	sp.in.Sender, sp.in.Host = strings.Clone(in.Sender), strings.Clone(in.Host)
	sp.rec.QID = strings.Clone(rec.QID)
	if rec.QID != "" {
		sp.text = append(append(sp.text, rec.QID...), ": "...)
	}
	sp.text = append(sp.text, strings.TrimSuffix(rec.Body, partMark)...)
	sp.in.Record = nil
	m.splits.lines[key] = sp
	m.splits.open++
}

// tear gives up a split line that will not become whole.
func (m *Memory) tear(key uint64, _ *split) {
	m.stats.Torn++
	m.drop(key)
}

func (m *Memory) drop(key uint64) {
	delete(m.splits.lines, key)
	m.splits.open--
}

// sample keeps the first lines of each shape that were not understood.
type sample struct {
	shapes map[string]struct{}
	lines  []string
}

func (s *sample) texts() []string { return append([]string(nil), s.lines...) }

func (s *sample) add(text string) {
	if len(s.lines) >= maxUnknown {
		return
	}
	shape := shapeOf(text)
	if _, ok := s.shapes[shape]; ok {
		return
	}
	if s.shapes == nil {
		s.shapes = make(map[string]struct{})
	}
	s.shapes[shape] = struct{}{}
	s.lines = append(s.lines, strings.Clone(Mask(text[:min(len(text), maxUnknownSz)])))
}

// shapeOf returns the beginning of a line without its queue id and numbers.
func shapeOf(text string) string {
	if n, _ := idLength(text); n > 0 {
		text = text[n:]
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '#'
		}
		return r
	}, text[:min(len(text), 24)])
}
