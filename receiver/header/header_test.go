package header

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
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
		want        Header
	}{
		{
			"RFC 3164", "<22>Nov 23 07:20:30 mx1 sm-mta[4711]: 4AN: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "4AN: x"},
		},
		{
			"RFC 3164 without host", "<22>Nov 23 07:20:30 sm-mta[4711]: 4AN: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Tag: "sm-mta", PID: 4711, Text: "4AN: x"},
		},
		{
			"no host and no PID", "<22>Nov 23 07:20:30 sendmail: x y",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Tag: "sendmail", Text: "x y"},
		},
		{
			"no PRI", "Nov 23 07:20:30 mx1 sendmail[1]: x",
			Header{Priority: 13, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"no time", "<22>sendmail[1]: x",
			Header{Priority: 22, Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"day padded by a space", "<22>Nov  3 07:20:30 mx1 sendmail[1]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local.AddDate(0, 0, -20), Host: "mx1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"29 February", "<22>Feb 29 23:59:59 mx1 sendmail[1]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: time.Date(0, 2, 29, 23, 59, 59, 0, time.UTC), Host: "mx1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"ForwardFormat", "<22>2026-11-23T08:16:57.309226+01:00 mx1 sendmail[123]: x",
			Header{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sendmail", PID: 123, Text: "x"},
		},
		{
			"ForwardFormat, west of Greenwich", "<22>2026-11-23T02:46:57.309226-04:30 mx1 sendmail[123]: x",
			Header{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sendmail", PID: 123, Text: "x"},
		},
		{
			"host is an address", "<22>Nov 23 07:20:30 2001:db8::1 sendmail[1]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "2001:db8::1", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"host is an address in brackets", "<22>Nov 23 07:20:30 [192.0.2.1] sendmail[1]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "[192.0.2.1]", Tag: "sendmail", PID: 1, Text: "x"},
		},
		{
			"tag cut within its PID", "<22>Nov 23 07:20:30 mx1 abcdefghijklmnopqrstuvwxyz012[176 x [1]: y",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "abcdefghijklmnopqrstuvwxyz012", Text: "x [1]: y"},
		},
		{
			"PID that is no number", "<22>Nov 23 07:20:30 mx1 sendmail[a1]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", Text: "x"},
		},
		{
			"PID too large", "<22>Nov 23 07:20:30 mx1 sendmail[4294967296]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", Text: "x"},
		},
		{
			"largest PID", "<22>Nov 23 07:20:30 mx1 sendmail[4294967295]: x",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1<<32 - 1, Text: "x"},
		},
		{
			"empty text", "<22>Nov 23 07:20:30 mx1 sendmail[1]:",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1},
		},
		{
			"trailer", "<22>Nov 23 07:20:30 mx1 sendmail[1]: x  \r\n\x00\n",
			Header{Priority: 22, Stamp: StampLocal, Time: local, Host: "mx1", Tag: "sendmail", PID: 1, Text: "x  "},
		},
		{
			"RFC 5424", "<22>1 2026-11-23T07:16:57.309226Z mx1 sm-mta 4711 - - x",
			Header{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
		{
			"RFC 5424 with nanoseconds", "<22>1 2026-11-23T07:16:57.309226000Z mx1 sm-mta 4711 ID1 - x",
			Header{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
		{
			"RFC 5424, nothing known", "<22>1 - - - - - -",
			Header{Priority: 22},
		},
		{
			"RFC 5424 with byte order mark", "<22>1 - mx1 a 1 - - \ufeffcaf\u00e9",
			Header{Priority: 22, Host: "mx1", Tag: "a", PID: 1, Text: "caf\u00e9"},
		},
		{
			"structured data", `<22>1 2026-11-23T07:16:57.309226Z mx1 sm-mta 4711 - [a b="c"][meta language="en" sequenceId="9"] x`,
			Header{Priority: 22, Stamp: StampFull, Time: full, Host: "mx1", Tag: "sm-mta", PID: 4711, SequenceID: 9, Text: "x"},
		},
		{
			"structured data without a time", `<22>1 - mx1 sm-mta 4711 - [a b="c"] x`,
			Header{Priority: 22, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
		{
			"structured data and no text", `<22>1 - mx1 sm-mta 4711 - [a]`,
			Header{Priority: 22, Host: "mx1", Tag: "sm-mta", PID: 4711},
		},
		{
			"text within structured data stays there", `<22>1 - mx1 sm-mta 4711 - [a b="\"\\\] ruleset=check_relay"] x`,
			Header{Priority: 22, Host: "mx1", Tag: "sm-mta", PID: 4711, Text: "x"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p Parser
			for range 2 { // the second time from what the parser remembers
				var got Header
				if err := p.Parse(test.frame, false, &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// badFrame is a frame that nobody can read.
type badFrame struct {
	frame string
	want  Error
}

// badFrames reads testdata/bad.txt and adds what is too long for it.
func badFrames(t testing.TB) []badFrame {
	t.Helper()
	file, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	bad := []badFrame{
		{"<22>1 - mx1 " + strings.Repeat("a", 49) + " 1 - - x", ErrHeader},
		{strings.Repeat("7", 64<<10), ErrTimestamp},
		{"<22>" + strings.Repeat("\x00", 1000) + "x", ErrTimestamp},
		{"<22>" + strings.Repeat("\xff", 1000), ErrTimestamp},
	}
	for line := range strings.Lines(string(file)) {
		kind, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if kind == "#" {
			continue
		}
		frame, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		bad = append(bad, badFrame{frame, Error(kind)})
	}
	return bad
}

func TestParseRefuses(t *testing.T) {
	for _, test := range badFrames(t) {
		var h Header
		err := new(Parser).Parse(test.frame, false, &h)
		if !errors.Is(err, test.want) {
			t.Errorf("%.60q: error %v, want %v (%+v)", test.frame, err, test.want, h)
		}
	}
}

// TestParseAgainstLibrary holds the fast path to what go-syslog's parser reads,
// on every captured frame of RFC 5424.
func TestParseAgainstLibrary(t *testing.T) {
	compared := 0
	for _, frame := range captured(t) {
		if agreesWithLibrary(t, frame) {
			compared++
		}
	}
	if compared < 90 {
		t.Errorf("only %d frames compared", compared)
	}
}

// captured returns the frames of the receiver's captures, without those of RELP:
// datagrams, lines, and what stands behind an octet count.
func captured(t testing.TB) (frames []string) {
	t.Helper()
	paths, err := filepath.Glob("../testdata/wire/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d captures: %v", len(paths), err)
	}
	for _, path := range paths {
		if strings.Contains(path, "relp") {
			continue
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var stream strings.Builder
		for line := range strings.Lines(string(file)) {
			if data, err := strconv.Unquote(strings.TrimSuffix(line, "\n")); err == nil && strings.HasPrefix(line, `"`) {
				stream.WriteString(data)
				if strings.Contains(path, "udp") {
					stream.WriteByte('\n')
				}
			}
		}
		frames = append(frames, split(stream.String())...)
	}
	return frames
}

// split cuts a stream into frames by octet count or LF.
func split(stream string) (frames []string) {
	for stream != "" {
		count, rest, _ := strings.Cut(stream, " ")
		if n, err := strconv.Atoi(count); err == nil && n <= len(rest) {
			frames, stream = append(frames, rest[:n]), rest[n:]
			continue
		}
		var frame string
		frame, stream, _ = strings.Cut(stream, "\n")
		frames = append(frames, frame)
	}
	return frames
}

// agreesWithLibrary compares where both apply, and reports whether they did.
func agreesWithLibrary(t *testing.T, frame string) bool {
	t.Helper()
	frame = trimTrailer(frame)
	if frame == "" {
		return false
	}
	priority, rest, ok := cutPriority(frame + " ")
	if !ok || frame[0] != '<' || !strings.HasPrefix(strings.TrimSuffix(rest, " "), "1 ") {
		return false
	}
	got := Header{Priority: priority}
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
	want := Header{Priority: uint8(parts["priority"].(int)), Text: trimMessage(parts["message"].(string))}
	want.setFields(parts["hostname"].(string), parts["app_name"].(string), parts["proc_id"].(string))
	if at := parts["timestamp"].(time.Time); !at.IsZero() {
		want.Stamp, want.Time = StampFull, at.UTC()
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Header{}, "SequenceID")); diff != "" {
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
	var m Header
	for _, frame := range frames {
		if n := testing.AllocsPerRun(100, func() { _ = p.Parse(frame, false, &m) }); n > 0 {
			t.Errorf("%q: %v allocations", frame, n)
		}
	}
}
