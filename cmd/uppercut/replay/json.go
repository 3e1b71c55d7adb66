package replay

import (
	"io"
	"net/netip"
	"time"

	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector/offence"
)

// reportJSON is replay --format json. Its names are an interface: fields are
// added, none is renamed.
type reportJSON struct {
	Files    []fileJSON `json:"files"`
	From     *time.Time `json:"from,omitempty"`
	To       *time.Time `json:"to,omitempty"`
	Seconds  float64    `json:"seconds"`
	Lines    uint64     `json:"lines"`
	Unread   uint64     `json:"unread"`
	Foreign  uint64     `json:"foreign"`
	Offences uint64     `json:"offences"`
	Offended int        `json:"offenders"`
	Accepted uint64     `json:"accepted"`

	Reasons []reasonJSON `json:"reasons"`
	Hosts   []hostJSON   `json:"hosts"`
	Sources []sourceJSON `json:"sources"`
	Blocks  []blockJSON  `json:"blocks"`
	Spared  []sparedJSON `json:"spared"`
	// Prevented counts the offences of sources while they would have been
	// blocked.
	Prevented uint64 `json:"prevented"`
	// TakenBack counts blocks that were lifted, and are not in Blocks, because
	// the breaker opened of a mail host whose word they stood on.
	TakenBack int         `json:"taken_back"`
	Reading   readingJSON `json:"reading"`
	// Tags counts the lines of other programs by tag, Wrapped those of them that
	// hold a tag of sendmail's behind that tag. Second counts lines of
	// sendmail's behind the header of a relay.
	Tags    map[string]uint64 `json:"tags,omitempty"`
	Wrapped map[string]uint64 `json:"wrapped,omitempty"`
	Second  uint64            `json:"second,omitempty"`
	// Notes says in words what makes the report less than it seems.
	Notes []string `json:"notes,omitempty"`
}

// readingJSON is how well the lines were understood.
type readingJSON struct {
	// Kinds counts sendmail's lines by kind.
	Kinds map[string]uint64 `json:"kinds"`
	// Unproven counts offences whose client no line proved, Torn split lines
	// with a part missing, Conflicts lines that named another client than
	// their session.
	Unproven  uint64 `json:"unproven"`
	Torn      uint64 `json:"torn"`
	Conflicts uint64 `json:"conflicts"`
	// Unknown holds some lines that look like sendmail's and were not
	// understood, secrets masked.
	Unknown []string `json:"unknown"`
}

type fileJSON struct {
	File    string       `json:"file"`
	Lines   uint64       `json:"lines"`
	Unread  uint64       `json:"unread"`
	Samples []sampleJSON `json:"samples,omitempty"`
	// Ahead counts lines dated in the future. Same names the file that has the
	// same text.
	Ahead uint64 `json:"ahead,omitempty"`
	Same  string `json:"same,omitempty"`
	Error string `json:"error,omitempty"`
}

type sampleJSON struct {
	Line uint64 `json:"line"`
	Text string `json:"text"`
}

type reasonJSON struct {
	Reason   string `json:"reason"`
	Offences uint64 `json:"offences"`
	Sources  uint64 `json:"sources"`
}

type hostJSON struct {
	Host     string `json:"host"`
	Offences uint64 `json:"offences"`
	Accepted uint64 `json:"accepted"`
}

type sourceJSON struct {
	Addr     netip.Addr        `json:"addr"`
	Offences uint64            `json:"offences"`
	Accepted uint64            `json:"accepted"`
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Reasons  map[string]uint32 `json:"reasons"`
}

type blockJSON struct {
	Prefix netip.Prefix `json:"prefix"`
	At     time.Time    `json:"at"`
	Until  time.Time    `json:"until"`
	Rule   string       `json:"rule"`
	Score  float64      `json:"score"`
	Hosts  int          `json:"hosts"`
}

type sparedJSON struct {
	Prefix   netip.Prefix `json:"prefix"`
	Cause    string       `json:"cause"`
	Verdicts uint64       `json:"verdicts"`
}

// sourcesInJSON is how many sources a JSON report lists.
const sourcesInJSON = 1000

func (r *report) writeJSON(w io.Writer) error {
	return terminal.WriteJSON(w, r.json())
}

func (r *report) json() reportJSON {
	j := reportJSON{
		Files:    []fileJSON{},
		Seconds:  r.elapsed.Seconds(),
		Lines:    r.totals.lines,
		Unread:   r.totals.unread,
		Foreign:  r.totals.foreign,
		Offences: r.offences,
		Offended: r.offenders(),
		Accepted: r.accepted,
		Reasons:  []reasonJSON{},
		Hosts:    []hostJSON{},
		Sources:  []sourceJSON{},
		Blocks:   []blockJSON{},
		Spared:   []sparedJSON{},

		Prevented: r.prevented,
		TakenBack: r.takenBack,
		Reading:   r.readingJSON(),
		Tags:      r.totals.found.tags,
		Wrapped:   r.totals.found.wrapped,
		Second:    r.totals.found.second,
		Notes:     r.totals.warnings(func(at time.Time) string { return at.UTC().Format(time.RFC3339) }),
	}
	if !r.totals.begin.IsZero() {
		j.From, j.To = new(r.totals.begin.UTC()), new(r.totals.end.UTC())
	}
	for _, f := range r.totals.files {
		j.Files = append(j.Files, f.json())
	}
	for _, t := range r.topReasons() {
		j.Reasons = append(j.Reasons, reasonJSON{t.Reason.String(), t.Offences, t.Sources})
	}
	for _, h := range r.byHost() {
		j.Hosts = append(j.Hosts, hostJSON(*h))
	}
	for _, s := range r.topSources(sourcesInJSON) {
		j.Sources = append(j.Sources, s.json())
	}
	for _, v := range r.verdicts {
		j.Blocks = append(j.Blocks, blockJSON{v.Prefix, v.At.UTC(), v.Until.UTC(), v.Rule, v.Score, v.Hosts})
	}
	for _, s := range r.bySpared() {
		j.Spared = append(j.Spared, sparedJSON(*s))
	}
	return j
}

func (r *report) readingJSON() readingJSON {
	j := readingJSON{
		Kinds: map[string]uint64{}, Unproven: r.reading.Orphans, Torn: r.reading.Torn,
		Conflicts: r.reading.Conflicts, Unknown: append([]string{}, r.unknown...),
	}
	for i, kind := range offence.LineKinds() {
		if n := r.reading.Lines[i]; n > 0 {
			j.Kinds[kind.String()] = n
		}
	}
	return j
}

func (f fileTotal) json() fileJSON {
	j := fileJSON{File: f.name, Lines: f.lines, Unread: f.unread, Ahead: f.ahead, Same: f.same}
	for _, s := range f.samples {
		j.Samples = append(j.Samples, sampleJSON(s))
	}
	if f.err != nil {
		j.Error = f.err.Error()
	}
	return j
}

func (s *sourceTotal) json() sourceJSON {
	j := sourceJSON{s.Addr, s.Offences, s.Accepted, s.First.UTC(), s.Last.UTC(), map[string]uint32{}}
	for _, c := range s.reasons {
		j.Reasons[c.reason.String()] += c.count
	}
	return j
}
