package header

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Streams says which streams of a container's log have a line that goes on.
type Streams struct{ Stdout, Stderr bool }

// of returns the flag of a stream.
func (s *Streams) of(name string) *bool {
	if name == "stderr" {
		return &s.Stderr
	}
	return &s.Stdout
}

// Open returns which lines of a container's log go on in the next line, and
// Resume says so to a parser that has not read what came before.
func (p *Parser) Open() Streams { return p.open }

// Resume makes the next line of a stream in s the rest of the one before.
func (p *Parser) Resume(s Streams) { p.open = s }

// parseCRI reads "stdout F TEXT", which the container runtime interface writes
// behind the time; P in the place of F says that the line goes on.
func (p *Parser) parseCRI(s string, h *Header) bool {
	stream, rest, _ := strings.Cut(s, " ")
	tags, text, ok := strings.Cut(rest, " ")
	flag, _, _ := strings.Cut(tags, ":")
	if !ok || stream != "stdout" && stream != "stderr" || flag != "F" && flag != "P" {
		return false
	}
	p.setContent(text, flag == "F", p.open.of(stream), h)
	return true
}

// setContent reads what a container wrote: a line as in a file, or a tag and a
// text. The rest of a line that came before is nobody's: it begins with what
// may be a client's text.
func (p *Parser) setContent(text string, whole bool, open *bool, h *Header) {
	rest := *open
	*open = !whole
	h.Cut = !whole || rest
	relayed := h.Relayed
	if !rest && p.adopt(text, "", h) {
		h.Relayed = relayed
		return
	}
	if word, _, _ := strings.Cut(text, " "); !rest && isTag(word) {
		_ = p.setTag(text, h)
		return
	}
	h.Text = strings.TrimLeft(text, " ")
}

// container is a line of docker's json-file driver.
type container struct {
	Log    *string `json:"log"`
	Stream string  `json:"stream"`
	Time   string  `json:"time"`
}

// entry is what journalctl -o json writes of an entry. A field that occurs more
// than once is a list, and one that is not UTF-8 a list of bytes.
type entry struct {
	Realtime   journalText `json:"__REALTIME_TIMESTAMP"`
	Source     journalText `json:"_SOURCE_REALTIME_TIMESTAMP"`
	Host       journalText `json:"_HOSTNAME"`
	Identifier journalText `json:"SYSLOG_IDENTIFIER"`
	Command    journalText `json:"_COMM"`
	SyslogPID  journalText `json:"SYSLOG_PID"`
	PID        journalText `json:"_PID"`
	Priority   journalText `json:"PRIORITY"`
	Message    journalText `json:"MESSAGE"`
}

// parseJSON reads a line of docker's json-file driver or of journalctl -o json.
func (p *Parser) parseJSON(s string, h *Header) error {
	var line struct {
		container
		entry
	}
	if json.Unmarshal([]byte(s), &line) != nil {
		return ErrTimestamp
	}
	if line.Log != nil {
		return p.setContainer(&line.container, h)
	}
	return p.setEntry(&line.entry, h)
}

func (p *Parser) setContainer(c *container, h *Header) error {
	if n := p.readTime(c.Time, h); n == 0 || n != len(c.Time) {
		return ErrTimestamp
	}
	text, whole := strings.CutSuffix(*c.Log, "\n")
	p.setContent(strings.TrimSuffix(text, "\r"), whole, p.open.of(c.Stream), h)
	return nil
}

func (p *Parser) setEntry(e *entry, h *Header) error {
	at := e.Realtime
	if at == "" {
		at = e.Source
	}
	micros, err := strconv.ParseInt(string(at), 10, 64)
	if err != nil || e.Message == "" {
		return ErrTimestamp
	}
	h.Stamp, h.Time = StampFull, time.UnixMicro(micros).UTC()
	h.setHost(string(e.Host))
	h.Tag, h.PID = string(e.Identifier), number(string(e.SyslogPID))
	if h.Tag == "" {
		h.Tag = string(e.Command)
	}
	if h.PID == 0 {
		h.PID = number(string(e.PID))
	}
	h.Text = strings.TrimLeft(string(e.Message), " ")
	p.settle(h)
	return nil
}

// journalText is a value of a journal's field; "" for null, which stands for one
// that journalctl found too long.
type journalText string

// UnmarshalJSON takes a string, a list of bytes, or the first of a list of both.
func (t *journalText) UnmarshalJSON(value []byte) error {
	var list []json.RawMessage
	switch {
	case len(value) > 0 && value[0] == '"':
		return json.Unmarshal(value, (*string)(t))
	case string(value) == "null":
		return nil
	}
	if err := json.Unmarshal(value, &list); err != nil || len(list) == 0 {
		return err
	}
	if list[0][0] == '"' || list[0][0] == '[' {
		return t.UnmarshalJSON(list[0])
	}
	bytes := make([]byte, 0, len(list))
	for _, v := range list {
		b, err := strconv.ParseUint(string(v), 10, 8)
		if err != nil {
			return err
		}
		bytes = append(bytes, byte(b))
	}
	*t = journalText(bytes)
	return nil
}
