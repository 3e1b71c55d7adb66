package header

import (
	"strings"
	"time"
)

// Header is a syslog message taken apart. Its strings share the memory of the
// frame.
type Header struct {
	// Time is the time in the header, see Stamp.
	Time time.Time
	// Host is the host name in the header as the sender wrote it: a claim.
	Host string
	// Tag is the program name without the PID: a claim.
	Tag string
	// Text is the message behind "TAG[PID]: ", without a leading space.
	Text string
	// PID is the number in brackets behind the tag, or the PROCID of
	// RFC 5424; 0 if there is none.
	PID uint32
	// SequenceID is syslog-ng's [meta sequenceId="N"] (RFC 5424, section
	// 7.3.1); 0 if there is none.
	SequenceID uint32
	// Priority is facility*8+severity (RFC 5424, section 6.2.1), 0 to 191;
	// 13 (user.notice) if the frame had none.
	Priority uint8
	// Stamp says what Time means.
	Stamp Stamp
	// Relayed says that the header shows that another syslog daemon than the
	// one of Host has passed the message on. It may have cut it.
	Relayed bool
}

// Stamp says how much of a header's time is known.
type Stamp uint8

const (
	// StampNone means that the header carries no time.
	StampNone Stamp = iota
	// StampLocal means month, day and time of day of an unknown year and zone
	// (RFC 3164, section 4.1.2). Header.Time holds them as year 0, UTC.
	StampLocal
	// StampFull means an absolute time (RFC 3339, RFC 5424).
	StampFull
)

// Error is the kind of a header that could not be read. Its text is a
// metric label, so it never holds a byte of the message.
type Error string

func (e Error) Error() string { return "syslog header: " + string(e) }

// What can be wrong with a header.
const (
	// ErrEmpty means nothing but trailing LF, CR and NUL.
	ErrEmpty Error = "empty"
	// ErrPriority means "<" without one to three digits up to 191 and ">".
	ErrPriority Error = "priority"
	// ErrTimestamp means neither a time of a known shape nor a tag.
	ErrTimestamp Error = "timestamp"
	// ErrHeader means cut before the message, or a header of RFC 5424 that the
	// RFC does not allow.
	ErrHeader Error = "header"
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

// Parse splits frame into header and text. On error, which is an Error, the
// fields of h mean nothing.
func (p *Parser) Parse(frame string, h *Header) error {
	frame = trimTrailer(frame)
	if frame == "" {
		return ErrEmpty
	}
	*h = Header{}
	if frame[0] != '<' {
		h.Priority = noPriority
		return p.parseBSD(frame, false, h)
	}
	priority, rest, ok := cutPriority(frame)
	if !ok {
		return ErrPriority
	}
	h.Priority = priority
	if len(rest) > 1 && rest[1] == ' ' && rest[0] >= '1' && rest[0] <= '9' {
		if rest[0] == '1' && p.parsePlain5424(rest[2:], h) {
			return nil
		}
		return parseAny5424(frame, h)
	}
	return p.parseBSD(rest, true, h)
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
func (p *Parser) parseBSD(s string, hasPriority bool, h *Header) error {
	if s == "" {
		return ErrHeader
	}
	n := p.local.read(s, h)
	if n == 0 {
		n = p.full.read(s, h)
	}
	if n == 0 {
		if word, _, _ := strings.Cut(s, " "); !hasPriority || !isTag(word) {
			return ErrTimestamp
		}
		return h.setTag(s)
	}
	if n >= len(s) || s[n] != ' ' {
		return ErrHeader
	}
	return h.setHost(s[n+1:])
}

// setHost reads "HOST TAG[PID]: TEXT" or, as the local socket and some BSD
// senders have it, "TAG[PID]: TEXT".
func (h *Header) setHost(s string) error {
	word, rest, _ := strings.Cut(s, " ")
	if isTag(word) {
		return h.setTag(s)
	}
	if word == "" || rest == "" {
		return ErrHeader
	}
	h.Host = word
	return h.setTag(rest)
}

// isTag tells a tag from a host name: a tag ends in a colon or has its PID in
// brackets. A host may be an address and so hold colons and start with a
// bracket.
func isTag(word string) bool {
	return len(word) > 1 && (word[len(word)-1] == ':' || strings.IndexByte(word, '[') > 0)
}

// setTag reads "TAG[PID]: TEXT"; PID and colon may be missing, and a tag that
// its sender cut at 32 characters may have lost the end of its PID.
func (h *Header) setTag(s string) error {
	end := 0
	for end < len(s) && s[end] != ' ' && s[end] != ':' && s[end] != '[' {
		end++
	}
	h.Tag = s[:end]
	rest := s[end:]
	if rest != "" && rest[0] == '[' {
		rest = h.setPID(rest)
	}
	if rest != "" && rest[0] == ':' {
		rest = rest[1:]
	}
	h.Text = strings.TrimLeft(rest, " ")
	return nil
}

// setPID reads "[PID]" and returns what follows.
func (h *Header) setPID(s string) string {
	for i := 1; i < len(s) && s[i] != ' '; i++ {
		if s[i] == ']' {
			h.PID = number(s[1:i])
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
