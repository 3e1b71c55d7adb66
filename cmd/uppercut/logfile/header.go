package logfile

import (
	"strings"
	"time"
)

// Stamp says how much of a line's time is known.
type Stamp uint8

const (
	// StampNone: the line carries no time.
	StampNone Stamp = iota
	// StampLocal: neither year nor zone. Header.Time is in year 0, UTC; a
	// Calendar places it.
	StampLocal
	// StampFull: an absolute time.
	StampFull
)

// Header is a line taken apart. Its strings share the line's memory.
type Header struct {
	Time  time.Time
	Stamp Stamp
	// PID is the number behind the tag, 0 if there is none.
	PID uint32
	// Host is "" where the file leaves it out.
	Host string
	// Tag is the program's name.
	Tag string
	// Text is what stands behind "TAG[PID]: ".
	Text string
}

// HeaderParser takes lines apart. It understands, with or without "<PRI>" in
// front:
//
//	Nov 23 08:13:28 HOST TAG[PID]: TEXT                   traditional
//	2026-11-23T08:13:28.123456+01:00 HOST TAG[PID]: TEXT  ISO 8601, RFC 3339
//	2026-11-23 08:13:28 HOST TAG[PID]: TEXT               no zone
//	<22>1 2026-11-23T08:13:28Z HOST TAG PID - - TEXT      RFC 5424
//
// and what BSD ("<mail.info>" behind the time) and Solaris ("[ID 1 mail.info]"
// in front of the text) add. It remembers the last time that it read, because
// most lines share their second with the line before: 25 ns a line instead of
// 60.
type HeaderParser struct {
	zone *time.Location
	// day is the last traditional time, clock the last other one without its
	// fraction, with zone offset.
	day, clock, offset string
	dayTime, clockTime time.Time
}

// NewHeaderParser returns a parser for lines of hosts that log in zone where the
// line does not say.
func NewHeaderParser(zone *time.Location) *HeaderParser { return &HeaderParser{zone: zone} }

// Parse takes line apart into h, overwriting it. The line has no LF. It returns
// false for a line that is none of the known formats; h is then undefined.
func (p *HeaderParser) Parse(line string, h *Header) bool {
	line = strings.TrimSuffix(line, "\r")
	rest := skipPriority(line)
	if len(rest) < len(line) && strings.HasPrefix(rest, "1 ") {
		return p.parse5424(rest[2:], h)
	}
	rest, ok := p.parseTime(rest, h)
	return ok && parseOrigin(rest, h)
}

// skipPriority drops "<0>" to "<191>".
func skipPriority(s string) string {
	if len(s) < 3 || s[0] != '<' {
		return s
	}
	for i := 1; i < len(s) && i <= 4; i++ {
		if s[i] == '>' && i > 1 {
			return s[i+1:]
		}
		if !isDigit(s[i]) {
			break
		}
	}
	return s
}

// parseTime reads the time in front of s and the space behind it.
func (p *HeaderParser) parseTime(s string, h *Header) (rest string, ok bool) {
	if len(s) < len("Jan _2 15:04:05 ") {
		return "", false
	}
	if isDigit(s[0]) {
		return p.parseDateTime(s, h)
	}
	return p.parseTraditional(s, h)
}

// parseTraditional reads "Nov 23 08:13:28 ", RFC 3164, section 4.1.2; a fraction
// of a second may follow.
func (p *HeaderParser) parseTraditional(s string, h *Header) (rest string, ok bool) {
	const width = len("Jan _2 15:04:05")
	if s[:width] != p.day {
		at, err := time.Parse(time.Stamp, s[:width])
		if err != nil {
			return "", false
		}
		p.day, p.dayTime = strings.Clone(s[:width]), at
	}
	h.Time, h.Stamp = p.dayTime, StampLocal
	fraction, rest := parseFraction(s[width:])
	h.Time = h.Time.Add(fraction)
	return strings.CutPrefix(rest, " ")
}

// parseDateTime reads "2026-11-23T08:13:28.123456+01:00 " (RFC 3339), with a
// space for the T, without fraction or zone, and with a zone without colon.
func (p *HeaderParser) parseDateTime(s string, h *Header) (rest string, ok bool) {
	const width = len("2006-01-02T15:04:05")
	if len(s) <= width {
		return "", false
	}
	fraction, rest := parseFraction(s[width:])
	offset, rest, ok := strings.Cut(rest, " ")
	if !ok {
		return "", false
	}
	if s[:width] != p.clock || offset != p.offset {
		at, ok := parseClock(s[:width], offset, p.zone)
		if !ok {
			return "", false
		}
		p.clock, p.offset, p.clockTime = strings.Clone(s[:width]), strings.Clone(offset), at
	}
	h.Time, h.Stamp = p.clockTime.Add(fraction), StampFull
	return rest, true
}

