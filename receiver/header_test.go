package receiver

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gopkg.in/mcuadros/go-syslog.v2/format"
)

func TestParse(t *testing.T) {
	local := time.Date(0, 11, 23, 7, 20, 30, 0, time.UTC)
	full := time.Date(2026, 11, 23, 7, 16, 57, 309226000, time.UTC)
	tests := []struct {
		name, frame string
		want        Message
	}{
		{
			"RFC 3164", "<22>Nov 23 07:20:30 mx1 sm-mta[4711]: 4AN: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "4AN: x"},
		},
		{
			"RFC 3164 without host", "<22>Nov 23 07:20:30 sm-mta[4711]: 4AN: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Tag: "sm-mta", PID: 4711, Text: "4AN: x"},
		},
		{
			"no host and no PID", "<22>Nov 23 07:20:30 sendmail: x y",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Tag: "sendmail", Text: "x y"},
		},
		{
			"no PRI", "Nov 23 07:20:30 mx1 sendmail[1]: x",
			Message{Priority: 13, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"no time", "<22>sendmail[1]: x",
			Message{Priority: 22, Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"day padded by a space", "<22>Nov  3 07:20:30 mx1 sendmail[1]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local.AddDate(0, 0, -20), Host: "mx1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"29 February", "<22>Feb 29 23:59:59 mx1 sendmail[1]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: time.Date(0, 2, 29, 23, 59, 59, 0, time.UTC), Host: "mx1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"ForwardFormat", "<22>2026-11-23T08:16:57.309226+01:00 mx1 sendmail[123]: x",
			Message{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sendmail", PID: 123, Text: "x"},
		},
		{
			"ForwardFormat, west of Greenwich", "<22>2026-11-23T02:46:57.309226-04:30 mx1 sendmail[123]: x",
			Message{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sendmail", PID: 123, Text: "x"},
		},
		{
			"host is an address", "<22>Nov 23 07:20:30 2001:db8::1 sendmail[1]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "2001:db8::1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"host is an address in brackets", "<22>Nov 23 07:20:30 [192.0.2.1] sendmail[1]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "[192.0.2.1]", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"tag cut within its PID", "<22>Nov 23 07:20:30 mx1 abcdefghijklmnopqrstuvwxyz012[176 x [1]: y",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "abcdefghijklmnopqrstuvwxyz012", Text: "x [1]: y"},
		},
		{
			"PID that is no number", "<22>Nov 23 07:20:30 mx1 sendmail[a1]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", Text: "x"},
		},
		{
			"PID too large", "<22>Nov 23 07:20:30 mx1 sendmail[4294967296]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", Text: "x"},
		},
		{
			"largest PID", "<22>Nov 23 07:20:30 mx1 sendmail[4294967295]: x",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1<<32 - 1, Text: "x"},
		},
		{
			"empty text", "<22>Nov 23 07:20:30 mx1 sendmail[1]:",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1},
		},
		{
			"trailer", "<22>Nov 23 07:20:30 mx1 sendmail[1]: x  \r\n\x00\n",
			Message{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1, Text: "x  "},
		},
		{
			"RFC 5424", "<22>1 2026-11-23T07:16:57.309226Z mx1 sm-mta 4711 - - x",
			Message{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
		{
			"RFC 5424 with nanoseconds", "<22>1 2026-11-23T07:16:57.309226000Z mx1 sm-mta 4711 ID1 - x",
			Message{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
		{
			"RFC 5424, nothing known", "<22>1 - - - - - -",
			Message{Priority: 22},
		},
		{
			"RFC 5424 with byte order mark", "<22>1 - mx1 a 1 - - \ufeffcaf\u00e9",
			Message{Priority: 22, Host: "mx1", Tag: "a", PID: 1, Text: "caf\u00e9"},
		},
		{
			"structured data", `<22>1 2026-11-23T07:16:57.309226Z mx1 sm-mta 4711 - [a b="c"][meta language="en" sequenceId="9"] x`,
			Message{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sm-mta", PID: 4711, SequenceID: 9, Text: "x"},
		},
		{
			"structured data without a time", `<22>1 - mx1 sm-mta 4711 - [a b="c"] x`,
			Message{Priority: 22, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
		{
			"structured data and no text", `<22>1 - mx1 sm-mta 4711 - [a]`,
			Message{Priority: 22, Host: "mx1", Tag: "sm-mta", PID: 4711},
		},
		{
			"text within structured data stays there", `<22>1 - mx1 sm-mta 4711 - [a b="\"\\\] ruleset=check_relay"] x`,
			Message{Priority: 22, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p Parser
			for range 2 { // the second time from what the parser remembers
				var got Message
				if err := p.Parse(test.frame, &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got, cmp.Comparer(sameAddr)); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// badFrames are frames that ended go-syslog's server, and others that nobody
// can read.
var badFrames = []struct {
	frame string
	want  HeaderError
}{
	{"", ErrEmpty},
	{"\n", ErrEmpty},
	{"\x00\x00\r\n", ErrEmpty},
	{"<13>", ErrHeader},
	{"-5 x", ErrTimestamp},
	{"9223372036854775807 x", ErrTimestamp},
	{"<22>Nov 23 07:20:30 mx1", ErrHeader},
	{"<22>Nov 23 07:20:30 mx1 ", ErrHeader},
	{"<22>Nov 23 07:20:30", ErrHeader},
	{"<22>Nov 23 07:20:30x", ErrHeader},
	{"<22>Nov 31 07:20:30 mx1 a: b", ErrTimestamp},
	{"<22>Nov 00 07:20:30 mx1 a: b", ErrTimestamp},
	{"<22>Nov  x 07:20:30 mx1 a: b", ErrTimestamp},
	{"<22>Nov 23 24:20:30 mx1 a: b", ErrTimestamp},
	{"<22>Nov 23 07:60:30 mx1 a: b", ErrTimestamp},
	{"<22>Nov 23 07:20:60 mx1 a: b", ErrTimestamp},
	{"<22>Xyz 23 07:20:30 mx1 a: b", ErrTimestamp},
	{"<22>2026-11-23T07:16:57 mx1 a: b", ErrTimestamp},
	{"<22>2026-13-23T07:16:57Z mx1 a: b", ErrTimestamp},
	{"<22>2026-11-23T07:16:57.Z mx1 a: b", ErrTimestamp},
	{"<22>2026-11-23T07:16:57+24:00 mx1 a: b", ErrTimestamp},
	{"<22>soh no header", ErrTimestamp},
	{"soh\x01del no header", ErrTimestamp},
	{"sendmail[1]: no time and no PRI", ErrTimestamp},
	{"<", ErrPriority},
	{"<>x", ErrPriority},
	{"<192>x", ErrPriority},
	{"<0022>x", ErrPriority},
	{"<-1>x", ErrPriority},
	{"<22", ErrPriority},
	{"<22>1 ", ErrHeader},
	{"<22>1 -", ErrHeader},
	{"<22>1 - - - -", ErrHeader},
	{"<22>1 - - - - - x", ErrHeader},
	{"<22>1 -  a 1 - - x", ErrHeader},
	{"<22>1 2026 mx1 a 1 - - x", ErrHeader},
	{"<22>1 - mx1 a 1 - [a", ErrHeader},
	{`<22>1 - mx1 a 1 - [a b="c] x`, ErrHeader},
	{`<22>1 - mx1 a 1 - [a]x`, ErrHeader},
	{"<22>1 - mx1 " + strings.Repeat("a", 49) + " 1 - - x", ErrHeader},
	{strings.Repeat("7", 64<<10), ErrTimestamp},
	{"<22>" + strings.Repeat("\x00", 1000) + "x", ErrTimestamp},
	{"<22>" + strings.Repeat("\xff", 1000), ErrTimestamp},
}

func TestParseRefuses(t *testing.T) {
	for _, test := range badFrames {
		var m Message
		err := new(Parser).Parse(test.frame, &m)
		if !errors.Is(err, test.want) {
			t.Errorf("%.60q: error %v, want %v (%+v)", test.frame, err, test.want, m)
		}
	}
}

// TestParseAgainstLibrary holds the fast path to what go-syslog's parser reads,
// on every captured frame of RFC 5424.
func TestParseAgainstLibrary(t *testing.T) {
	compared := 0
	for _, name := range captureNames(t) {
		if strings.Contains(name, "relp") {
			continue
		}
		for _, frame := range readCapture(t, name).frames(t) {
			if agreesWithLibrary(t, frame) {
				compared++
			}
		}
	}
	if compared < 90 {
		t.Errorf("only %d frames compared", compared)
	}
}

// agreesWithLibrary compares where both apply, and reports whether they did.
func agreesWithLibrary(t *testing.T, frame string) bool {
	t.Helper()
	frame = trimTrailer(frame)
	priority, rest, ok := cutPriority(frame + " ")
	if !ok || !strings.HasPrefix(rest, "1 ") {
		return false
	}
	got := Message{Priority: priority}
	if !new(Parser).parsePlain5424(strings.TrimSuffix(rest, " ")[2:], &got) {
		return false
	}
	parser := new(format.RFC5424).GetParser([]byte(frame))
	if err := parser.Parse(); err != nil {
		return false
	}
	parts := parser.Dump()
	if parts["proc_id"] == "" || parts["msg_id"] == "" {
		return false // the library gave up on the header and did not say so
	}
	want := Message{
		Priority: uint8(parts["priority"].(int)),
		Host:     unlessNil(parts["hostname"].(string)),
		Tag:      unlessNil(parts["app_name"].(string)),
		PID:      number(parts["proc_id"].(string)),
		Text:     trimMessage(parts["message"].(string)),
	}
	if at := parts["timestamp"].(time.Time); !at.IsZero() {
		want.Stamp, want.Time = StampFull, at.UTC()
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(sameAddr), cmpopts.IgnoreFields(Message{}, "SequenceID")); diff != "" {
		t.Errorf("%q (-library +ours):\n%s", frame, diff)
	}
	return true
}

func TestParseAllocatesNothing(t *testing.T) {
	frames := []string{
		"<22>Nov 23 07:20:30 mx1 sm-mta[4711]: 4AN: x",
		"<22>2026-11-23T07:16:57.309226+00:00 mx1 sendmail[123]: x",
		"<22>1 2026-11-23T07:16:57.309226Z mx1 sm-mta 4711 - -  x",
	}
	var p Parser
	var m Message
	for _, frame := range frames {
		if n := testing.AllocsPerRun(100, func() { _ = p.Parse(frame, &m) }); n > 0 {
			t.Errorf("%q: %v allocations", frame, n)
		}
	}
}
