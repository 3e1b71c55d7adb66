package header

import (
	"errors"
	"strings"
	"testing"
)

// FuzzHeader reads anything: the fields are parts of the frame, the text is a
// suffix of it, and where go-syslog's parser applies too, both agree.
func FuzzHeader(f *testing.F) {
	for _, bad := range badFrames(f) {
		f.Add(bad.frame[:min(len(bad.frame), 5000)])
	}
	for _, frame := range captured(f) {
		f.Add(frame[:min(len(frame), 5000)])
	}
	f.Fuzz(func(t *testing.T, frame string) {
		var h Header
		if err := new(Parser).Parse(frame, false, &h); err != nil {
			if _, ok := errors.AsType[Error](err); !ok {
				t.Errorf("error %v is no Error", err)
			}
			return
		}
		if !strings.Contains(frame, h.Host) || !strings.Contains(frame, h.Tag) {
			t.Errorf("host %q or tag %q is not in the frame", h.Host, h.Tag)
		}
		if !strings.HasSuffix(trimTrailer(frame), h.Text) || strings.HasPrefix(h.Text, " ") || h.Priority > 191 {
			t.Errorf("text %q, priority %d", h.Text, h.Priority)
		}
		agreesWithLibrary(t, frame)
	})
}
