package loggen

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func small(lines int) Config {
	c := DefaultConfig()
	c.Lines = lines
	return c
}

// digest is what a log looks like, in 8 characters.
func digest(c Config, f Format) string {
	h := sha256.New()
	var b []byte
	for l := range Lines(c) {
		b = f.Append(b[:0], l)
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:8]
}

// TestSameSeedSameLog holds the log of the default configuration still: figures
// and examples were made with it. A new digest means new figures.
func TestSameSeedSameLog(t *testing.T) {
	const want = "954193cc"
	if got := digest(small(20_000), Traditional); got != want {
		t.Errorf("digest = %s, want %s", got, want)
	}
}

func TestOtherSeedOtherLog(t *testing.T) {
	c := small(1000)
	c.Seed = 2
	if digest(c, Traditional) == digest(small(1000), Traditional) {
		t.Error("seeds 1 and 2 give the same log")
	}
}

func TestLinesAreInOrderAndCounted(t *testing.T) {
	c := small(20_000)
	n := 0
	last := c.Start
	for l := range Lines(c) {
		if l.Time.Before(last) {
			t.Fatalf("line %d at %v follows %v", n, l.Time, last)
		}
		last = l.Time
		n++
	}
	if n != c.Lines {
		t.Errorf("%d lines, want %d", n, c.Lines)
	}
}

func TestLinesCanBeLeftEarly(t *testing.T) {
	for range Lines(small(1000)) {
		break
	}
}

// TestTruthNamesTheClient checks each offence line against what it claims to
// be about.
func TestTruthNamesTheClient(t *testing.T) {
	for l := range Lines(small(50_000)) {
		if (l.Reason != "") != l.Addr.IsValid() {
			t.Fatalf("reason %q with address %v: %s", l.Reason, l.Addr, l.Text)
		}
		if l.Reason == "" {
			continue
		}
		if names := strings.Contains(l.Text, client{addr: l.Addr}.bracketed()); names == l.ViaSession {
			t.Fatalf("ViaSession = %v but the line names %v: %v\n%s", l.ViaSession, l.Addr, names, l.Text)
		}
	}
}

// TestAttack: an abuse of 0.7 makes half of the lines offences.
func TestAttack(t *testing.T) {
	const lines = 20_000
	c := small(lines)
	c.Abuse = 0.7
	offences := 0
	for l := range Lines(c) {
		if l.Reason != "" {
			offences++
		}
	}
	if offences < lines*4/10 || offences > lines*6/10 {
		t.Errorf("%d offences in %d lines, want half", offences, lines)
	}
}

