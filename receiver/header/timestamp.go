package header

import (
	"strings"
	"time"
)

// localLayout and fullLayout are the parts of a timestamp that stay the same
// within a second.
const (
	localLayout = "Jan _2 15:04:05"
	fullLayout  = "2006-01-02T15:04:05"
)

// localClock reads the time of RFC 3164, "Nov 23 07:33:23".
type localClock struct {
	text [len(localLayout)]byte
	time time.Time
}

// read sets the time of h and returns the length of the timestamp at the start
// of s, 0 if there is none.
func (c *localClock) read(s string, h *Header) int {
	if len(s) < len(localLayout) || s[3] != ' ' {
		return 0
	}
	if s[:len(localLayout)] != string(c.text[:]) {
		t, ok := parseLocal(s[:len(localLayout)])
		if !ok {
			return 0
		}
		copy(c.text[:], s)
		c.time = t
	}
	h.Stamp, h.Time = StampLocal, c.time
	return len(localLayout)
}

// parseLocal reads month, day and time into the year 0, which has a 29
// February. The day may be padded by a space or by a zero. A leap second counts
// as the one before, so that it stays in its year.
func parseLocal(s string) (time.Time, bool) {
	month := monthOf(s[:3])
	day := digits2(s[4:])
	if s[4] == ' ' {
		day = digits2("0" + s[5:6])
	}
	hour, minute, second, ok := timeOfDay(s[7:])
	if month == 0 || day < 1 || s[6] != ' ' || !ok {
		return time.Time{}, false
	}
	t := time.Date(0, month, day, hour, minute, min(second, 59), 0, time.UTC)
	return t, t.Day() == day
}

func monthOf(s string) time.Month {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for i := 0; i < len(names); i += 3 {
		if names[i:i+3] == s {
			return time.Month(i/3 + 1)
		}
	}
	return 0
}

// fullClock reads the time of RFC 3339, "2026-11-23T07:33:25.586845+01:00",
// with up to nine digits behind the point.
type fullClock struct {
	text [len(fullLayout)]byte
	unix int64 // text as if it were UTC, in seconds since 1970
}

// read sets the time of h and returns the length of the timestamp at the start
// of s, 0 if there is none.
func (c *fullClock) read(s string, h *Header) int {
	n, nanos := c.readClock(s)
	if n == 0 {
		return 0
	}
	offset, width := zone(s[n:])
	if width == 0 {
		return 0
	}
	h.Stamp, h.Time = StampFull, time.Unix(c.unix-offset, nanos).UTC()
	return n + width
}

// readClock reads date and time of day with the fraction of the second into
// c.unix and nanos, and returns their length, 0 if s does not begin with them.
func (c *fullClock) readClock(s string) (n int, nanos int64) {
	if len(s) <= len(fullLayout) || s[4] != '-' {
		return 0, 0
	}
	if s[:len(fullLayout)] != string(c.text[:]) {
		t, ok := parseFull(s[:len(fullLayout)])
		if !ok {
			return 0, 0
		}
		copy(c.text[:], s)
		c.unix = t.Unix()
	}
	nanos, width := fraction(s[len(fullLayout):])
	return len(fullLayout) + width, nanos
}

