package console

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as "1h30m0s", or forever.
type Duration time.Duration

// Forever is the duration of what has no end.
const Forever = Duration(math.MaxInt64)

func (d Duration) String() string {
	if d == Forever {
		return "forever"
	}
	return time.Duration(d).String()
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: a duration with a unit, as
// ParseDuration takes it, or forever.
func (d *Duration) UnmarshalText(b []byte) error {
	if string(b) == "forever" {
		*d = Forever
		return nil
	}
	v, err := ParseDuration(string(b))
	*d = Duration(v)
	return err
}

var dayPrefix = regexp.MustCompile(`^(\d+)d`)

// ParseDuration is time.ParseDuration with days in front: 7d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	days := time.Duration(0)
	rest := text
	if m := dayPrefix.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 36500 {
			return 0, fmt.Errorf("%q is too long", text)
		}
		days = time.Duration(n) * 24 * time.Hour
		if rest = text[len(m[0]):]; rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 10m, 1h30m or 7d", text)
	}
	return days + d, nil
}

// FormatDuration writes d exactly, as ParseDuration reads it: 365d, 1d12h, 90s
// as 1m30s, 1.5s.
func FormatDuration(d time.Duration) string {
	if d < 0 {
		return "-" + FormatDuration(-d)
	}
	if d < time.Minute {
		return d.String()
	}
	var b strings.Builder
	for _, u := range durationUnits[:3] {
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d %= u.size
		}
	}
	if d > 0 {
		b.WriteString(d.String())
	}
	return b.String()
}

var durationUnits = []struct {
	size time.Duration
	name string
}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}

// RoundDuration writes d with the precision that people care for, in its two
// largest units: 400d, 1d12h, 59m45s, 1.5s, 40ms.
func RoundDuration(d time.Duration) string {
	switch {
	case Duration(d) == Forever:
		return "forever"
	case d < 0:
		return "-" + RoundDuration(-d)
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	for i, u := range durationUnits {
		if d < u.size {
			continue
		}
		if i+1 < len(durationUnits) {
			d = d.Round(durationUnits[i+1].size)
		}
		return FormatDuration(d)
	}
	return d.String()
}
