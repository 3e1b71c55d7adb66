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
	_, s, ok4 := cutField(s, maxMsgID)
	if !ok1 || !ok2 || !ok3 || !ok4 || s == "" || s[0] != '-' || len(s) > 1 && s[1] != ' ' {
		return false
	}
	h.Host, h.Tag, h.PID = unlessNil(host), unlessNil(app), number(proc)
	h.Text = trimMessage(s[1:])
	return true
}

// cutField takes the field up to the next space off s.
func cutField(s string, limit int) (field, rest string, ok bool) {
	i := strings.IndexByte(s, ' ')
	if i <= 0 || i > limit {
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
	s = strings.TrimPrefix(strings.TrimLeft(s, " "), "\ufeff")
	return strings.TrimLeft(s, " ")
}

// parseAny5424 reads a message of RFC 5424 with go-syslog's parser. That ends
// structured data at the first "] ", also within a quoted value, where it is
// the text of whoever chose the value: so the end is looked for here, and the
// library sees the header alone.
func parseAny5424(frame string, h *Header) error {
	start := headerEnd(frame)
	size, ok := structuredData(frame[start:])
	if !ok {
		return ErrHeader
	}
	parts, ok := dump5424(frame[:start+size])
	if !ok {
		return ErrHeader
	}
	host, _ := parts["hostname"].(string)
	app, _ := parts["app_name"].(string)
	proc, _ := parts["proc_id"].(string)
	msgID, _ := parts["msg_id"].(string)
	if host == "" || app == "" || proc == "" || msgID == "" {
		return ErrHeader
	}
	h.Stamp, h.Time = StampNone, time.Time{}
	if t, _ := parts["timestamp"].(time.Time); !t.IsZero() {
		h.Stamp, h.Time = StampFull, t.UTC()
	}
	h.Host, h.Tag, h.PID = unlessNil(host), unlessNil(app), number(proc)
	h.SequenceID = sequenceID(frame[start : start+size])
	h.Text = trimMessage(frame[start+size:])
	return nil
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