// parseFull reads date and time: with "T" as in RFC 3339, or with a space as
// people write it.
func parseFull(s string) (time.Time, bool) {
	century, year, month, day := digits2(s), digits2(s[2:]), digits2(s[5:]), digits2(s[8:])
	hour, minute, second, ok := timeOfDay(s[11:])
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || s[7] != '-' || !ok ||
		s[10] != 'T' && s[10] != 't' && s[10] != ' ' {
		return time.Time{}, false
	}
	t := time.Date(century*100+year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
	return t.Add(time.Duration(second) * time.Second), t.Day() == day
}

// readTime reads a time of any of the shapes that syslog daemons and journalctl
// write, without the space behind it. It returns the length, 0 if s begins with
// none.
func (p *Parser) readTime(s string, h *Header) int {
	p.weekday = false
	start := weekdayLength(s)
	p.weekday = start > 0
	rest := s[start:]
	if len(rest) < len("1796040000") {
		return 0
	}
	n := 0
	switch {
	case !isDigit(rest[0]):
		n = p.readLocal(rest, 0, h)
	case rest[4] == '-':
		n = p.readFull(rest, h)
	case rest[4] == ' ':
		if year, ok := yearAt(rest); ok {
			if n = p.readLocal(rest[len("2026 "):], year, h); n > 0 {
				n += len("2026 ")
			}
		}
	default:
		n = readUnix(rest, h)
	}
	if n == 0 {
		return 0
	}
	return start + n
}

// weekdayLength returns the length of "Mon " or "Mon, " at the start of s.
func weekdayLength(s string) int {
	const names = "MonTueWedThuFriSatSun"
	if len(s) < 5 || s[3] != ' ' && s[3] != ',' {
		return 0
	}
	if i := strings.Index(names, s[:3]); i < 0 || i%3 != 0 {
		return 0
	}
	return len(s) - len(strings.TrimLeft(s[4:], " "))
}

// readLocal reads the time of RFC 3164 and what some add to it: a fraction of a
// second, a year in front of the time of day or behind it, a zone behind that;
// the day may lack its padding. year is 0 if it has not been read yet.
func (p *Parser) readLocal(s string, year int, h *Header) int {
	date, n := readDate(s)
	if n == 0 {
		return 0
	}
	if y, ok := yearAt(s[n:]); ok && year == 0 {
		year, n = y, n+len("2026 ")
	}
	if len(s) < n+len("15:04:05") {
		return 0
	}
	hour, minute, second, ok := timeOfDay(s[n:])
	if !ok {
		return 0
	}
	n += len("15:04:05")
	nanos, width := fraction(s[n:])
	n += width
	if y, ok := yearAt(strings.TrimPrefix(s[n:], " ")); ok && year == 0 && s[n] == ' ' {
		year, n = y, n+len(" 2026")
	}
	clock := time.Date(year, date.Month(), date.Day(), hour, minute, min(second, 59), int(nanos), time.UTC)
	if year == 0 {
		h.Stamp, h.Time = StampLocal, clock
		return n
	}
	return n + p.place(clock, s[n:], h)
}

// readDate reads "Nov  3 ", "Nov 03 " or "Nov 3 "; n is 0 if s begins with none.
func readDate(s string) (date time.Time, n int) {
	if len(s) < len("Nov 3 15:04:05") || s[3] != ' ' {
		return time.Time{}, 0
	}
	month := monthOf(s[:3])
	n = len("Nov ")
	if s[n] == ' ' {
		n++
	}
	day := 0
	for n < len(s) && isDigit(s[n]) && day < 10 {
		day = day*10 + int(s[n]-'0')
		n++
	}
	date = time.Date(0, month, day, 0, 0, 0, 0, time.UTC)
	if month == 0 || day < 1 || date.Day() != day || n == len(s) || s[n] != ' ' {
		return time.Time{}, 0
	}
	return date, n + 1
}

// yearAt reads "2026 "; the least year is 1970.
func yearAt(s string) (year int, ok bool) {
	if len(s) < len("2026 ") || s[4] != ' ' || digits2(s) < 19 || digits2(s) > 21 || digits2(s[2:]) < 0 {
		return 0, false
	}
	year = digits2(s)*100 + digits2(s[2:])
	return year, year >= 1970
}

// readFull reads the time of RFC 3339 and its relatives: a space for the T, a
// zone without colon, behind a space or missing.
func (p *Parser) readFull(s string, h *Header) int {
	n, nanos := p.full.readClock(s)
	if n == 0 {
		return 0
	}
	return n + p.place(time.Unix(p.full.unix, nanos).UTC(), s[n:], h)
}

// place sets the time of h: clock, in UTC, is what the header says, and rest
// begins with the zone if there is one. It returns the zone's length.
func (p *Parser) place(clock time.Time, rest string, h *Header) int {
	offset, width := zone(rest)
	if width == 0 && strings.HasPrefix(rest, " ") {
		if offset, width = p.zoneWord(rest[1:]); width > 0 {
			width++
		}
	}
	switch {
	case width > 0 && offset != unknownZone:
		h.Stamp, h.Time = StampFull, clock.Add(-time.Duration(offset)*time.Second)
	case p.Zone != nil:
		h.Stamp = StampFull
		h.Time = time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), p.Zone).UTC()
	default:
		h.Stamp = StampLocal
		h.Time = time.Date(0, clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), time.UTC)
	}
	return width
}

