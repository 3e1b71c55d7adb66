package replay

import (
	"encoding/json"
	"errors"
	"flag"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

var update = flag.Bool("update", false, "rewrite the files that outputs are compared with")

// golden compares got with the file testdata/golden/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

// reportStart is when the made-up logs of these tests begin.
var reportStart = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func offenceAt(minute int, addr string, reason offence.Reason, count uint32) *offence.Event {
	return &offence.Event{
		Time: reportStart.Add(time.Duration(minute) * time.Minute), Addr: netip.MustParseAddr(addr),
		Kind: offence.Offence, Reason: reason, Count: count,
	}
}

// event tells a report what line l proved.
func (r *report) event(l *detector.Line, e *offence.Event) {
	if h, ok := r.happening(l, e); ok {
		r.tally(&h)
	}
}

// exampleReport has something in every section.
func exampleReport() *report {
	r := newReport()
	mx1, mx2 := &detector.Line{Host: "mx1"}, &detector.Line{Host: "mx2"}
	for minute := range 90 {
		r.event(mx1, offenceAt(minute, "198.51.100.7", offence.DNSBL, 1))
		if minute%3 == 0 {
			r.event(mx2, offenceAt(minute, "2001:db8:1:2::3", offence.AuthFail, 2))
		}
	}
	r.event(mx2, offenceAt(30, "198.51.100.7", offence.Pregreet, 1))
	r.event(mx2, offenceAt(31, "198.51.100.7", offence.RelayDenied, 9))
	r.event(mx2, offenceAt(32, "198.51.100.7", offence.VrfyExpn, 2))
	r.event(mx1, offenceAt(110, "10.0.0.9", offence.NullConnection, 30))
	r.event(mx1, offenceAt(119, "203.0.113.1", offence.UnknownUser, 1))
	r.event(mx1, &offence.Event{Time: reportStart, Addr: netip.MustParseAddr("203.0.113.1"), Kind: offence.Accepted, Count: 3})
	r.event(mx1, &offence.Event{Time: reportStart, Addr: netip.MustParseAddr("203.0.113.1"), Kind: offence.Connected, Count: 1})
	blocked := func(minute int, prefix, rule string, score float64, length time.Duration) detector.Verdict {
		at := reportStart.Add(time.Duration(minute) * time.Minute)
		return detector.Verdict{
			Prefix: netip.MustParsePrefix(prefix), At: at, Received: at, Until: at.Add(length),
			Rule: rule, Score: score, Hosts: 2, Evidence: []detector.Evidence{{Text: "not kept"}},
		}
	}
	r.block([]detector.Verdict{blocked(2, "198.51.100.7/32", "burst", 15, time.Hour)})
	r.block([]detector.Verdict{
		blocked(9, "2001:db8:1:2::/64", "burst", 10.5, time.Hour),
		blocked(63, "198.51.100.7/32", "steady", 41, 26*time.Hour),
	})
	r.spare(netip.MustParsePrefix("10.0.0.9/32"), "private range")
	r.spare(netip.MustParsePrefix("10.0.0.9/32"), "private range")
	for range 7 {
		r.blockedSeen(mx1, offenceAt(10, "198.51.100.7", offence.DNSBL, 2), netip.Prefix{}, time.Time{})
	}
	r.blockedSeen(mx1, &offence.Event{Kind: offence.Connected, Count: 1}, netip.Prefix{}, time.Time{})
	r.reading = sendmail.Stats{Orphans: 12, Torn: 1}
	r.reading.Lines[offence.LineUnknown] = 2
	r.unknown = []string{"6AN8J3Lx004711: gremlins in the queue"}
	r.finish(inputTotals{
		files: []fileTotal{
			{name: "maillog.1", lines: 1_234_000, unread: 1, samples: []sample{{17, "-- MARK \x1b[31m--"}}},
			{name: "maillog", lines: 567, err: errors.New("read maillog: after 5 bytes of text: unexpected EOF")},
		},
		lines: 1_234_567, unread: 1,
		begin: reportStart, end: reportStart.Add(2*time.Hour - time.Second),
	}, 500*time.Millisecond)
	return r
}

func TestReportText(t *testing.T) {
	var out strings.Builder
	if err := exampleReport().writeText(&out, 2, time.UTC); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", out.String())
}

func TestReportTextAll(t *testing.T) {
	var out strings.Builder
	if err := exampleReport().writeText(&out, 0, time.FixedZone("", 3600)); err != nil {
		t.Fatal(err)
	}
	golden(t, "report-all.txt", out.String())
}

func TestReportJSON(t *testing.T) {
	var out strings.Builder
	if err := exampleReport().writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", out.String())
}

// TestReportOfNothing: an empty log is no reason to divide by zero, and lists
// are lists.
func TestReportOfNothing(t *testing.T) {
	r := newReport()
	r.finish(inputTotals{files: []fileTotal{{name: "empty"}}}, 0)
	var text, js strings.Builder
	if err := errors.Join(r.writeText(&text, 10, time.UTC), r.writeJSON(&js)); err != nil {
		t.Fatal(err)
	}
	golden(t, "report-empty.txt", text.String())
	if strings.Contains(js.String(), "null") {
		t.Errorf("null in %s", js.String())
	}
	var back map[string]any
	if err := json.Unmarshal([]byte(js.String()), &back); err != nil {
		t.Error(err)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := terminal.Grouped(n); got != want {
			t.Errorf("grouped(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestShortened(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"short", "short"},
		{"0123456789abc", "0123456789…"},
		{"012345678é", "012345678…"},
		{"a\x1b[2Jb\tc", "a.[2Jb.c"},
	} {
		if got := terminal.Shortened(test.text, 10); got != test.want {
			t.Errorf("shortened(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

func TestTimeline(t *testing.T) {
	var line timeline
	for _, at := range []time.Duration{0, time.Hour, -time.Hour, 400 * 24 * time.Hour, -30 * 24 * time.Hour, 0} {
		line.add(reportStart.Add(at), 1)
	}
	columns := line.between(reportStart.Add(-30*24*time.Hour), reportStart.Add(400*24*time.Hour))
	early, late := sum(columns[:5]), sum(columns[len(columns)-3:])
	if math.Abs(early-5) > 0.01 || math.Abs(late-1) > 0.01 {
		t.Errorf("columns %v, want five at the begin and one at the end", columns)
	}
}

// TestTimelineIsEven: what happens evenly must look even, whatever the width of
// the columns.
func TestTimelineIsEven(t *testing.T) {
	for _, minutes := range []int{60, 100, 1000, 12_345} {
		var line timeline
		for minute := range minutes {
			line.add(reportStart.Add(time.Duration(minute)*time.Minute), 1)
		}
		columns := line.between(reportStart, reportStart.Add(time.Duration(minutes)*time.Minute-time.Second))
		for i, n := range columns[:len(columns)-2] {
			if want := float64(minutes) / sparkWidth; math.Abs(n-want) > want/2 {
				t.Errorf("%d minutes: column %d is %v, want %v", minutes, i, n, want)
			}
		}
	}
}

func sum(counts []float64) (n float64) {
	for _, c := range counts {
		n += c
	}
	return n
}

func TestSpark(t *testing.T) {
	if got, want := spark([]float64{0, 1, 4, 8}), "·▁▄█"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := spark([]float64{0, 0}), "··"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
