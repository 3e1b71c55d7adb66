package header

import (
	"strings"
	"time"

	"gopkg.in/mcuadros/go-syslog.v2/format"
)

// The longest fields that RFC 5424, section 6, allows.
const (
	maxHost   = 255
	maxApp    = 48
	maxProcID = 128
	maxMsgID  = 32
)

// parsePlain5424 reads what follows "<PRI>1 " when there is no structured
// data, which is all that rsyslog's own templates send. It reports false for
// everything that is not plainly so.
func (p *Parser) parsePlain5424(s string, h *Header) bool {
	n := 1
	if s == "" || s[0] != '-' {
		n = p.full.read(s, h)
	}
	if n == 0 || n >= len(s) || s[n] != ' ' {
		return false
	}
	host, s, ok1 := cutField(s[n+1:], maxHost)
	app, s, ok2 := cutField(s, maxApp)
	proc, s, ok3 := cutField(s, maxProcID)
	if !ok1 || !ok2 || !ok3 {
		return false
	}
	if len(s) > 2 && s[0] == '-' && s[1] == ' ' { // MSGID, nearly always
		s = s[2:]
	} else if _, s, ok1 = cutField(s, maxMsgID); !ok1 {
		return false
	}
	if s == "" || s[0] != '-' || len(s) > 1 && s[1] != ' ' {
		return false
	}
	h.setFields(host, app, proc)
	h.Text = trimMessage(s[1:])
	return true
}

// setFields takes HOSTNAME, APP-NAME and PROCID, none of which is "".
func (h *Header) setFields(host, app, proc string) {
	h.Host, h.Tag, h.PID = unlessNil(host), unlessNil(app), number(proc)
	if strings.IndexByte(host, '/') >= 0 {
		h.setHost(host)
	}
	if c := app[len(app)-1]; c == ']' || c == ':' {
		h.setApp(app)
	}
}

// setApp takes an APP-NAME that a template has filled with tag, PID and colon
// (rsyslog's %syslogtag%). The PID there is nearer to the program than PROCID.
func (h *Header) setApp(app string) {
	inner := Header{}
	inner.setTag(app)
	if inner.Tag == "" {
		return
	}
	h.Tag = inner.Tag
	if inner.PID != 0 {
		h.PID = inner.PID
	}
}

// parse5424 reads what follows the version, which no library reads: without PRI,
// within another message, or with a time that RFC 5424 does not allow.
func (p *Parser) parse5424(s string, h *Header) bool {
	n := 1
	if !strings.HasPrefix(s, "- ") {
		n = p.readTime(s, h)
	}
	return n > 0 && n < len(s) && s[n] == ' ' && p.parseAnyFields(s[n+1:], h)
}

// parseFields reads "HOST APP-NAME PROCID MSGID SD TEXT" behind a time: sysklogd
// and FreeBSD write files of RFC 5424 without PRI and version. Since a line of
// RFC 3164 may begin alike, PROCID must be a number or nothing.
func (p *Parser) parseFields(s string, h *Header) bool {
	words := strings.SplitN(s, " ", 4)
	if len(words) < 4 || isTag(words[1]) && words[1][len(words[1])-1] != ']' || number(words[2]) == 0 && words[2] != "-" {
		return false
	}
	return p.parseAnyFields(s, h)
}

// parseAnyFields reads "HOST APP-NAME PROCID MSGID SD TEXT".
func (p *Parser) parseAnyFields(s string, h *Header) bool {
	host, s, ok1 := cutField(s, maxHost)
	app, s, ok2 := cutField(s, maxApp)
	proc, s, ok3 := cutField(s, maxProcID)
	_, s, ok4 := cutField(s, maxMsgID)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return false
	}
	size, ok := structuredData(s)
	if !ok {
		return false
	}
	h.setFields(host, app, proc)
	h.SequenceID = sequenceID(s[:size])
	h.Text = trimMessage(s[size:])
	return true
}