// unknownZone is the offset of a zone of which only the name is known.
const unknownZone = 1 << 30

// zoneWord reads a zone behind a space: "+0200 ", "UTC ", and behind a date with
// the name of its day any other abbreviation, as journalctl writes it.
func (p *Parser) zoneWord(s string) (seconds int64, width int) {
	word, _, found := strings.Cut(s, " ")
	if !found || len(word) < 2 {
		return 0, 0
	}
	if seconds, width = zone(word); width == len(word) {
		return seconds, width
	}
	if word == "UTC" || word == "GMT" {
		return 0, len(word)
	}
	if !p.weekday || len(word) > 5 || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return 0, 0
	}
	return unknownZone, len(word)
}

// readUnix reads "1796040000.123456", as journalctl -o short-unix writes it, or
// without a fraction, as templates of syslog-ng do.
func readUnix(s string, h *Header) int {
	const digits = len("1796040000")
	seconds := int64(number(s[:digits]))
	if seconds == 0 || s[0] == '0' || len(s) == digits || s[digits] != '.' && s[digits] != ' ' {
		return 0
	}
	nanos, width := fraction(s[digits:])
	h.Stamp, h.Time = StampFull, time.Unix(seconds, nanos).UTC()
	return digits + width
}

// fraction reads ".NNN" or ",NNN" as nanoseconds; neither is no fraction, and
// what follows the ninth digit is not needed.
func fraction(s string) (nanos int64, width int) {
	if s == "" || s[0] != '.' && s[0] != ',' {
		return 0, 0
	}
	scale := int64(time.Second)
	for width = 1; width < len(s) && isDigit(s[width]); width++ {
		scale /= 10
		nanos += int64(s[width]-'0') * scale
	}
	if width == 1 {
		return 0, 0
	}
	return nanos, width
}

// zone reads "Z", "+HH:MM", "+HHMM" or "+HH" as seconds east of Greenwich; width
// is 0 if s starts with neither.
func zone(s string) (seconds int64, width int) {
	if s != "" && (s[0] == 'Z' || s[0] == 'z') {
		return 0, 1
	}
	if len(s) < len("+HH") || s[0] != '+' && s[0] != '-' {
		return 0, 0
	}
	hours, minutes := digits2(s[1:]), 0
	width = len("+HH")
	if colon := len(s) > width && s[width] == ':'; colon && len(s) >= len("+HH:MM") {
		minutes, width = digits2(s[len("+HH:"):]), len("+HH:MM")
	} else if !colon && len(s) >= len("+HHMM") && isDigit(s[width]) {
		minutes, width = digits2(s[len("+HH"):]), len("+HHMM")
	}
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, 0
	}
	seconds = int64(hours*3600 + minutes*60)
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, width
}

// timeOfDay reads "HH:MM:SS"; second 60 is a leap second.
func timeOfDay(s string) (hour, minute, second int, ok bool) {
	hour, minute, second = digits2(s), digits2(s[3:]), digits2(s[6:])
	ok = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second <= 60 &&
		s[2] == ':' && s[5] == ':'
	return hour, minute, second, ok
}

// digits2 reads two digits, -1 if s does not start with them.
func digits2(s string) int {
	if !isDigit(s[0]) || !isDigit(s[1]) {
		return -1
	}
	return int(s[0]-'0')*10 + int(s[1]-'0')
}
