package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLimitsNameWhatThereIs: the keys, metrics and alerts of docs/limits.md
// exist, each row has a bound and says what happens, and every limit of the
// configuration is listed. The memory budget knows the queues among them.
func TestLimitsNameWhatThereIs(t *testing.T) {
	limits, configuration, metrics, rules := page(t, "limits.md"), page(t, "configuration.md"), page(t, "metrics.md"), page(t, "../deploy/prometheus/rules.yml")
	budget := page(t, "../cmd/uppercut/appliance/memory.go")
	rows := 0
	for line := range strings.Lines(limits) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| what |") {
			continue
		}
		rows++
		if len(cells) != 5 || strings.TrimSpace(cells[1]) == "" || strings.TrimSpace(cells[2]) == "" {
			t.Errorf("not what, bound, what happens, metric, alert: %s", line)
			continue
		}
		for _, key := range regexp.MustCompile("`([a-z_]+\\.[a-z_.]+)`").FindAllStringSubmatch(cells[1], -1) {
			if !strings.Contains(configuration, "### `"+key[1]+"`\n") {
				t.Errorf("no key %s", key[1])
			}
		}
		for _, metric := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1) {
			if !strings.Contains(metrics, "| `"+metric[1]+"` |") {
				t.Errorf("no metric %s", metric[1])
			}
		}
		for alert := range strings.SplitSeq(strings.TrimSpace(cells[4]), ", ") {
			if alert != "-" && !strings.Contains(rules, "alert: "+alert+"\n") {
				t.Errorf("no alert %s", alert)
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d rows", rows)
	}
	for _, key := range regexp.MustCompile("### `([a-z_.]*(?:\\.max_|queue|_bytes|per_minute|history|audit|_buffer)[a-z_]*)`").FindAllStringSubmatch(configuration, -1) {
		if key[1] != "receiver.tls.max_version" && !strings.Contains(limits, "`"+key[1]+"`") {
			t.Errorf("%s is a limit that the page does not list", key[1])
		}
		if strings.HasSuffix(key[1], ".queue") && !strings.Contains(budget, `"`+key[1]+`"`) {
			t.Errorf("%s: its memory is not in the budget", key[1])
		}
	}
}
