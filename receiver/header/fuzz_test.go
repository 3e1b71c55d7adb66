package header

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzHeader reads anything, live and from a file, of a relay and of others: the
// fields are parts of the frame, the text is a suffix of it, what is not
// believed is not taken, and where go-syslog's parser applies too, both agree.
func FuzzHeader(f *testing.F) {
	for _, bad := range badFrames(f) {
		f.Add(bad.frame[:min(len(bad.frame), 5000)], false)
	}
	for _, frame := range captured(f) {
		f.Add(frame[:min(len(frame), 5000)], false)
	}
	for _, specimens := range corpus(f) {
		for _, s := range specimens {
			f.Add(s.frame, s.relay)
		}
	}
	own, all := NewTags([]string{"sendmail", "sm-*"}, nil), NewTags([]string{"sendmail", "sm-*"}, []string{"*", Untagged})
	f.Fuzz(func(t *testing.T, frame string, relay bool) {
		for _, p := range []*Parser{{Tags: own}, {Tags: all, Zone: time.UTC}, {}} {
			var h Header
			if err := p.Parse(frame, relay, &h); err != nil {
				if _, ok := errors.AsType[Error](err); !ok {
					t.Errorf("error %v is no Error", err)
				}
				continue
			}
			checkFields(t, frame, relay, &h)
			var again Header
			fresh := &Parser{Tags: p.Tags, Zone: p.Zone}
			if err := fresh.Parse(frame, relay, &again); err != nil || !again.Time.Equal(h.Time) {
				t.Errorf("%q: read anew: %v, %v", frame, err, again)
			}
			p.Resume(Streams{})
			if err := p.Parse(frame, relay, &again); err != nil || again != h {
				t.Errorf("%q: from what the parser remembers: %v\n%+v\n%+v", frame, err, h, again)
			}
		}
		agreesWithLibrary(t, frame)
	})
}

func checkFields(t *testing.T, frame string, relay bool, h *Header) {
	t.Helper()
	if h.Priority > 191 || strings.HasPrefix(h.Text, " ") || h.Second && !relay || h.Repeats > 0 && h.Tag != "" {
		t.Errorf("%q: %+v", frame, h)
	}
	if strings.Contains(frame, "{") { // strings of JSON are not parts of the frame
		return
	}
	for _, part := range []string{h.Host, h.Tag, h.Wrapper} {
		if !strings.Contains(frame, part) || strings.Contains(part, " ") {
			t.Errorf("%q: %q in %+v is no word of the frame", frame, part, h)
		}
	}
	if !strings.HasSuffix(trimTrailer(frame), h.Text) {
		t.Errorf("%q: text %q is not its end", frame, h.Text)
	}
}
