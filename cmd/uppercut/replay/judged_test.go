package replay

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJudgedCases replays logs of which it is known who is to be blocked in the
// end: hosts that refuse everybody, a password backend that is down, limits of
// the host's own, and beside each the attackers that look alike.
func TestJudgedCases(t *testing.T) {
	logs, err := filepath.Glob("testdata/judged/*.log")
	if err != nil || len(logs) < 8 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	for _, log := range logs {
		name := strings.TrimSuffix(filepath.Base(log), ".log")
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := command(t, "", "", "--format", "json", log)
			if err != nil {
				t.Fatalf("%v, %s", err, stderr)
			}
			var report reportJSON
			var want []netip.Prefix
			for text, into := range map[string]any{stdout: &report, readFile(t, strings.TrimSuffix(log, ".log")+".blocks.json"): &want} {
				if err := json.Unmarshal([]byte(text), into); err != nil {
					t.Fatal(err)
				}
			}
			got := []netip.Prefix{}
			for _, b := range report.Blocks {
				got = append(got, b.Prefix)
			}
			slices.SortFunc(got, netip.Prefix.Compare)
			if diff := cmp.Diff(want, slices.Compact(got), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("blocked:\n%s", diff)
			}
			text, _, _ := command(t, "", "", log)
			if told := strings.Contains(text, "lifted when the breaker opened"); told != (report.TakenBack > 0) {
				t.Errorf("%d blocks were lifted, and the report says\n%s", report.TakenBack, text)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
