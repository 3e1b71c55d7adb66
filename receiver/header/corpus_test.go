package header

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// specimen is a frame of testdata/corpus with what it must be read as.
type specimen struct {
	frame, want string // want is "HOST TAG PID", - for no host
	relay       bool
	wraps       []string
}

// corpus reads testdata/corpus: comments, "! relay" or "! wraps TAG" for what
// the configuration says, frames in quotes, and "= HOST TAG PID" behind each.
func corpus(t testing.TB) map[string][]specimen {
	t.Helper()
	paths, err := filepath.Glob("testdata/corpus/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	all := map[string][]specimen{}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var s specimen
		for line := range strings.Lines(string(file)) {
			line = strings.TrimSuffix(line, "\n")
			switch tag, wraps := strings.CutPrefix(line, "! wraps "); {
			case wraps:
				s.wraps = []string{tag}
			case line == "! relay":
				s.relay = true
			case strings.HasPrefix(line, `"`):
				if s.frame, err = strconv.Unquote(line); err != nil {
					t.Fatalf("%s: %s: %v", path, line, err)
				}
			case strings.HasPrefix(line, "= "):
				s.want = line[2:]
				all[filepath.Base(path)] = append(all[filepath.Base(path)], s)
			}
		}
	}
	return all
}

// TestCorpus reads what the syslog daemons of the world write, as a frame and as
// a line of a file.
func TestCorpus(t *testing.T) {
	own := []string{"sendmail", "sm-*"}
	for name, specimens := range corpus(t) {
		for _, s := range specimens {
			for how, p := range map[string]*Parser{
				"live": {Tags: NewTags(own, s.wraps)},
				"file": {Tags: NewTags(own, s.wraps), Zone: time.UTC},
			} {
				var h Header
				if err := p.Parse(s.frame, s.relay, &h); err != nil {
					t.Errorf("%s, %s: %q: %v", name, how, s.frame, err)
					continue
				}
				if h.Host == "" {
					h.Host = "-"
				}
				if got := fmt.Sprint(h.Host, " ", h.Tag, " ", h.PID); got != s.want || !textIsWhole(s.frame, h.Text) {
					t.Errorf("%s, %s: %q is %s, want %s; text %q", name, how, s.frame, got, s.want, h.Text)
				}
				checkTime(t, name, s.frame, &h)
			}
		}
	}
}

// textIsWhole reports whether text is what sendmail wrote.
func textIsWhole(frame, text string) bool {
	frame = trimTrailer(frame)
	if frame[0] == '{' {
		return strings.HasPrefix(text, "ruleset=") || strings.HasPrefix(text, "AUTH ")
	}
	first, _, _ := strings.Cut(text, " ")
	return len(text) > 40 && strings.HasSuffix(frame, text) && (strings.HasPrefix(text, "ruleset=") || first == "AUTH" || len(first) == 15)
}

// checkTime holds the time to the two days on which the frames were written.
func checkTime(t *testing.T, name, frame string, h *Header) {
	t.Helper()
	at := h.Time.Format("01-02 15:04")
	if h.Stamp == StampNone {
		if strings.Contains(frame, ":00:00") {
			t.Errorf("%s: %q: no time", name, frame)
		}
		return
	}
	switch at {
	case "11-30 12:00", "11-30 12:36", "11-30 13:00", "11-30 10:00", "07-04 10:00", "07-04 08:00":
	default:
		t.Errorf("%s: %q: time %s", name, frame, h.Time)
	}
}

// TestUnbelieved: without configuration neither a second header nor a tag within
// a tag counts, and both are told.
func TestUnbelieved(t *testing.T) {
	own := NewTags([]string{"sendmail", "sm-*"}, nil)
	for name, specimens := range corpus(t) {
		for _, s := range specimens {
			if !s.relay && s.wraps == nil {
				continue
			}
			p := &Parser{Tags: own}
			var h Header
			if err := p.Parse(s.frame, false, &h); err != nil {
				t.Errorf("%s: %q: %v", name, s.frame, err)
				continue
			}
			if own.Own(h.Tag) != (strings.HasPrefix(s.frame, "<21>Jul  4 10:00:04 mx1 mx1") || strings.HasPrefix(s.frame, "<21>Jul  4 10:00:06 mx1 ")) {
				t.Errorf("%s: %q is read as %+v", name, s.frame, h)
			}
		}
	}
}
