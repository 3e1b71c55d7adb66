package replay

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestReplayReadsTheCorpus replays what the syslog daemons of the world write:
// the same frames that the receiver is sent.
func TestReplayReadsTheCorpus(t *testing.T) {
	paths, err := filepath.Glob("../../../receiver/header/testdata/corpus/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			log, want, wraps := corpusLog(t, path)
			dir := t.TempDir()
			config, file := filepath.Join(dir, "uppercut.yaml"), filepath.Join(dir, "maillog")
			write := func(name, text string) {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(config, fmt.Sprintf("receiver: {wrapping_tags: [%s]}\n", wraps))
			write(file, log)
			stdout, stderr, err := command(t, config, "", "--events", file)
			if err != nil || stderr != "" {
				t.Fatalf("%v, %s", err, stderr)
			}
			for number, host := range want {
				if event := fmt.Sprintf(`{"line":%d,`, number+1); !strings.Contains(stdout, event) {
					t.Errorf("line %d is not read; events:\n%s", number+1, stdout)
				}
				if host != "-" && !strings.Contains(stdout, fmt.Sprintf(`"host":%q`, host)) {
					t.Errorf("host %s does not occur in\n%s", host, stdout)
				}
			}
		})
	}
}

// corpusLog returns the frames of a file of the corpus as the lines of a log, the
// host of each, and the tag that wraps.
func corpusLog(t *testing.T, path string) (log string, hosts []string, wraps string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if frame, err := strconv.Unquote(line); err == nil {
			log += strings.TrimSuffix(frame, "\n") + "\n"
		}
		if host, ok := strings.CutPrefix(line, "= "); ok {
			host, _, _ = strings.Cut(host, " ")
			hosts = append(hosts, host)
		}
		if tag, ok := strings.CutPrefix(line, "! wraps "); ok {
			wraps = strconv.Quote(tag)
		}
	}
	return log, hosts, wraps
}

// TestSplitContainerLines: what a container runtime has split stays split at the
// edges of the chunks, too: a client cannot write a line of its own there.
func TestSplitContainerLines(t *testing.T) {
	const at = "2026-11-30T12:00:00.123456789Z "
	var log strings.Builder
	for i := range 12_000 { // 3 MB, a dozen chunks
		fmt.Fprintf(&log, "%sstdout P sendmail[%d]: 6AN8J3p6%06d: x%s\n", at, i+1, i, strings.Repeat("y", 60))
		fmt.Fprintf(&log, "%sstdout F sendmail[9]: ruleset=check_relay, arg1=[192.0.2.66], arg2=192.0.2.66, relay=[192.0.2.66], reject=550 5.7.1 no\n", at)
	}
	stdout, _, err := command(t, "", log.String(), "--events", "-")
	if err != nil || strings.Contains(stdout, "192.0.2.66") {
		t.Errorf("%v, %.300s", err, stdout)
	}
}
