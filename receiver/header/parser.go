package header

import (
	"cmp"
	"strings"
	"time"
)

// noPriority is what a frame without PRI gets: user.notice (RFC 3164, section
// 4.3.3).
const noPriority = 13

// maxDepth is how many headers one message may have: those of a container's
// log in the message of a relay are three.
const maxDepth = 3

// Parser reads the syslog header of one message after another, as documented
// for the package. It remembers the last second that it read, since most
// messages share theirs with the message before, and whether the last line of a
// container's log goes on. The zero value is ready; it is not safe for
// concurrent use.
type Parser struct {
	// Zone is that of hosts whose times do not name one. With nil such times,
	// and years without a zone, are StampLocal.
	Zone *time.Location
	// Tags says whose text may hold another header; nil believes none.
	Tags *Tags

	local localClock
	full  fullClock
	// relay is the argument of Parse, depth the number of headers around the
	// one that is read.
	relay bool
	depth int
	// weekday says that the time began with the name of a day.
	weekday bool
	open    Streams
}

// Parse splits frame, a datagram, a frame of a stream or a line of a file, into
// header and text. With relay the sender passes on what others wrote: a second
// header in its messages is the one that counts. On error, which is an Error,
// the fields of h mean nothing.
func (p *Parser) Parse(frame string, relay bool, h *Header) error {
	frame = trimTrailer(frame)
	if frame == "" {
		return ErrEmpty
	}
	p.relay, p.depth = relay, 0
	return p.parse(frame, h)
}

// parse reads a frame that is not empty, or the message within one.
func (p *Parser) parse(frame string, h *Header) error {
	h.reset()
	if frame[0] != '<' {
		return p.parseBare(frame, h)
	}
	priority, rest, ok := cutPriority(frame)
	if !ok {
		return ErrPriority
	}
	h.Priority = priority
	if len(rest) > 1 && rest[1] == ' ' && isDigit(rest[0]) && rest[0] != '0' {
		if rest[0] == '1' && p.parsePlain5424(rest[2:], h) {
			return p.settle5424(h)
		}
		if err := p.parseAny5424(frame, rest, h); err != nil {
			return err
		}
		return p.settle5424(h)
	}
	return p.parseBSD(rest, true, h)
}

