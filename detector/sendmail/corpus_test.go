package sendmail

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// The corpus was written by a real sendmail 8.17 through rsyslog, attacked by
// scripted clients; truth.jsonl says of each offence line whose it is. "real"
// holds sessions of every class and every known trick, "soup" sessions of
// random pieces of such tricks.

type truth struct {
	Line   uint64     `json:"n"`
	Addr   netip.Addr `json:"ip"`
	Class  string     `json:"cls"`
	Attr   string     `json:"attr"`
	Repeat uint32     `json:"repeat"`
}

// victims are the networks that the injections try to accuse.
var victims = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("2001:db8:dead::/48"),
	netip.MustParsePrefix("2001:db8:feed::/48"),
}

func isVictim(a netip.Addr) bool {
	for _, p := range victims {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func openGzip(t testing.TB, name string) *bufio.Scanner {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(z)
	sc.Buffer(make([]byte, 1<<16), 1<<20)
	return sc
}

func readTruth(t testing.TB, part string) map[uint64]truth {
	t.Helper()
	all := make(map[uint64]truth)
	sc := openGzip(t, part+".truth.jsonl.gz")
	for sc.Scan() {
		var tr truth
		if err := json.Unmarshal(sc.Bytes(), &tr); err != nil {
			t.Fatal(err)
		}
		if tr.Repeat == 0 {
			tr.Repeat = 1
		}
		all[tr.Line] = tr
	}
	return all
}

// logLine is a line of a log file, its header taken off.
type logLine struct {
	n    uint64
	time time.Time
	host string
	pid  uint32
	text string
}

var formats = []string{"traditional", "iso", "rfc5424", "wire"}

func readLog(t testing.TB, part, format string) []logLine {
	t.Helper()
	var lines []logLine
	sc := openGzip(t, part+"."+format+".log.gz")
	for n := uint64(1); sc.Scan(); n++ {
		l, err := splitHeader(sc.Text(), format)
		if err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		l.n = n
		lines = append(lines, l)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// readWire reads what rsyslog sent: RFC 5424 with octet counts, RFC 3339 times
// in BSD frames with line ends, and datagrams. Each message gets the number of
// the line that it became in the file.
func readWire(t testing.TB, part string, file []logLine) []logLine {
	t.Helper()
	type origin struct {
		host, text string
		pid        uint32
	}
	numbers := make(map[origin][]uint64)
	for _, l := range file {
		o := origin{l.host, l.text, l.pid}
		numbers[o] = append(numbers[o], l.n)
	}
	var lines []logLine
	add := func(frame, format string) {
		l, err := splitHeader(frame[strings.IndexByte(frame, '>')+1:], format)
		if err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		o := origin{l.host, strings.TrimSuffix(l.text, "\n"), l.pid}
		if len(numbers[o]) == 0 {
			return // lost on the way to the file
		}
		l.n, l.text, numbers[o] = numbers[o][0], o.text, numbers[o][1:]
		lines = append(lines, l)
	}
	for _, frame := range octetFrames(t, readAll(t, part+".wire-octets.raw.gz")) {
		add(frame, "rfc5424")
	}
	for frame := range strings.Lines(readAll(t, part+".wire-lines.raw.gz")) {
		add(strings.TrimSuffix(frame, "\n"), "iso")
	}
	sc := openGzip(t, part+".wire-udp.jsonl.gz")
	for sc.Scan() {
		var datagram struct{ Data string }
		if err := json.Unmarshal(sc.Bytes(), &datagram); err != nil {
			t.Fatal(err)
		}
		add(datagram.Data, "traditional")
	}
	return lines
}

func readAll(t testing.TB, name string) string {
	t.Helper()
	var all strings.Builder
	for sc := openGzip(t, name); sc.Scan(); {
		all.Write(sc.Bytes())
		all.WriteByte('\n')
	}
	return all.String()
}

func octetFrames(t testing.TB, s string) (frames []string) {
	t.Helper()
	for s = strings.TrimRight(s, "\n") + "\n"; s != "\n" && s != ""; {
		count, rest, _ := strings.Cut(s, " ")
		n, err := strconv.Atoi(count)
		if err != nil || n > len(rest) {
			t.Fatalf("bad count before %.60q", s)
		}
		frames, s = append(frames, rest[:n]), rest[n:]
	}
	return frames
}

func splitHeader(s, format string) (logLine, error) {
	var l logLine
	var err error
	if format == "rfc5424" {
		if strings.HasPrefix(s, "<") {
			s = s[strings.IndexByte(s, '>')+1:]
		}
		f := strings.SplitN(s, " ", 8)
		if len(f) < 8 {
			return l, fmt.Errorf("no header: %q", s)
		}
		l.time, err = time.Parse(time.RFC3339Nano, f[1])
		pid, _ := strconv.Atoi(f[4])
		l.host, l.pid, l.text = f[2], uint32(pid), strings.TrimPrefix(f[7], " ")
		return l, err
	}
	stamp := time.RFC3339Nano
	var when string
	if format == "traditional" {
		stamp, when, s = time.Stamp, s[:15], s[16:]
	} else {
		when, s, _ = strings.Cut(s, " ")
	}
	l.time, err = time.Parse(stamp, when)
	var tag string
	l.host, s, _ = strings.Cut(s, " ")
	tag, l.text, _ = strings.Cut(s, ": ")
	if i := strings.IndexByte(tag, '['); i >= 0 {
		pid, _ := strconv.Atoi(strings.TrimSuffix(tag[i+1:], "]"))
		l.pid = uint32(pid)
	}
	return l, err
}

// replay puts lines through Parser and Memory.
func replay(t testing.TB, m *Memory, lines []logLine) []offence.Event {
	t.Helper()
	p, err := NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []offence.Event
	var rec Record
	for _, l := range lines {
		p.Parse(l.text, &rec)
		events = m.Observe(Input{Line: l.n, Time: l.time, Host: HostKeyOf("10.0.0.1", l.host), PID: l.pid, Record: &rec}, events)
	}
	for line := m.Waiting(); line != 0; line = m.Waiting() {
		events = m.Settle(line, events)
	}
	return events
}

// score is a row of the table.
type score struct{ right, wrongAddr, wrongClass, missed int }

func judge(t testing.TB, part, format string) (map[string]*score, score) {
	t.Helper()
	want := readTruth(t, part)
	lines := readLog(t, part, "traditional")
	if format == "wire" {
		lines = readWire(t, part, lines)
	} else if format != "traditional" {
		lines = readLog(t, part, format)
	}
	texts := make(map[uint64]string, len(lines))
	for _, l := range lines {
		texts[l.n] = l.text
	}
	text := func(n uint64) string { return texts[n][:min(len(texts[n]), 300)] }
	table := make(map[string]*score)
	row := func(class string) *score {
		if table[class] == nil {
			table[class] = new(score)
		}
		return table[class]
	}
	seen := make(map[uint64]bool)
	for _, e := range replay(t, NewMemory(MemoryOptions{}), lines) {
		if isVictim(e.Addr) {
			t.Errorf("%s: %v of victim %v, line %d: %s", format, e.Kind, e.Addr, e.Line, text(e.Line))
		}
		if e.Kind != offence.Offence {
			continue
		}
		tr, ok := want[e.Line]
		switch {
		case !ok:
			row("none").wrongClass++
			t.Errorf("%s: %s of %v where there is no offence, line %d: %s", format, e.Reason, e.Addr, e.Line, text(e.Line))
			continue
		case seen[e.Line]:
			t.Errorf("%s: line %d gave two offences", format, e.Line)
		case e.Addr != tr.Addr:
			row(tr.Class).wrongAddr++
			t.Errorf("%s: %v for %v, line %d: %s", format, e.Addr, tr.Addr, e.Line, text(e.Line))
		case e.Reason.String() != tr.Class:
			row(tr.Class).wrongClass++
			t.Errorf("%s: %s for %s, line %d: %s", format, e.Reason, tr.Class, e.Line, text(e.Line))
		case e.Count != tr.Repeat:
			t.Errorf("%s: count %d for %d, line %d", format, e.Count, tr.Repeat, e.Line)
		case e.ViaSession != (tr.Attr != "direct"):
			t.Logf("%s: via session %t but %s, line %d: %s", format, e.ViaSession, tr.Attr, e.Line, text(e.Line))
			fallthrough
		default:
			row(tr.Class).right++
		}
		seen[e.Line] = true
	}
	var all score
	for n, tr := range want {
		if !seen[n] {
			row(tr.Class).missed++
			t.Logf("%s: missed %s of %v, line %d: %s", format, tr.Class, tr.Addr, n, text(n))
		}
	}
	for _, s := range table {
		all.right += s.right
		all.wrongAddr += s.wrongAddr
		all.wrongClass += s.wrongClass
		all.missed += s.missed
	}
	return table, all
}

func TestCorpusTable(t *testing.T) {
	for _, part := range []string{"real", "soup"} {
		for _, format := range formats {
			t.Run(part+"/"+format, func(t *testing.T) {
				table, all := judge(t, part, format)
				want := all.right + all.wrongAddr + all.wrongClass + all.missed
				if all.wrongAddr+all.wrongClass > 0 || float64(all.right) < 0.998*float64(want) || part == "real" && all.missed > 0 {
					t.Errorf("%d of %d right, %d wrong address, %d wrong class, %d missed", all.right, want, all.wrongAddr, all.wrongClass, all.missed)
				}
				if format != "traditional" {
					return
				}
				t.Logf("%-20s %6s %6s %6s %6s", "class", "right", "addr", "class", "missed")
				for _, r := range offence.Reasons() {
					if s := table[r.String()]; s != nil {
						t.Logf("%-20s %6d %6d %6d %6d", r, s.right, s.wrongAddr, s.wrongClass, s.missed)
					}
				}
				t.Logf("%-20s %6d %6d %6d %6d", "all", all.right, all.wrongAddr, all.wrongClass, all.missed)
			})
		}
	}
}
