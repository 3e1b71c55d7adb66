package logfile

import (
	"strings"
	"time"
)

// Stamp says how much of a line's time is known.
type Stamp uint8

const (
	// StampNone says that the line carries no time.
	StampNone Stamp = iota
	// StampLocal says that neither year nor zone is known. Header.Time is in
	// year 0, UTC; a Calendar places it.
	StampLocal
	// StampFull says that the time is absolute.
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
// in front of the text) add. It remembers the hour that it read last, because
// most lines share it with the line before: 40 ns a line instead of 200.
type HeaderParser struct {
	zone *time.Location
	// day is the last traditional time to the hour, clock the last other one,
	// offset its zone.
	day, clock, offset string
	dayHour, clockHour time.Time
}

// NewHeaderParser returns a parser for lines of hosts that log in zone where the
// line does not say.
func NewHeaderParser(zone *time.Location) *HeaderParser { return &HeaderParser{zone: zone} }

// Parse takes line apart into h, overwriting it. The line has no LF. It returns
// false for a line that is none of the known formats; h is then undefined.
func (p *HeaderParser) Parse(line string, h *Header) bool {
	if n := len(line) - 1; n >= 0 && line[n] == '\r' {
		line = line[:n]
	}
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
	const toHour, toSecond = len("Jan _2 15"), len("Jan _2 15:04:05")
	if s[:toHour] != p.day {
		hour, err := time.Parse("Jan _2 15", s[:toHour])
		if err != nil {
			return "", false
		}
		p.day, p.dayHour = strings.Clone(s[:toHour]), hour
	}
	past, ok := parseMinuteSecond(s[toHour:toSecond])
	if !ok {
		return "", false
	}
	fraction, rest := parseFraction(s[toSecond:])
	h.Time, h.Stamp = p.dayHour.Add(past+fraction), StampLocal
	return strings.CutPrefix(rest, " ")
}

// parseDateTime reads "2026-11-23T08:13:28.123456+01:00 " (RFC 3339), with a
// space for the T, without fraction or zone, and with a zone without colon.
func (p *HeaderParser) parseDateTime(s string, h *Header) (rest string, ok bool) {
	const toHour, toSecond = len("2006-01-02T15"), len("2006-01-02T15:04:05")
	if len(s) <= toSecond {
		return "", false
	}
	fraction, rest := parseFraction(s[toSecond:])
	offset, rest, ok := cutWord(rest)
	if !ok {
		return "", false
	}
	if s[:toHour] != p.clock || offset != p.offset {
		hour, ok := parseHour(s[:toHour], offset, p.zone)
		if !ok {
			return "", false
		}
		p.clock, p.offset, p.clockHour = strings.Clone(s[:toHour]), strings.Clone(offset), hour
	}
	past, ok := parseMinuteSecond(s[toHour:toSecond])
	h.Time, h.Stamp = p.clockHour.Add(past+fraction), StampFull
	return rest, ok
}

// parseHour reads "2026-11-23T08" with the zone offset behind it, zone if that
// is "".
func parseHour(hour, offset string, zone *time.Location) (time.Time, bool) {
	layout := "2006-01-02T15"
	if hour[10] == ' ' {
		layout = "2006-01-02 15"
	}
	switch {
	case offset == "":
	case strings.Contains(offset, ":") || offset == "Z":
		layout += "Z07:00"
	default:
		layout += "Z0700"
	}
	at, err := time.ParseInLocation(layout, hour+offset, zone)
	return at, err == nil
}

// parseMinuteSecond reads ":13:28"; second 60 is a leap second.
func parseMinuteSecond(s string) (time.Duration, bool) {
	minute, second := twoDigits(s[1:]), twoDigits(s[4:])
	if s[0] != ':' || s[3] != ':' || minute > 59 || second > 60 {
		return 0, false
	}
	return time.Duration(minute)*time.Minute + time.Duration(second)*time.Second, true
}

// twoDigits returns 100 or more if s does not begin with two digits.
func twoDigits(s string) uint {
	tens, ones := uint(s[0])-'0', uint(s[1])-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return tens*10 + ones
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
	host, rest, ok := cutWord(s)
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
		h.PID, i = parsePID(s, i+1)
	}
	if i < len(s) && s[i] == ':' {
		i++
	}
	for i < len(s) && s[i] == ' ' {
		i++
	}
	return s[i:]
}

// parsePID reads the number at i and the bracket behind it, and returns where
// they end. What is not a process number is 0.
func parsePID(s string, i int) (pid uint32, end int) {
	pid, length := number(s[i:])
	if i += length; i < len(s) && s[i] == ']' {
		return pid, i + 1
	}
	if length := strings.IndexByte(s[i:], ']'); length >= 0 {
		return 0, i + length + 1
	}
	return 0, i
}

// number reads up to nine digits.
func number(s string) (n uint32, length int) {
	for length < len(s) && length < 9 && isDigit(s[length]) {
		n = n*10 + uint32(s[length]-'0')
		length++
	}
	return n, length
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
		if fields[i], s, ok = cutWord(s); !ok {
			return false
		}
		if fields[i] == "-" {
			fields[i] = ""
		}
	}
	h.Host, h.Tag, h.PID = fields[0], fields[1], processID(fields[2])
	text, ok := skipStructuredData(s)
	h.Text = strings.TrimLeft(strings.TrimPrefix(text, "\ufeff"), " ")
	return ok
}

// processID is a PROCID, 0 if it is no number.
func processID(s string) uint32 {
	if n, length := number(s); length == len(s) {
		return n
	}
	return 0
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

// cutWord is strings.Cut(s, " ") for short words, where a loop is faster.
func cutWord(s string) (word, rest string, ok bool) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
