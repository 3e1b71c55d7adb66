package header

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

var berlin = time.FixedZone("CET", 3600)

// local is a time as a traditional line has it.
func local(month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(0, month, day, hour, minute, second, 0, time.UTC)
}

// TestFileLines reads the lines that syslog daemons write into files.
func TestFileLines(t *testing.T) {
	const (
		text = "6AN8J3p9031097: <nosuch@lab.example>... User unknown"
		tag  = "sm-mta[31097]: " + text
	)
	full := func(at time.Time) Header {
		return Header{Priority: noPriority, Time: at, Stamp: StampFull, Host: "mx1", Tag: "sm-mta", PID: 31097, Text: text}
	}
	traditional := Header{Priority: noPriority, Time: local(11, 23, 8, 19, 3), Stamp: StampLocal, Host: "mx1", Tag: "sm-mta", PID: 31097, Text: text}
	second := time.Date(2026, 11, 23, 8, 19, 3, 0, time.UTC)
	micro := second.Add(123456 * time.Microsecond)
	tests := map[string]struct {
		line string
		want Header
	}{
		"traditional":              {"Nov 23 08:19:03 mx1 " + tag, traditional},
		"traditional, day 3":       {"Nov  3 08:19:03 mx1 " + tag, with(traditional, func(h *Header) { h.Time = local(11, 3, 8, 19, 3) })},
		"traditional, 29 February": {"Feb 29 08:19:03 mx1 " + tag, with(traditional, func(h *Header) { h.Time = local(2, 29, 8, 19, 3) })},
		"traditional, fraction": {"Nov 23 08:19:03.5 mx1 " + tag, with(traditional, func(h *Header) {
			h.Time = h.Time.Add(time.Second / 2)
		})},
		"traditional, CR":           {"Nov 23 08:19:03 mx1 " + tag + "\r", traditional},
		"traditional, priority":     {"<22>Nov 23 08:19:03 mx1 " + tag, traditional},
		"BSD, verbose":              {"Nov 23 08:19:03 <mail.info> mx1 " + tag, traditional},
		"Solaris":                   {"Nov 23 08:19:03 mx1 sm-mta[31097]: [ID 801593 mail.info] " + text, traditional},
		"no host":                   {"Nov 23 08:19:03 " + tag, with(traditional, func(h *Header) { h.Host = "" })},
		"ISO":                       {"2026-11-23T08:19:03.123456+00:00 mx1 " + tag, full(micro)},
		"ISO, zone":                 {"2026-11-23T09:19:03.123456+01:00 mx1 " + tag, full(micro)},
		"ISO, Z":                    {"2026-11-23T08:19:03Z mx1 " + tag, full(second)},
		"ISO, zone without colon":   {"2026-11-23T09:19:03+0100 mx1 " + tag, full(second)},
		"ISO, comma":                {"2026-11-23T08:19:03,123456Z mx1 " + tag, full(micro)},
		"ISO, no zone":              {"2026-11-23T09:19:03 mx1 " + tag, full(second)},
		"ISO, nanohours":            {"2026-11-23T08:19:03.123456000Z mx1 " + tag, full(micro)},
		"date and time":             {"2026-11-23 09:19:03 mx1 " + tag, full(second)},
		"date and time, millihours": {"2026-11-23 09:19:03,500 mx1 " + tag, full(second.Add(time.Second / 2))},
		"date and time, zone":       {"2026-11-23 09:19:03+01:00 mx1 " + tag, full(second)},
		"RFC 5424":                  {"<22>1 2026-11-23T08:19:03.123456+00:00 mx1 sm-mta 31097 - - " + text, full(micro)},
		"RFC 5424, rsyslog's space": {"<22>1 2026-11-23T08:19:03.123456+00:00 mx1 sm-mta 31097 - -  " + text, full(micro)},
		"RFC 5424, BOM":             {"<22>1 2026-11-23T08:19:03Z mx1 sm-mta 31097 - - \ufeff" + text, full(second)},
		"RFC 5424, structured data": {
			`<22>1 2026-11-23T08:19:03Z mx1 sm-mta 31097 ID47 [a@1 k="x \"] \\"][meta sequenceId="7"] ` + text,
			full(second),
		},
		"RFC 5424, no time": {"<22>1 - mx1 sm-mta 31097 - - " + text, with(full(time.Time{}), func(h *Header) { h.Stamp = StampNone })},
		"RFC 5424, no process": {"<22>1 2026-11-23T08:19:03Z mx1 sm-mta - - - " + text, with(full(second), func(h *Header) {
			h.PID = 0
		})},
		"RFC 5424, nothing but a header": {"<22>1 2026-11-23T08:19:03Z mx1 sm-mta 31097 - -", with(full(second), func(h *Header) {
			h.Text = ""
		})},
		"no PID": {"Nov 23 08:19:03 mx1 dovecot: imap-login: x", Header{
			Priority: noPriority,
			Time:     local(11, 23, 8, 19, 3), Stamp: StampLocal, Host: "mx1", Tag: "dovecot", Text: "imap-login: x",
		}},
		"odd PID": {"Nov 23 08:19:03 mx1 x[1a]: hello", Header{
			Priority: noPriority,
			Time:     local(11, 23, 8, 19, 3), Stamp: StampLocal, Host: "mx1", Tag: "x", Text: "hello",
		}},
		"no colon": {"Nov 23 08:19:03 mx1 last message repeated 3 times", Header{
			Priority: noPriority,
			Time:     local(11, 23, 8, 19, 3), Stamp: StampLocal, Host: "mx1", Text: "message repeated 3 times", Repeats: 3, Withheld: WithheldRepeats,
		}},
		"no text": {"Nov 23 08:19:03 mx1 sm-mta[31097]:", with(traditional, func(h *Header) { h.Text = "" })},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got Header
			if (&Parser{Zone: berlin}).Parse(test.line, true, &got) != nil {
				t.Fatalf("not understood: %s", test.line)
			}
			got.Time, got.Priority, got.SequenceID = got.Time.UTC(), noPriority, 0
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", test.line, diff)
			}
		})
	}
}