// reset empties h; field by field, which takes half the time of an assignment.
func (h *Header) reset() {
	h.Time, h.Stamp = time.Time{}, StampNone
	h.Host, h.Tag, h.Text, h.Wrapper = "", "", "", ""
	h.PID, h.SequenceID, h.Repeats, h.Priority = 0, 0, 0, noPriority
	h.Withheld, h.Relayed, h.Cut, h.Second = WithheldNothing, false, false, false
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

// parseBare reads a message without PRI, as it stands in files: first of all
// what begins with a time, then what other programs than syslog daemons write.
func (p *Parser) parseBare(s string, h *Header) error {
	err := p.parseBSD(s, false, h)
	if err == nil {
		return nil
	}
	switch {
	case strings.HasPrefix(s, "\ufeff") && len(s) > len("\ufeff"):
		return p.parse(s[len("\ufeff"):], h)
	case isCompressed(s):
		return ErrCompressed
	case s[0] == '{':
		return p.parseJSON(s, h)
	case strings.HasPrefix(s, "\x1e{"): // journalctl -o json-seq
		return p.parseJSON(s[1:], h)
	case strings.HasPrefix(s, "data: {"): // journalctl -o json-sse
		return p.parseJSON(s[len("data: "):], h)
	case strings.HasPrefix(s, "1 ") && p.parse5424(s[2:], h):
		return p.settle5424(h)
	}
	if from, rest, ok := cutSource(s); ok {
		err = p.parseBSD(rest, false, h)
		h.Host, h.Relayed = cmp.Or(h.Host, from), true
	}
	return err
}

// isCompressed reports whether s begins as rsyslog's compressed frames do: 'z'
// and zlib (ZipLevel), or a stream of zlib, gzip or zstd (compression.mode).
func isCompressed(s string) bool {
	z := strings.TrimPrefix(s, "z")
	for _, magic := range []string{"x\x01", "x\x5e", "x\x9c", "x\xda"} {
		if strings.HasPrefix(z, magic) {
			return true
		}
	}
	return strings.HasPrefix(s, "\x1f\x8b") || strings.HasPrefix(s, "\x28\xb5\x2f\xfd")
}

// cutSource takes off what socklog and svlogd write in front of a message: a
// time ("@" and TAI64N, or date and time with "_" between them), the address of
// the sender, and facility and severity. svlogd splits long lines: what it writes
// without facility and severity may be the rest of one.
func cutSource(s string) (from, rest string, ok bool) {
	if stamp, behind, found := strings.Cut(s, " "); found && len(stamp) >= len(fullLayout) && (stamp[0] == '@' || stamp[10] == '_') {
		s = behind
	}
	word, rest, found := strings.Cut(s, ": ")
	if found && isAddress(word) {
		from = word
		word, rest, found = strings.Cut(rest, ": ")
	}
	return from, rest, found && isFacility(word)
}

// parseBSD reads what follows PRI in RFC 3164 and in rsyslog's ForwardFormat,
// which has the time of RFC 3339 in its place. A time may be missing only
// where PRI shows that this is the start of a message.
func (p *Parser) parseBSD(s string, hasPriority bool, h *Header) error {
	if s == "" {
		return ErrHeader
	}
	if s[0] == ' ' {
		s = strings.TrimLeft(s, " ")
	}
	p.weekday = false
	n := p.local.read(s, h)
	if n == 0 {
		n = p.full.read(s, h)
	}
	if n == 0 || n >= len(s) || s[n] != ' ' || n+1 < len(s) && isDigit(s[n+1]) {
		if n = p.readTime(s, h); n == 0 {
			return p.parseUndated(s, hasPriority, h)
		}
		if n >= len(s) || s[n] != ' ' {
			return ErrHeader
		}
	}
	if !p.weekday && p.parsePlain(s[n+1:], h) {
		return nil
	}
	return p.parseWords(s[n+1:], h)
}

// parseUndated reads a message without a time, as sysklogd sends it.
func (p *Parser) parseUndated(s string, hasPriority bool, h *Header) error {
	if !hasPriority {
		return ErrTimestamp
	}
	s = strings.TrimLeft(s, " ")
	word, rest, _ := strings.Cut(s, " ")
	_, _, _, ok := cutTag(rest)
	if !isTag(word) && !ok && repeats(s) == 0 && !p.startsForwarded(s) {
		return ErrTimestamp
	}
	return p.parseWords(s, h)
}

// parsePlain reads "HOST TAG[PID]: TEXT" or, as the local socket and some BSD
// senders have it, "TAG[PID]: TEXT". It reports false for everything that is
// not plainly so.
func (p *Parser) parsePlain(s string, h *Header) bool {
	end := 0
	for end < len(s) && s[end] != ' ' && s[end] != ':' && s[end] != '[' && s[end] != '/' && s[end] != '<' {
		end++
	}
	host := ""
	if end > 0 && end < len(s) && s[end] == ' ' {
		host, s = s[:end], s[end+1:]
	}
	tag, pid, text, ok := cutTag(s)
	if !ok {
		return false
	}
	if len(host) > len("local0.") && (host[len("mail")] == '.' || host[len("local0")] == '.') && isFacility(host) {
		host = ""
	}
	h.Host, h.Tag, h.PID, h.Text = host, tag, pid, text
	p.settle(h)
	return true
}

// cutTag reads "TAG[PID]: TEXT" with a PID that is a number. It reports false
// for everything that is not plainly so.
func cutTag(s string) (tag string, pid uint32, text string, ok bool) {
	end := 0
	for end < len(s) && s[end] != ' ' && s[end] != ':' && s[end] != '[' {
		end++
	}
	if end == 0 || end == len(s) || s[end] != '[' || s[0] == '<' {
		return "", 0, "", false
	}
	i := end + 1
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i+1 >= len(s) || s[i] != ']' || s[i+1] != ':' || i+2 < len(s) && s[i+2] != ' ' {
		return "", 0, "", false
	}
	return s[:end], number(s[end+1 : i]), trimSpaces(s[i+2:]), true
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
