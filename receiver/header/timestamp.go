package header

import "time"

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
// February. The day may be padded by a space or by a zero.
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
	t := time.Date(0, month, day, hour, minute, second, 0, time.UTC)
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
	if len(s) <= len(fullLayout) || s[4] != '-' {
		return 0
	}
	if s[:len(fullLayout)] != string(c.text[:]) {
		t, ok := parseFull(s[:len(fullLayout)])
		if !ok {
			return 0
		}
		copy(c.text[:], s)
		c.unix = t.Unix()
	}
	n := len(fullLayout)
	nanos, width := fraction(s[n:])
	n += width
	offset, width := zone(s[n:])
	if width == 0 {
		return 0
	}
	h.Stamp, h.Time = StampFull, time.Unix(c.unix-offset, nanos).UTC()
	return n + width
}

// parseFull reads date and time. A day that its month does not have runs into
// the next month, as in go-syslog's parser.
func parseFull(s string) (time.Time, bool) {
	century, year, month, day := digits2(s), digits2(s[2:]), digits2(s[5:]), digits2(s[8:])
	hour, minute, second, ok := timeOfDay(s[11:])
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > 31 ||
		s[7] != '-' || s[10] != 'T' || !ok {
		return time.Time{}, false
	}
	return time.Date(century*100+year, time.Month(month), day, hour, minute, second, 0, time.UTC), true
}

// fraction reads ".NNN" as nanoseconds; no point is no fraction.
func fraction(s string) (nanos int64, width int) {
	if s == "" || s[0] != '.' {
		return 0, 0
	}
	scale := int64(time.Second)
	for width = 1; width < len(s) && width <= 9 && isDigit(s[width]); width++ {
		scale /= 10
		nanos += int64(s[width]-'0') * scale
	}
	if width == 1 {
		return 0, 0
	}
	return nanos, width
}

// zone reads "Z" or "+HH:MM" as seconds east of Greenwich; width is 0 if s
// starts with neither.
func zone(s string) (seconds int64, width int) {
	if s != "" && s[0] == 'Z' {
		return 0, 1
	}
	if len(s) < 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, 0
	}
	hours, minutes := digits2(s[1:]), digits2(s[4:])
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, 0
	}
	seconds = int64(hours*3600 + minutes*60)
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, len("+HH:MM")
}

// timeOfDay reads "HH:MM:SS"; there are no leap seconds in syslog.
func timeOfDay(s string) (hour, minute, second int, ok bool) {
	hour, minute, second = digits2(s), digits2(s[3:]), digits2(s[6:])
	ok = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60 &&
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
