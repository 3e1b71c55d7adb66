package receiver

import (
	"strings"
	"time"
)

// HeaderError is the kind of a header that could not be read. Its text is a
// metric label, so it never holds a byte of the message.
type HeaderError string

func (e HeaderError) Error() string { return "syslog header: " + string(e) }

// What can be wrong with a header.
const (
	// ErrEmpty means nothing but trailing LF, CR and NUL.
	ErrEmpty HeaderError = "empty"
	// ErrPriority means "<" without one to three digits up to 191 and ">".
	ErrPriority HeaderError = "priority"
	// ErrTimestamp means neither a time of a known shape nor a tag.
	ErrTimestamp HeaderError = "timestamp"
	// ErrHeader means cut before the message, or a header of RFC 5424 that the
	// RFC does not allow.
	ErrHeader HeaderError = "header"
)

// noPriority is what a frame without PRI gets: user.notice (RFC 3164, section
// 4.3.3).
const noPriority = 13

// Parser reads the syslog header of one frame after another. It remembers the
// last second that it read, since most messages share theirs with the message
// before. The zero value is ready; it is not safe for concurrent use.
type Parser struct {
	local localClock
	full  fullClock
}

// Parse splits frame into the header fields and the text of m and leaves the
// other fields alone. The strings in m are substrings of frame where the shape
// is one that rsyslog sends. On error, which is a HeaderError, the fields of m
// mean nothing.
func (p *Parser) Parse(frame string, m *Message) error {
	frame = trimTrailer(frame)
	if frame == "" {
		return ErrEmpty
	}
	m.Stamp, m.Time, m.PID, m.SequenceID = StampNone, time.Time{}, 0, 0
	m.Host, m.Tag, m.Text = "", "", ""
	if frame[0] != '<' {
		m.Priority = noPriority
		return p.parseBSD(frame, false, m)
	}
	priority, rest, ok := cutPriority(frame)
	if !ok {
		return ErrPriority
	}
	m.Priority = priority
	if len(rest) > 1 && rest[1] == ' ' && rest[0] >= '1' && rest[0] <= '9' {
		if rest[0] == '1' && p.parsePlain5424(rest[2:], m) {
			return nil
		}
		return parseAny5424(frame, m)
	}
	return p.parseBSD(rest, true, m)
}

// trimTrailer removes what senders put behind a message: LF (also inside an
// octet count), CR LF, NUL.
func trimTrailer(s string) string {
	for s != "" && (s[len(s)-1] == '\n' || s[len(s)-1] == 0 || s[len(s)-1] == '\r') {
		s = s[:len(s)-1]
	}
	return s
}

// cutPriority takes "<N>" off; s starts with "<".
func cutPriority(s string) (priority uint8, rest string, ok bool) {
	n := 0
	for i := 1; i < len(s) && i <= 4; i++ {
		switch c := s[i]; {
		case isDigit(c):
			n = n*10 + int(c-'0')
		case c == '>' && i > 1 && n <= 191:
			return uint8(n), s[i+1:], true
		default:
			return 0, "", false
		}
	}
	return 0, "", false
}

// parseBSD reads what follows PRI in RFC 3164 and in rsyslog's ForwardFormat,
// which has the time of RFC 3339 in its place. A time may be missing only
// where PRI shows that this is the start of a message.
func (p *Parser) parseBSD(s string, hasPriority bool, m *Message) error {
	if s == "" {
		return ErrHeader
	}
	n := p.local.read(s, m)
	if n == 0 {
		n = p.full.read(s, m)
	}
	if n == 0 {
		if word, _, _ := strings.Cut(s, " "); !hasPriority || !isTag(word) {
			return ErrTimestamp
		}
		return m.setTag(s)
	}
	if n >= len(s) || s[n] != ' ' {
		return ErrHeader
	}
	return m.setHost(s[n+1:])
}

// setHost reads "HOST TAG[PID]: TEXT" or, as the local socket and some BSD
// senders have it, "TAG[PID]: TEXT".
func (m *Message) setHost(s string) error {
	word, rest, _ := strings.Cut(s, " ")
	if isTag(word) {
		return m.setTag(s)
	}
	if word == "" || rest == "" {
		return ErrHeader
	}
	m.Host = word
	return m.setTag(rest)
}

// isTag tells a tag from a host name: a tag ends in a colon or has its PID in
// brackets. A host may be an address and so hold colons and start with a
// bracket.
func isTag(word string) bool {
	return len(word) > 1 && (word[len(word)-1] == ':' || strings.IndexByte(word, '[') > 0)
}

// setTag reads "TAG[PID]: TEXT"; PID and colon may be missing, and a tag that
// its sender cut at 32 characters may have lost the end of its PID.
func (m *Message) setTag(s string) error {
	end := 0
	for end < len(s) && s[end] != ' ' && s[end] != ':' && s[end] != '[' {
		end++
	}
	m.Tag = s[:end]
	rest := s[end:]
	if rest != "" && rest[0] == '[' {
		rest = m.setPID(rest)
	}
	if rest != "" && rest[0] == ':' {
		rest = rest[1:]
	}
	m.Text = strings.TrimLeft(rest, " ")
	return nil
}

// setPID reads "[PID]" and returns what follows.
func (m *Message) setPID(s string) string {
	for i := 1; i < len(s) && s[i] != ' '; i++ {
		if s[i] == ']' {
			m.PID = number(s[1:i])
			return s[i+1:]
		}
	}
	_, rest, _ := strings.Cut(s, " ")
	return rest
}

// number reads a decimal number of 32 bits; 0 if s is anything else.
func number(s string) uint32 {
	if s == "" || len(s) > 10 {
		return 0
	}
	var n uint64
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0
		}
		n = n*10 + uint64(s[i]-'0')
	}
	if n > 1<<32-1 {
		return 0
	}
	return uint32(n)
}

func isDigit(c byte) bool { return c-'0' <= 9 }
