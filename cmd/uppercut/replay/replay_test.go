package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uppercut/cmd/uppercut/config"
	"uppercut/deploy/loggen"
)

// command does what uppercut replay does with these flags and files, in UTC. An
// empty configFile stands for the defaults.
func command(t *testing.T, configFile, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	events := flags.Bool("events", false, "")
	format := flags.String("format", "text", "")
	compare := flags.String("compare", "", "")
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	load := func(file string) config.Config {
		c := config.Default()
		if file != "" {
			var err error
			if c, err = (config.Source{File: file}).Load(); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	var out, errs bytes.Buffer
	o := Options{
		Config: load(configFile), Paths: flags.Args(), Stdin: strings.NewReader(stdin), Zone: time.UTC,
		JSON: *format == "json", Top: 10, Stdout: &out, Stderr: &errs,
	}
	switch {
	case *events:
		err = Events(t.Context(), o)
	case *compare != "":
		err = Compare(t.Context(), o, "base", load(*compare), *compare)
	default:
		err = Report(t.Context(), o)
	}
	return out.String(), errs.String(), err
}

// events runs replay --events and returns what it prints, in the order of the
// lines.
func events(t *testing.T, stdin string, paths ...string) []offenceJSON {
	t.Helper()
	stdout, stderr, err := command(t, "", stdin, append([]string{"--events"}, paths...)...)
	if err != nil || stderr != "" {
		t.Fatalf("%v, %s", err, stderr)
	}
	var all []offenceJSON
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	for decoder.More() {
		var o offenceJSON
		if err := decoder.Decode(&o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b offenceJSON) int { return int(a.Line) - int(b.Line) })
	return all
}

// truth is what events must find in a made-up log.
func truth(c loggen.Config) []offenceJSON {
	var all []offenceJSON
	number := uint64(0)
	for l := range loggen.Lines(c) {
		number++
		if l.Reason == "" {
			continue
		}
		o := offenceJSON{
			Line: number, Time: l.Time.Truncate(time.Second).Format(time.RFC3339),
			Host: l.Host, Addr: l.Addr, Reason: l.Reason, Count: 1, Via: "line",
		}
		if l.ViaSession {
			o.Via = "session"
		}
		all = append(all, o)
	}
	return all
}

// withoutOpenSessions leaves out what can only be told by lines that the log no
// longer holds: sessions that were open when it ended.
func withoutOpenSessions(want, got []offenceJSON, lines uint64) []offenceJSON {
	found := map[uint64]bool{}
	for _, o := range got {
		found[o.Line] = true
	}
	return slices.DeleteFunc(want, func(o offenceJSON) bool {
		return o.Via == "session" && o.Line > lines-300 && !found[o.Line]
	})
}

// TestReplayEvents: in every format and packing, each offence is found, with
// its line and its client.
func TestReplayEvents(t *testing.T) {
	c := smallLog(6_000)
	modified := c.Start.Add(24 * time.Hour)
	for _, format := range []loggen.Format{loggen.Traditional, loggen.ISO, loggen.DateTime, loggen.RFC5424} {
		text := logText(c, format, everyHost)
		files := map[string]string{
			"plain": logFile(t, "maillog", text, modified),
			"gzip":  logFile(t, "maillog.1.gz", gzipped(t, text), modified),
			"zstd":  logFile(t, "maillog.2.zst", zstandard(t, text), modified),
		}
		for packing, path := range files {
			t.Run(fmt.Sprintf("%v/%s", format, packing), func(t *testing.T) {
				got := events(t, "", path)
				want := withoutOpenSessions(truth(c), got, uint64(c.Lines))
				if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("(-want +got)\n%.3000s", diff)
				}
			})
		}
	}
}

// TestReplayEventsOfSeveralFiles: line numbers count within a file, and the
// object says which.
func TestReplayEventsOfSeveralFiles(t *testing.T) {
	modified := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	line := "Nov 22 10:00:0%d mx%d sendmail[7]: ruleset=check_relay, arg1=[198.51.100.%d], arg2=198.51.100.%d, relay=[198.51.100.%d], reject=550 5.7.1 Access denied\n"
	a := logFile(t, "a.log", fmt.Appendf(nil, "Nov 22 10:00:00 mx1 sendmail[1]: daemon\n"+line, 2, 1, 1, 1, 1), modified)
	b := logFile(t, "b.log", fmt.Appendf(nil, line, 1, 2, 2, 2, 2), modified)
	stdout, _, err := command(t, "", "", "--events", a, b)
	want := fmt.Sprintf(`{"file":%q,"line":1,"time":"2026-11-22T10:00:01Z","host":"mx2","addr":"198.51.100.2","reason":"access_denied","count":1,"via":"line"}
{"file":%q,"line":2,"time":"2026-11-22T10:00:02Z","host":"mx1","addr":"198.51.100.1","reason":"access_denied","count":1,"via":"line"}
`, b, a)
	want = strings.ReplaceAll(want, "access_denied", "access_reject")
	if diff := cmp.Diff(want, stdout); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestReplaySessionOverRotation: a session whose lines stand on both sides of a
// rotation is one session, and the event names the older file.
func TestReplaySessionOverRotation(t *testing.T) {
	dir := t.TempDir()
	modified := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for name, text := range map[string]string{
		"maillog.1":   "Nov 22 10:00:00 mx1 sendmail[7]: 6AMA00aa000007: <nosuch@lab.example>... User unknown\n",
		"maillog":     "Nov 22 10:00:01 mx1 sendmail[7]: 6AMA00aa000007: from=<x@y.example>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=[198.51.100.7]\n",
		"othermail.1": "Nov 22 10:00:00 mx1 sendmail[8]: 6AMA00aa000008: <nosuch@lab.example>... User unknown\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, modified, modified)); err != nil {
			t.Fatal(err)
		}
	}
	older := filepath.Join(dir, "maillog.1")
	got := events(t, "", filepath.Join(dir, "maillog"), filepath.Join(dir, "othermail.1"), older)
	want := []offenceJSON{{
		File: older, Line: 1, Time: "2026-11-22T10:00:00Z", Host: "mx1", Addr: netip.MustParseAddr("198.51.100.7"),
		Reason: "unknown_user", Count: 1, Via: "session",
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// timing is what differs from run to run.
var timing = regexp.MustCompile(`read in [0-9.]+ s, .* lines/s|"seconds": [0-9.e-]+,`)

// TestReplayReport holds a whole report still.
func TestReplayReport(t *testing.T) {
	c := smallLog(20_000)
	text := logText(c, loggen.Traditional, everyHost)
	path := logFile(t, "maillog", append([]byte("-- MARK --\n"), text...), c.Start.Add(24*time.Hour))
	stdout, stderr, err := command(t, "", "", path)
	if err != nil || stderr != "" {
		t.Fatalf("%v, %s", err, stderr)
	}
	stdout = timing.ReplaceAllString(stdout, "read in X s, Y lines/s")
	golden(t, "replay.txt", strings.ReplaceAll(stdout, path, "maillog"))
}

// TestReplayIsTheSameFromAnyFile: split by host, packed, from a pipe: the
// verdicts stay.
func TestReplayIsTheSameFromAnyFile(t *testing.T) {
	c := smallLog(10_000)
	modified := c.Start.Add(24 * time.Hour)
	blocks := func(stdin string, paths ...string) (list []blockJSON) {
		t.Helper()
		stdout, stderr, err := command(t, "", stdin, append([]string{"--format", "json"}, paths...)...)
		if err != nil {
			t.Fatalf("%v, %s", err, stderr)
		}
		var r reportJSON
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		if r.Lines != uint64(c.Lines) {
			t.Errorf("%d lines, want %d", r.Lines, c.Lines)
		}
		return r.Blocks
	}
	whole := logText(c, loggen.ISO, everyHost)
	want := blocks("", logFile(t, "maillog", whole, modified))
	if len(want) < 50 {
		t.Errorf("only %d blocks", len(want))
	}
	var split []string
	for i := range c.Hosts {
		name := fmt.Sprintf("mx%d", i+1)
		text := logText(c, loggen.ISO, func(host string) bool { return host == name })
		split = append(split, logFile(t, name+".log", gzipped(t, text), modified))
	}
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, blocks("", split...), same); diff != "" {
		t.Errorf("split by host (-want +got)\n%.2000s", diff)
	}
	if diff := cmp.Diff(want, blocks(string(whole), "-"), same); diff != "" {
		t.Errorf("standard input (-want +got)\n%.2000s", diff)
	}
	half := bytes.LastIndexByte(whole[:len(whole)/2], '\n') + 1
	rotated := []string{
		logFile(t, "maillog", whole[half:], modified),
		logFile(t, "maillog.1.gz", gzipped(t, whole[:half]), modified),
	}
	if got := blocks("", rotated...); len(got) < len(want)-5 {
		t.Errorf("rotated: %d blocks, want about %d", len(got), len(want))
	}
}

// TestReplayCompare: a stricter rule blocks more, and nobody less.
func TestReplayCompare(t *testing.T) {
	c := smallLog(10_000)
	path := logFile(t, "maillog", logText(c, loggen.ISO, everyHost), c.Start)
	stricter := filepath.Join(t.TempDir(), "stricter.yaml")
	rules := "detector:\n  rules:\n    - {name: strict, window: 1h, score: 5, block: 48h}\n"
	if err := os.WriteFile(stricter, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := command(t, "", "", "--format", "json", "--compare", stricter, path)
	if err != nil {
		t.Fatalf("%v, %s", err, stderr)
	}
	var got comparisonJSON
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.More) < 50 || len(got.Less) != 0 || len(got.Other.Blocks) <= len(got.Base.Blocks) {
		t.Errorf("%d more, %d less; %d blocks against %d", len(got.More), len(got.Less), len(got.Other.Blocks), len(got.Base.Blocks))
	}
	for _, d := range got.More {
		if d.Other.Rule != "strict" {
			t.Fatalf("%+v", d)
		}
	}
}