func with(h Header, change func(*Header)) Header {
	change(&h)
	return h
}

func TestFileLinesRefused(t *testing.T) {
	for _, line := range []string{
		"",
		"\r",
		"# failJSON: { \"match\": true }",
		"-- Journal begins at Mon 2026-11-23 --",
		"Nov 23 08:19:03",
		"Nov 23 08:19:03 ",
		"Nov 23 08:19:03 mx1",
		"Nov 23 08:19:03 mx1 ",
		"Nov 31 08:19:03 mx1 sm-mta[1]: x",
		"Nov 23 25:19:03 mx1 sm-mta[1]: x",
		"Nov 23 08:60:03 mx1 sm-mta[1]: x",
		"Nov 23 08:19:61 mx1 sm-mta[1]: x",
		"Nov 23 08:19:0x mx1 sm-mta[1]: x",
		"Nov 23 08-19:03 mx1 sm-mta[1]: x",
		"Nov 23 08:19-03 mx1 sm-mta[1]: x",
		"2026-11-23T08:60:03Z mx1 sm-mta[1]: x",
		"2026-11-23T08:19 mx1 sm-mta[1]: some text",
		"Nix 23 08:19:03 mx1 sm-mta[1]: x",
		"Nov 23 08:19:03mx1 sm-mta[1]: x",
		"2026-13-23T08:19:03Z mx1 sm-mta[1]: x",
		"2026-11-23T08:19:03",
		"2026-11-23T08:19:03Z",
		"2026-11-23T08:19:03+1 mx1 sm-mta[1]: x",
		"<22>1 2026-11-23T08:19:03Z mx1 sm-mta 1 -",
		"<22>1 2026-11-23T08:19:03Z mx1 sm-mta 1 - x",
		`<22>1 2026-11-23T08:19:03Z mx1 sm-mta 1 - [a k="x] y`,
		"<22>1 yesterday mx1 sm-mta 1 - - x",
		"<>Nov 23 08:19:03",
	} {
		var h Header
		if (&Parser{Zone: time.UTC}).Parse(line, true, &h) == nil {
			t.Errorf("%q understood as %+v", line, h)
		}
	}
}

