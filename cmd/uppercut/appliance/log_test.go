package appliance

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode"
)

// What others wrote reaches no screen through our log, in either format.
func TestHostileTextInTheLog(t *testing.T) {
	hostile := "\x1b[2J\x1b]0;owned\x07\r\n\u202egnp.exe\u2066\u200b\u2028\xff" + strings.Repeat("W", 64<<10)
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		slog.New(logHandler(format == "json", &out, nil)).Warn("breaker opened", "host", hostile, "error", errors.New(hostile), slog.Group("by", "note", hostile))
		line := strings.TrimSuffix(out.String(), "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: %q reaches the screen", format, line[max(0, i-20):i+20])
		}
		if !strings.Contains(line, `x1b[2J`) || !strings.Contains(line, `u202egnp.exe`) {
			t.Errorf("%s: what was said is gone: %.300s", format, line)
		}
		if format == "json" && !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %.300s", line)
		}
	}
}
