package receiver

import (
	"slices"
	"strings"
	"testing"
)

// FuzzFrames cuts a stream in two ways: the frames are the same, none is longer
// than the limit, and together they are no more than the stream.
func FuzzFrames(f *testing.F) {
	for _, bad := range badFrames(f) {
		f.Add(bad[:min(len(bad), 5000)]+"\n<22>Nov 23 07:20:30 mx1 a: b\n", uint16(1), uint16(7))
	}
	for _, name := range captureNames(f) {
		stream := readCapture(f, name).stream
		f.Add(stream[:min(len(stream), 5000)], uint16(100), uint16(3))
	}
	f.Add("4 <1>a5 <2>bb9999999 <3>c", uint16(2), uint16(5))
	f.Fuzz(func(t *testing.T, stream string, first, step uint16) {
		const limit = 64
		whole, _ := splitAll(limit, []string{stream})
		pieces := []string{stream[:min(int(first), len(stream))]}
		for rest := stream[len(pieces[0]):]; rest != ""; {
			n := min(int(step)+1, len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if cut, _ := splitAll(limit, pieces); !slices.Equal(whole, cut) {
			t.Errorf("%q in one piece, %q in %d", whole, cut, len(pieces))
		}
		total := 0
		for _, frame := range whole {
			total += len(frame)
			if len(frame) > limit || !strings.Contains(stream, frame) {
				t.Errorf("frame %q is too long or not in the stream", frame)
			}
		}
		if total > len(stream) {
			t.Errorf("%d bytes of frames in %d bytes", total, len(stream))
		}
	})
}

// FuzzRELP cuts a stream in two ways: the frames are the same, and none is
// longer than the limit.
func FuzzRELP(f *testing.F) {
	for _, name := range []string{"rsyslog-relp-default.txt", "rsyslog-relp-ForwardFormat.txt"} {
		stream := readCapture(f, name).stream
		f.Add(stream[:min(len(stream), 1000)], uint16(10))
	}
	for _, s := range []string{"1 syslog 3 abcd", "1 syslog -1 a\n", "999999999 close 0\n", "1 syslog 9999999 a\n", "1  x", "0 \n"} {
		f.Add(s, uint16(1))
	}
	f.Fuzz(func(t *testing.T, stream string, step uint16) {
		const limit = 64
		whole, err := relpAll(limit, []string{stream})
		var pieces []string
		for rest := stream; rest != ""; {
			n := min(int(step)+1, len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		cut, err2 := relpAll(limit, pieces)
		if !slices.Equal(whole, cut) || (err == nil) != (err2 == nil) {
			t.Errorf("%q, %v in one piece; %q, %v in %d", whole, err, cut, err2, len(pieces))
		}
		for _, frame := range whole {
			if len(frame) > limit+maxRELPHeader {
				t.Errorf("frame %q is too long", frame)
			}
		}
	})
}