// cutField takes the field up to the next space off s.
func cutField(s string, limit int) (field, rest string, ok bool) {
	i := 0
	for i < len(s) && i < limit && s[i] != ' ' { // fields are short: faster than IndexByte
		i++
	}
	if i == 0 || i == len(s) || s[i] != ' ' {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// unlessNil returns "" for the NILVALUE of RFC 5424.
func unlessNil(field string) string {
	if field == "-" {
		return ""
	}
	return field
}

// trimMessage removes the separator, the byte order mark of RFC 5424 and the
// space with which rsyslog's MSG begins.
func trimMessage(s string) string {
	s = trimSpaces(s)
	if s != "" && s[0] == "\ufeff"[0] {
		s = trimSpaces(strings.TrimPrefix(s, "\ufeff"))
	}
	return s
}

// trimSpaces is strings.TrimLeft for the few spaces that there are.
func trimSpaces(s string) string {
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	return s
}

// parseAny5424 reads a message of RFC 5424 with go-syslog's parser, and what
// that refuses for its time alone by itself; rest is what follows PRI. The
// library ends structured data at the first "] ", also within a quoted value,
// where it is the text of whoever chose the value: so the end is looked for
// here, and the library sees the header alone.
func (p *Parser) parseAny5424(frame, rest string, h *Header) error {
	start := headerEnd(frame)
	size, ok := structuredData(frame[start:])
	if !ok {
		return ErrHeader
	}
	if parts, ok := dump5424(frame[:start+size]); ok && h.setParts(parts) {
		h.SequenceID = sequenceID(frame[start : start+size])
		h.Text = trimMessage(frame[start+size:])
		return nil
	}
	if rest[0] != '1' || !p.parse5424(rest[2:], h) {
		return ErrHeader
	}
	return nil
}

// setParts takes the fields from the library; false if it lacks one.
func (h *Header) setParts(parts format.LogParts) bool {
	host, _ := parts["hostname"].(string)
	app, _ := parts["app_name"].(string)
	proc, _ := parts["proc_id"].(string)
	msgID, _ := parts["msg_id"].(string)
	if host == "" || app == "" || proc == "" || msgID == "" {
		return false
	}
	h.Stamp, h.Time = StampNone, time.Time{}
	if t, _ := parts["timestamp"].(time.Time); !t.IsZero() {
		h.Stamp, h.Time = StampFull, t.UTC()
	}
	h.setFields(host, app, proc)
	return true
}

// dump5424 keeps a panic of the library to the message that caused it.
func dump5424(header string) (parts format.LogParts, ok bool) {
	defer func() {
		if recover() != nil {
			parts, ok = nil, false
		}
	}()
	parser := new(format.RFC5424).GetParser([]byte(header))
	if parser.Parse() != nil {
		return nil, false
	}
	return parser.Dump(), true
}

// headerEnd returns where structured data should begin: behind the sixth
// space.
func headerEnd(frame string) int {
	end := 0
	for range 6 {
		i := strings.IndexByte(frame[end:], ' ')
		if i < 0 {
			return len(frame)
		}
		end += i + 1
	}
	return end
}

// structuredData returns the length of the structured data at the start of s
// (RFC 5424, section 6.3): "-", or elements in brackets in which quoted values
// escape quote, backslash and bracket.
func structuredData(s string) (size int, ok bool) {
	if s == "-" || strings.HasPrefix(s, "- ") {
		return 1, true
	}
	if s == "" || s[0] != '[' {
		return 0, false
	}
	inElement, quoted := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && inElement:
			quoted = !quoted
		case quoted:
		case c == '[' && !inElement:
			inElement = true
		case c == ']' && inElement:
			inElement = false
		case c == ' ' && !inElement:
			return i, true
		case !inElement:
			return 0, false
		}
	}
	return len(s), !inElement
}

// sequenceID finds N in [meta ... sequenceId="N" ...].
func sequenceID(data string) uint32 {
	_, meta, ok := strings.Cut(data, "[meta ")
	if !ok {
		return 0
	}
	meta, _, _ = strings.Cut(meta, "]")
	_, value, ok := strings.Cut(meta, `sequenceId="`)
	if !ok {
		return 0
	}
	value, _, _ = strings.Cut(value, `"`)
	return number(value)
}
