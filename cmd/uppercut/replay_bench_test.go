package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/detector"
)

// millionLines is a log of a million lines in a file, the same in every run.
// It is never in memory: a child's peak counts what its parent had.
func millionLines(b *testing.B, format loggen.Format) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "maillog")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(f)
	var text []byte
	for l := range loggen.Lines(loggen.DefaultConfig()) {
		text = format.Append(text[:0], l)
		_, _ = out.Write(text) // Flush returns the error
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkReplayInput is reading, header and line parser, without the judge.
func BenchmarkReplayInput(b *testing.B) {
	path := millionLines(b, loggen.Traditional)
	b.ReportAllocs()
	for b.Loop() {
		in := &input{paths: []string{path}, zone: time.UTC}
		if err := in.each(b.Context(), detector.DefaultConfig(), func(*detector.Line) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e3, "ns/line")
}

// BenchmarkReplay runs uppercut replay and what its ancestor ran, in turns, on
// the same million lines, and reports the medians of seconds, and the peak of
// resident memory.
func BenchmarkReplay(b *testing.B) {
	path := millionLines(b, loggen.Traditional)
	ours := buildUppercut(b)
	type rival struct {
		name string
		argv []string
	}
	rivals := []rival{
		{"uppercut", []string{ours, "replay", path}},
		{"uppercut_json", []string{ours, "replay", "--format", "json", path}},
		{"grep_awk_sort_uniq", []string{"bash", "-c", `grep 'ruleset=check_relay' "$0" | awk '{print $10}' | sort | uniq -c | sort -rn`, path}},
		{"grep_c", []string{"grep", "-c", "ruleset=check_relay", path}},
	}
	if fail2ban, err := exec.LookPath("fail2ban-regex"); err == nil {
		// a fiftieth of the lines: it takes most of a minute for all of them
		rivals = append(rivals, rival{"fail2ban_regex_20k_lines", []string{
			"bash", "-c", `"$0" <(head -n 20000 "$1") /etc/fail2ban/filter.d/sendmail-reject.conf; true`, fail2ban, path,
		}})
	} else {
		b.Log("fail2ban-regex is not installed")
	}
	seconds := make([][]float64, len(rivals))
	megabytes := make([]float64, len(rivals))
	for b.Loop() {
		for i, rival := range rivals {
			took, rss := timed(b, rival.argv)
			seconds[i] = append(seconds[i], took.Seconds())
			megabytes[i] = max(megabytes[i], float64(rss)/1e6)
		}
	}
	for i, rival := range rivals {
		slices.Sort(seconds[i])
		b.ReportMetric(seconds[i][len(seconds[i])/2], rival.name+"-s")
	}
	b.ReportMetric(megabytes[0], "uppercut-peak-MB")
	b.ReportMetric(0, "ns/op") // of all rivals together: says nothing
}

func buildUppercut(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "uppercut")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// timed runs a command and returns how long it took and the peak of its
// resident memory in bytes.
func timed(b *testing.B, argv []string) (time.Duration, int64) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatal(fmt.Errorf("%q: %w\n%s", argv, err, out))
	}
	took := time.Since(begin)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return took, usage.Maxrss * 1024
}
