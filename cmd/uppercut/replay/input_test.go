package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"uppercut/deploy/loggen"
	"uppercut/detector"
)

// smallLog is a made-up log of n lines, written under attack.
func smallLog(n int) loggen.Config {
	c := loggen.DefaultConfig()
	c.Lines, c.Abuse = n, 0.7
	return c
}

// logText is the log in format f, of the hosts that keep says.
func logText(c loggen.Config, f loggen.Format, keep func(host string) bool) []byte {
	var text []byte
	for l := range loggen.Lines(c) {
		if keep(l.Host) {
			text = f.Append(text, l)
		}
	}
	return text
}

func everyHost(string) bool { return true }

func gzipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, text []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(text, nil)
}

// logFile writes text to a file that was last changed at modified.
func logFile(t testing.TB, name string, text []byte, modified time.Time) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
	return path
}

// seen is what the judge was given of a line.
type seen struct {
	Time         string
	Sender, Host string
	Tag          string
	PID          uint32
	Number       uint64
	File         int
	Text         string
}

// readInput returns every line that in hands out.
func readInput(t *testing.T, in *input) ([]seen, error) {
	t.Helper()
	if in.zone == nil {
		in.zone = time.UTC
	}
	var all []seen
	err := in.each(t.Context(), detector.DefaultConfig(), func(l *detector.Line) {
		if l.Transport != "file" || l.Stamp != detector.StampFull || !l.Received.Equal(l.Time) {
			t.Errorf("line %+v", l)
		}
		all = append(all, seen{
			Time:   l.Time.UTC().Format("2006-01-02T15:04:05.000000"),
			Sender: strings.Clone(l.Sender),
			Host:   strings.Clone(l.Host),
			Tag:    strings.Clone(l.Tag),
			PID:    l.PID,
			Number: lineOf(l.Number),
			File:   fileOf(l.Number),
			Text:   strings.Clone(l.Record.Text),
		})
	})
	return all, err
}

// TestInputMergesByTime splits a log by host into files of different formats
// and packings, and wants it back whole and in order.
func TestInputMergesByTime(t *testing.T) {
	c := smallLog(20_000)
	end := c.Start.Add(24 * time.Hour)
	only := func(name string) func(string) bool { return func(host string) bool { return host == name } }
	paths := []string{
		logFile(t, "mx1.log", logText(c, loggen.ISO, only("mx1")), end),
		logFile(t, "mx2.log.gz", gzipped(t, logText(c, loggen.RFC5424, only("mx2"))), end),
		logFile(t, "mx3.log.zst", zstandard(t, logText(c, loggen.ISO, only("mx3"))), end),
		logFile(t, "mx4.log", logText(c, loggen.RFC5424, only("mx4")), end),
		logFile(t, "mx5.log", logText(c, loggen.ISO, only("mx5")), end),
	}
	numbers := map[string]uint64{}
	var want []seen
	for l := range loggen.Lines(c) {
		numbers[l.Host]++
		file := int(l.Host[2] - '1')
		want = append(want, seen{
			Time:   l.Time.Format("2006-01-02T15:04:05.000000"),
			Sender: strings.TrimSuffix(strings.TrimSuffix(paths[file], ".gz"), ".zst"),
			Host:   l.Host, Tag: l.Tag, PID: l.PID,
			Number: numbers[l.Host], File: file, Text: l.Text,
		})
	}
	in := &input{paths: paths}
	got, err := readInput(t, in)
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(s seen) bool { return s.Tag == "dovecot" })
	want = slices.DeleteFunc(want, func(s seen) bool { return s.Tag == "dovecot" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%.2000s", diff)
	}
	totals := in.totals()
	if totals.lines != 20_000 || totals.unread != 0 || len(totals.files) != 5 {
		t.Errorf("totals %d lines, %d unread, %d files", totals.lines, totals.unread, len(totals.files))
	}
	if in.progress.lines.Load() != 20_000 || in.progress.consumed() != in.progress.size {
		t.Errorf("progress: %d lines, %d of %d bytes", in.progress.lines.Load(), in.progress.consumed(), in.progress.size)
	}
}

// inputOf returns an input of named texts, as files changed at modified.
func inputOf(t *testing.T, modified string, texts ...string) *input {
	t.Helper()
	at, err := time.Parse(time.DateOnly, modified)
	if err != nil {
		t.Fatal(err)
	}
	in := &input{}
	for i, text := range texts {
		in.paths = append(in.paths, logFile(t, fmt.Sprintf("log%c", 'a'+i), []byte(text), at))
	}
	return in
}

