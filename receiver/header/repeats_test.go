package header

import (
	"testing"
	"time"
)

// TestRepetitions: what daemons say of repeated lines (captured from FreeBSD's,
// inetutils' and sysklogd's syslogd) names neither host nor program.
func TestRepetitions(t *testing.T) {
	for frame, host := range map[string]string{
		"<22>Nov 30 12:00:00 syslogd: last message repeated 3 times":                             "",
		"<22>1 2026-11-30T12:00:00.123456+00:00 mx1 syslogd - - - last message repeated 3 times": "mx1",
		"<22>Nov 30 12:00:00 last message repeated 3 times":                                      "",
		"<22>Nov 30 12:00:00 mx1 last message repeated 3 times":                                  "mx1",
		"<22>last message buffered 3 times":                                                      "",
		"<22>last message repeated 3 times":                                                      "",
		"<22>Nov 30 12:00:00 Forwarded from mx1: last message repeated 3 times":                  "mx1",
		"<22>Nov 30 12:00:00 Message forwarded from mx1: last message repeated 3 times":          "mx1",
		"<22>1 2026-11-30T12:00:00.123456+00:00 mx1 last - - - message repeated 3 times":         "mx1",
		"<22>1 2026-11-30T12:00:00.123456+00:00 mx1 - - - - last message repeated 3 times":       "mx1",
		"<22>Nov 30 12:00:00.123 mx1 syslogd: last message repeated 3 times":                     "mx1",
		"<22>2026-11-30T12:00:00+00:00 mx1 last message repeated 3 times":                        "mx1",
	} {
		for how, p := range map[string]*Parser{
			"live": {Tags: NewTags([]string{"sendmail", "sm-*"}, nil)},
			"file": {Tags: NewTags([]string{"sendmail", "sm-*"}, nil), Zone: time.UTC},
		} {
			var h Header
			if err := p.Parse(frame, true, &h); err != nil || h.Host != host || h.Tag != "" || h.Repeats != 3 {
				t.Errorf("%s: %q: %v, %+v", how, frame, err, h)
			}
		}
	}
}