// TestMix asks for a log as a public mail host has it.
func TestMix(t *testing.T) {
	const lines = 100_000
	reasons := map[string]int{}
	sources := map[netip.Addr]int{}
	offences := 0
	for l := range Lines(small(lines)) {
		reasons[l.Reason]++
		if l.Reason != "" {
			offences++
			sources[l.Addr]++
		}
	}
	if offences < lines/6 || offences > lines/4 {
		t.Errorf("%d offences in %d lines, want one in five", offences, lines)
	}
	if len(reasons) < 18 {
		t.Errorf("only %d classes: %v", len(reasons), reasons)
	}
	counts := make([]int, 0, len(sources))
	for _, n := range sources {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	top, once := 0, 0
	for i, n := range counts {
		if i < len(counts)/100 {
			top += n
		}
		if n <= 3 {
			once++
		}
	}
	if top < offences/10 {
		t.Errorf("the worst 1 %% of the sources cause %d of %d offences, want a tenth", top, offences)
	}
	if once < len(counts)/2 {
		t.Errorf("%d of %d sources offend at most three times, want half", once, len(counts))
	}
}

// TestQueueIDs checks what the reader's session memory relies on: time and
// process in the id.
func TestQueueIDs(t *testing.T) {
	id := regexp.MustCompile(`^([0-9A-Za-z]{8})(\d{6}): `)
	seen := 0
	for l := range Lines(small(5000)) {
		m := id.FindStringSubmatch(l.Text)
		if m == nil {
			continue
		}
		seen++
		if idDigits[l.Time.Day()] != m[1][2] {
			t.Fatalf("day of %q is not %d", m[1], l.Time.Day())
		}
		if !strings.Contains(l.Text, "to=<") && m[2] != fmt.Sprintf("%06d", l.PID) {
			t.Fatalf("process of %q is not %d", m[0], l.PID)
		}
	}
	if seen < 2000 {
		t.Errorf("only %d queue ids", seen)
	}
}

func TestClientsAreDistinct(t *testing.T) {
	seen := map[netip.Addr]uint64{}
	for n := range uint64(200_000) {
		a := newOffender(n).addr
		if other, ok := seen[a]; ok {
			t.Fatalf("offenders %d and %d are both %v", other, n, a)
		}
		seen[a] = n
	}
}

func TestFormats(t *testing.T) {
	l := &Line{
		Time: time.Date(2026, 11, 3, 8, 13, 28, 123456000, time.FixedZone("", 3600)),
		Host: "mx1", Tag: "sm-mta", PID: 42, Severity: 6, Text: "hello",
	}
	tests := map[Format]string{
		Traditional:    "Nov  3 08:13:28 mx1 sm-mta[42]: hello\n",
		ISO:            "2026-11-03T08:13:28.123456+01:00 mx1 sm-mta[42]: hello\n",
		DateTime:       "2026-11-03 08:13:28 mx1 sm-mta[42]: hello\n",
		RFC5424:        "<22>1 2026-11-03T08:13:28.123456+01:00 mx1 sm-mta 42 - -  hello\n",
		RFC3164Message: "<22>Nov  3 08:13:28 mx1 sm-mta[42]: hello",
		ForwardMessage: "<22>2026-11-03T08:13:28.123456+01:00 mx1 sm-mta[42]: hello",
		RFC5424Message: "<22>1 2026-11-03T08:13:28.123456+01:00 mx1 sm-mta 42 - -  hello",
	}
	if len(tests) != len(formatNames) {
		t.Errorf("%d of %d formats tested", len(tests), len(formatNames))
	}
	for f, want := range tests {
		if got := string(f.Append(nil, l)); got != want {
			t.Errorf("%v: %q\nwant %q", f, got, want)
		}
		if back, err := ParseFormat(f.String()); back != f || err != nil {
			t.Errorf("ParseFormat(%q) = %v, %v", f, back, err)
		}
	}
	if got := string(AppendFrame(nil, []byte("<22>x"))); got != "5 <22>x" {
		t.Errorf("frame %q", got)
	}
	l.PID = 0
	if got, want := string(RFC5424Message.Append(nil, l)), "<22>1 2026-11-03T08:13:28.123456+01:00 mx1 sm-mta - - -  hello"; got != want {
		t.Errorf("without PID: %q\nwant %q", got, want)
	}
}

func TestParseFormatRefuses(t *testing.T) {
	_, err := ParseFormat("xml")
	if err == nil || !strings.HasPrefix(err.Error(), `format "xml" is not one of ["traditional"`) {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		spoil func(*Config)
		want  string
	}{
		{func(c *Config) { c.Lines = -1 }, "lines: -1 is negative"},
		{func(c *Config) { c.Hosts = 0 }, "hosts: 0, need at least 1"},
		{func(c *Config) { c.Sources = 1 }, "sources: 1, need at least 2"},
		{func(c *Config) { c.Partners = 0 }, "partners: 0, need at least 2"},
		{func(c *Config) { c.Abuse = 1.5 }, "abuse: 1.5 is not between 0 and 1"},
		{func(c *Config) { c.Rate = 0 }, "rate: 0 is not positive"},
	}
	for _, test := range tests {
		c := DefaultConfig()
		test.spoil(&c)
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
}

func BenchmarkLines(b *testing.B) {
	c := small(b.N)
	b.ReportAllocs()
	for range Lines(c) {
	}
}
