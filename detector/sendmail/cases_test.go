package sendmail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// testdata/cases holds what sendmail 8.17.1 to 8.18.2 logged about sessions that
// were once misread. NAME.want has "LINE ADDRESS REASON" for each offence of
// NAME.log; an optional one may be missing, and none may be wrong.
func TestCases(t *testing.T) {
	logs, err := filepath.Glob("testdata/cases/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, name := range logs {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".log"), func(t *testing.T) {
			want := wantedEvents(t, strings.TrimSuffix(name, ".log")+".want")
			for _, e := range replay(t, NewMemory(MemoryOptions{}), readCase(t, name)) {
				if e.Kind != offence.Offence {
					continue
				}
				got := fmt.Sprintf("%d %s %s", e.Line, e.Addr, e.Reason)
				if _, ok := want[got]; !ok {
					t.Errorf("%s is wrong", got)
				}
				delete(want, got)
			}
			for line, optional := range want {
				if !optional {
					t.Errorf("%s is missing", line)
				}
			}
		})
	}
}

func readCase(t *testing.T, name string) (lines []logLine) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		l, err := splitHeader(strings.TrimSuffix(line, "\n"), "traditional")
		if err != nil {
			t.Fatal(err)
		}
		l.n = uint64(len(lines) + 1)
		lines = append(lines, l)
	}
	return lines
}

// wantedEvents says of each offence whether it is optional.
func wantedEvents(t *testing.T, name string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		line, optional := strings.CutSuffix(strings.TrimSuffix(line, "\n"), " optional")
		want[line] = optional
	}
	return want
}