func parseClock(clock, offset string, zone *time.Location) (time.Time, bool) {
	layout := "2006-01-02T15:04:05"
	if clock[10] == ' ' {
		layout = time.DateTime
	}
	switch {
	case offset == "":
	case strings.Contains(offset, ":") || offset == "Z":
		layout += "Z07:00"
	default:
		layout += "Z0700"
	}
	at, err := time.ParseInLocation(layout, clock+offset, zone)
	return at, err == nil
}

// parseFraction reads ".123456" or ",123".
func parseFraction(s string) (d time.Duration, rest string) {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' || !isDigit(s[1]) {
		return 0, s
	}
	unit := time.Second / 10
	i := 1
	for ; i < len(s) && isDigit(s[i]); i++ {
		d += time.Duration(s[i]-'0') * unit
		unit /= 10
	}
	return d, s[i:]
}

// parseOrigin reads "HOST TAG[PID]: TEXT".
func parseOrigin(s string, h *Header) bool {
	if strings.HasPrefix(s, "<") { // syslogd -v of the BSDs: <mail.info>
		if end := strings.Index(s, "> "); end > 0 {
			s = s[end+2:]
		}
	}
	host, rest, ok := strings.Cut(s, " ")
	if !ok || host == "" {
		return false
	}
	if host[len(host)-1] == ':' { // no host: that was the tag
		host, rest = "", s
	}
	h.Host = host
	h.Text = skipMessageID(parseTag(rest, h))
	return h.Tag != ""
}

// parseTag reads "TAG[PID]: " or "TAG: " and returns what follows.
func parseTag(s string, h *Header) (text string) {
	i := 0
	for i < len(s) && s[i] != '[' && s[i] != ':' && s[i] != ' ' {
		i++
	}
	h.Tag, h.PID = s[:i], 0
	if i < len(s) && s[i] == '[' {
		if end := strings.IndexByte(s[i:], ']'); end > 0 {
			h.PID = parsePID(s[i+1 : i+end])
			i += end + 1
		}
	}
	if i < len(s) && s[i] == ':' {
		i++
	}
	return strings.TrimLeft(s[i:], " ")
}

// skipMessageID drops "[ID 801593 mail.info] ", which Solaris writes in front of
// the text.
func skipMessageID(text string) string {
	if !strings.HasPrefix(text, "[ID ") {
		return text
	}
	if end := strings.Index(text, "] "); end > 0 && end < 40 {
		return text[end+2:]
	}
	return text
}

// parsePID returns 0 for what is not a process number.
func parsePID(s string) uint32 {
	if len(s) > 9 {
		return 0
	}
	var n uint32
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0
		}
		n = n*10 + uint32(s[i]-'0')
	}
	return n
}

// parse5424 reads what follows the version: RFC 5424, section 6.
func (p *HeaderParser) parse5424(s string, h *Header) bool {
	if rest, ok := strings.CutPrefix(s, "- "); ok {
		h.Time, h.Stamp, s = time.Time{}, StampNone, rest
	} else if s, ok = p.parseTime(s, h); !ok {
		return false
	}
	var fields [4]string // HOSTNAME, APP-NAME, PROCID, MSGID
	for i := range fields {
		var ok bool
		if fields[i], s, ok = strings.Cut(s, " "); !ok {
			return false
		}
		if fields[i] == "-" {
			fields[i] = ""
		}
	}
	h.Host, h.Tag, h.PID = fields[0], fields[1], parsePID(fields[2])
	text, ok := skipStructuredData(s)
	h.Text = strings.TrimLeft(strings.TrimPrefix(text, "\ufeff"), " ")
	return ok
}

// skipStructuredData drops "-" or elements in brackets, in which a backslash
// escapes '"', '\' and ']' within quotes (RFC 5424, section 6.3.3).
func skipStructuredData(s string) (rest string, ok bool) {
	if strings.HasPrefix(s, "-") {
		return strings.TrimPrefix(s[1:], " "), true
	}
	quoted, inside := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && inside:
			quoted = !quoted
		case quoted:
		case c == '[' && !inside:
			inside = true
		case c == ']' && inside:
			inside = false
		case !inside:
			return s[i+1:], c == ' ' && i > 0
		}
	}
	return "", !inside && s != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