// TestParserMemory: the time that the parser remembers must not leak into lines
// of other formats, zones or hours.
func TestParserMemory(t *testing.T) {
	p := &Parser{Zone: time.UTC}
	for _, test := range []struct{ line, want string }{
		{"2026-11-23T08:19:03.9+00:00 mx1 a: x", "2026-11-23T08:19:03.9Z"},
		{"2026-11-23T08:19:03.1+00:00 mx1 a: x", "2026-11-23T08:19:03.1Z"},
		{"2026-11-23T08:19:03+02:00 mx1 a: x", "2026-11-23T06:19:03Z"},
		{"2026-11-23T08:59:60+02:00 mx1 a: x", "2026-11-23T07:00:00Z"},
		{"2026-11-23 08:19:03 mx1 a: x", "2026-11-23T08:19:03Z"},
		{"Nov 23 08:19:04 mx1 a: x", "0000-11-23T08:19:04Z"},
		{"2026-11-23T08:19:03+02:00 mx1 a: x", "2026-11-23T06:19:03Z"},
		{"Nov 23 08:19:04.25 mx1 a: x", "0000-11-23T08:19:04.25Z"},
		{"Nov 23 08:19:04 mx1 a: x", "0000-11-23T08:19:04Z"},
	} {
		var h Header
		if p.Parse(test.line, true, &h) != nil {
			t.Fatalf("not understood: %s", test.line)
		}
		if got := h.Time.UTC().Format(time.RFC3339Nano); got != test.want {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
}

// TestBufferIsFree: the parser's memory must survive that the line's
// buffer is written again.
func TestBufferIsFree(t *testing.T) {
	for _, test := range []struct {
		first, second string
		want          time.Time
	}{
		{"Nov 23 08:19:03 mx1 a: x", "Nov 22 07:19:03 mx1 a: x", local(11, 22, 7, 19, 3)},
		{"2026-11-23T08:19:03Z mx1 a: x", "2026-11-22T07:19:03Z mx1 a: x", time.Date(2026, 11, 22, 7, 19, 3, 0, time.UTC)},
		{"2026-11-23T08:19:03+0100 mx1 a: x", "2026-11-23T08:19:03+0200 mx1 a: x", time.Date(2026, 11, 23, 6, 19, 3, 0, time.UTC)},
	} {
		p := &Parser{Zone: time.UTC}
		buffer := []byte(test.first)
		var h Header
		for _, line := range []string{test.first, test.second} {
			copy(buffer, line)
			if p.Parse(unsafe.String(&buffer[0], len(buffer)), true, &h) != nil {
				t.Fatalf("not understood: %s", line)
			}
		}
		if !h.Time.Equal(test.want) {
			t.Errorf("%s: time %v, want %v", test.second, h.Time, test.want)
		}
	}
}

func BenchmarkFileLine(b *testing.B) {
	lines := map[string]string{
		"traditional": "Nov 23 08:19:03 mx1 sm-mta[31097]: 6AN8J3p9031097: <nosuch@lab.example>... User unknown",
		"iso":         "2026-11-23T08:19:03.123456+00:00 mx1 sm-mta[31097]: 6AN8J3p9031097: <nosuch@lab.example>... User unknown",
		"datetime":    "2026-11-23 08:19:03 mx1 sm-mta[31097]: 6AN8J3p9031097: <nosuch@lab.example>... User unknown",
		"rfc5424":     "<22>1 2026-11-23T08:19:03.123456+00:00 mx1 sm-mta 31097 - -  6AN8J3p9031097: <nosuch@lab.example>... User unknown",
	}
	for name, line := range lines {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			p := &Parser{Zone: time.UTC}
			var h Header
			for b.Loop() {
				_ = p.Parse(line, true, &h)
			}
		})
	}
	b.Run("new hour each", func(b *testing.B) {
		hours := [2]string{lines["traditional"], strings.Replace(lines["traditional"], " 08:", " 09:", 1)}
		p := &Parser{Zone: time.UTC}
		var h Header
		for i := 0; b.Loop(); i++ {
			_ = p.Parse(hours[i&1], true, &h)
		}
	})
}