// order is the times and texts of lines, without the seconds' fraction.
func order(all []seen) []string {
	var short []string
	for _, s := range all {
		short = append(short, s.Time[:19]+" "+s.Text)
	}
	return short
}

func TestInputOrder(t *testing.T) {
	tests := map[string]struct {
		in   *input
		want []string
	}{
		"New Year": {
			inputOf(t, "2026-01-02", "Dec 31 23:59:59 a sendmail[1]: old\nJan  1 00:00:00 a sendmail[1]: new\n"),
			[]string{"2025-12-31T23:59:59 old", "2026-01-01T00:00:00 new"},
		},
		"formats change within a file": {
			inputOf(t, "2026-11-23", "Nov 23 01:00:00 a sendmail[1]: one\n"+
				"2026-11-23T02:00:00+00:00 a sendmail[1]: two\n"+
				"2026-11-23 03:00:00 a sendmail[1]: three\n"+
				"<22>1 2026-11-23T04:00:00Z a sendmail 1 - - four\n"+
				"<22>1 - a sendmail 1 - - five\n"),
			[]string{
				"2026-11-23T01:00:00 one", "2026-11-23T02:00:00 two", "2026-11-23T03:00:00 three",
				"2026-11-23T04:00:00 four", "2026-11-23T04:00:00 five",
			},
		},
		"equal times: the first file first": {
			inputOf(t, "2026-11-23", "Nov 23 01:00:00 a sendmail[1]: a1\nNov 23 01:00:00 a sendmail[1]: a2\n",
				"Nov 23 01:00:00 b sendmail[1]: b1\nNov 23 01:00:01 b sendmail[1]: b2\n"),
			[]string{
				"2026-11-23T01:00:00 a1", "2026-11-23T01:00:00 a2", "2026-11-23T01:00:00 b1", "2026-11-23T01:00:01 b2",
			},
		},
		"rotated files, the newest first": {
			inputOf(t, "2026-11-23", "Nov 22 01:00:00 a sendmail[1]: new\n", "Nov 21 01:00:00 a sendmail[1]: old\n"),
			[]string{"2026-11-21T01:00:00 old", "2026-11-22T01:00:00 new"},
		},
		"an empty file": {
			inputOf(t, "2026-11-23", "", "Nov 21 01:00:00 a sendmail[1]: x\n"),
			[]string{"2026-11-21T01:00:00 x"},
		},
		"an old line in a young file": {
			inputOf(t, "2026-11-23", "Nov 21 01:00:00 a sendmail[1]: 1\nNov 21 00:00:00 a sendmail[1]: 2\nNov 21 03:00:00 a sendmail[1]: 3\n",
				"Nov 21 02:00:00 b sendmail[1]: x\n"),
			[]string{"2026-11-21T01:00:00 1", "2026-11-21T00:00:00 2", "2026-11-21T02:00:00 x", "2026-11-21T03:00:00 3"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readInput(t, test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, order(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestInputCountsWhatHasNoHeader(t *testing.T) {
	in := inputOf(t, "2026-11-23", "# a comment\n\nNov 21 01:00:00 a sendmail[1]: x\n -- Journal begins --\n")
	got, err := readInput(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Number != 3 {
		t.Errorf("lines %+v", got)
	}
	f := in.totals().files[0]
	if f.lines != 4 || f.unread != 2 {
		t.Errorf("%d lines, %d unread, want 4 and 2", f.lines, f.unread)
	}
	want := []sample{{1, "# a comment"}, {4, " -- Journal begins --"}}
	if diff := cmp.Diff(want, f.samples); diff != "" {
		t.Errorf("samples (-want +got)\n%s", diff)
	}
}

// TestInputWithoutAFuture: a line from the future takes the time of the one
// before it, or of the file.
func TestInputWithoutAFuture(t *testing.T) {
	in := inputOf(t, "2026-11-23", "2300-01-01T00:00:00Z a sendmail[1]: x\n2026-11-21T01:00:00Z a sendmail[1]: y\n2301-01-01T00:00:00Z a sendmail[1]: z\n")
	got, err := readInput(t, in)
	if err != nil {
		t.Fatal(err)
	}
	var times []string
	for _, l := range got {
		times = append(times, l.Time[:10])
	}
	if want := []string{"2026-11-23", "2026-11-21", "2026-11-21"}; !slices.Equal(times, want) {
		t.Errorf("%v, want %v", times, want)
	}
}

// TestInputGoesOn: one bad file does not keep the others from being read.
func TestInputGoesOn(t *testing.T) {
	in := inputOf(t, "2026-11-23", "Nov 21 01:00:00 a sendmail[1]: x\n")
	text := logText(smallLog(5000), loggen.Traditional, everyHost)
	cut := gzipped(t, text)
	in.paths = append(in.paths,
		"/nonexistent/maillog",
		logFile(t, "cut.gz", cut[:len(cut)/2], time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)),
	)
	got, err := readInput(t, in)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"open /nonexistent/maillog: no such file or directory\n",
		"cut.gz: after ", " bytes of text: unexpected EOF: the file is truncated",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	totals := in.totals()
	if n := totals.files[2].lines; n < 1000 || int(n-totals.foreign) != len(got)-1 || totals.files[2].err == nil {
		t.Errorf("%d lines of the cut file, %d lines in all, error %v", n, len(got), totals.files[2].err)
	}
}

// TestInputPipe: what can be read only once is read once.
func TestInputPipe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err == nil {
			_, _ = w.WriteString("2026-11-21T02:00:00Z a sendmail[1]: from the pipe\n")
			w.Close()
		}
	}()
	in := inputOf(t, "2026-11-23", "Nov 21 01:00:00 a sendmail[1]: from the file\nNov 21 03:00:00 a sendmail[1]: again\n")
	in.paths = append(in.paths, fifo, "-")
	in.stdin = strings.NewReader("2026-11-21T02:30:00Z a sendmail[1]: from standard input\n")
	got, err := readInput(t, in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2026-11-21T01:00:00 from the file", "2026-11-21T02:00:00 from the pipe",
		"2026-11-21T02:30:00 from standard input", "2026-11-21T03:00:00 again",
	}
	if diff := cmp.Diff(want, order(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// endless is a log that never ends.
type endless struct{ line []byte }

func (e endless) Read(b []byte) (int, error) {
	n := 0
	for n+len(e.line) <= len(b) {
		n += copy(b[n:], e.line)
	}
	return n, nil
}

func TestInputStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := &input{paths: []string{"-"}, zone: time.UTC, stdin: endless{[]byte("2026-11-21T02:00:00Z a sendmail[1]: x\n")}}
	lines := 0
	err := in.each(ctx, detector.DefaultConfig(), func(*detector.Line) {
		if lines++; lines == 10_000 {
			cancel()
		}
	})
	if !errors.Is(err, errInterrupted) {
		t.Errorf("error %v", err)
	}
}

// TestInputStopsWhileStandardInputIsSilent: nobody types anything, and then
// Ctrl-C.
func TestInputStopsWhileStandardInputIsSilent(t *testing.T) {
	silent, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	in := &input{paths: []string{"-"}, zone: time.UTC, stdin: silent}
	done := make(chan error)
	go func() {
		done <- in.each(ctx, detector.DefaultConfig(), func(*detector.Line) { cancel() })
	}()
	if _, err := io.WriteString(writer, strings.Repeat("2026-11-21T02:00:00Z a sendmail[1]: x\n", 10_000)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, errInterrupted) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still reading")
	}
}

// TestInputOpensOneAfterTheOther: rotated files must not all be open at once.
func TestInputOpensOneAfterTheOther(t *testing.T) {
	in := &input{zone: time.UTC}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for day := range 60 {
		at := start.AddDate(0, 0, day)
		text := fmt.Appendf(nil, "%s a sendmail[1]: x\n%s a sendmail[1]: y\n", at.Format(time.RFC3339), at.Add(23*time.Hour).Format(time.RFC3339))
		in.paths = append(in.paths, logFile(t, fmt.Sprintf("maillog.%d", 60-day), text, at))
	}
	slices.Reverse(in.paths)
	lines := 0
	err := in.each(t.Context(), detector.DefaultConfig(), func(*detector.Line) {
		lines++
		open := 0
		for _, s := range in.sources {
			if s.line != nil {
				open++
			}
		}
		if open > 2 {
			t.Fatalf("%d files open at line %d", open, lines)
		}
	})
	if err != nil || lines != 120 {
		t.Errorf("%d lines, error %v", lines, err)
	}
}
