package receiver

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// splitAll cuts a stream that arrives in pieces, as a connection does.
func splitAll(limit int, pieces []string) (frames []string, cuts int) {
	s := splitter{max: limit}
	var buf []byte
	for _, piece := range pieces {
		buf = append(buf, piece...)
		spans, used := s.split(buf, nil)
		for _, f := range spans {
			frames = append(frames, string(buf[f.start:f.end]))
			if f.cut {
				cuts++
			}
		}
		buf = slices.Delete(buf, 0, used)
	}
	if f, ok := s.rest(buf); ok {
		frames = append(frames, string(buf[f.start:f.end]))
	}
	return frames, cuts
}

func TestSplit(t *testing.T) {
	long := strings.Repeat("x", 20)
	tests := []struct {
		name, stream string
		want         []string
		cuts         int
	}{
		{"lines", "<1>a\n<2>b\n", []string{"<1>a", "<2>b"}, 0},
		{"the last line may lack its LF", "<1>a\n<2>b", []string{"<1>a", "<2>b"}, 0},
		{"counts", "4 <1>a5 <2>bb", []string{"<1>a", "<2>bb"}, 0},
		{"a count that includes the LF", "5 <1>a\n4 <2>b", []string{"<1>a\n", "<2>b"}, 0},
		{"LF behind a counted frame", "4 <1>a\n4 <2>b\n", []string{"<1>a", "<2>b"}, 0},
		{"told apart per frame", "<1>a\n4 <2>b<3>c\n", []string{"<1>a", "<2>b", "<3>c"}, 0},
		{"a line that begins with a number", "250 ok\n<2>b\n", []string{"250 ok", "<2>b"}, 0},
		{"a line within a counted frame", "9 <1>a\nb\nc\n<2>d\n", []string{"<1>a\nb\nc\n", "<2>d"}, 0},
		{"NUL as trailer", "<1>a\x00\n\x00\n<2>b\n", []string{"<1>a\x00", "<2>b"}, 0},
		{"a count that is too small", "4 <1>abc\n<2>b\n", []string{"<1>a", "bc", "<2>b"}, 0},
		{"a count that is too large", "9 <1>a\n<2>bc\n<3>d\n", []string{"<1>a\n<2>b", "c", "<3>d"}, 0},
		{"a count that never fills", "90 <1>a\n<2>b\n", nil, 0},
		{"a count of no size that a message has", "12345678 <1>a\n<2>b\n", []string{"12345678 <1>a", "<2>b"}, 0},
		{"a count with a leading zero", "04 <1>a\n<2>b\n", []string{"04 <1>a", "<2>b"}, 0},
		{"a negative count", "-5 x\n<2>b\n", []string{"-5 x", "<2>b"}, 0},
		{"a count beyond 64 bits", "9223372036854775807 x\n<2>b\n", []string{"922337203685", "<2>b"}, 1},
		{"a long line", "<1>" + long + "\n<2>b\n", []string{"<1>" + long[:9], "<2>b"}, 1},
		{"a line of just the limit", "<1>" + long[:9] + "\n<2>b\n", []string{"<1>" + long[:9], "<2>b"}, 0},
		{"a long counted frame", "23 <1>" + long + "4 <2>b", []string{"<1>" + long[:9], "<2>b"}, 1},
		{"digits without end", strings.Repeat("7", 100) + "\n<2>b\n", []string{strings.Repeat("7", 12), "<2>b"}, 1},
		{"nothing", "", nil, 0},
		{"nothing but trailers", "\n\r\n\x00", nil, 0},
		{"a digit at the end", "<1>a\n5", []string{"<1>a", "5"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limit := 12
			if strings.Contains(test.name, "within") || strings.Contains(test.name, "no size") {
				limit = 100
			}
			whole, cuts := splitAll(limit, []string{test.stream})
			if !slices.Equal(whole, test.want) || cuts != test.cuts {
				t.Errorf("%q, %d cut; want %q, %d cut", whole, cuts, test.want, test.cuts)
			}
			single, cuts := splitAll(limit, strings.Split(test.stream, ""))
			if !slices.Equal(single, test.want) || cuts != test.cuts {
				t.Errorf("byte by byte %q, %d cut; want %q, %d cut", single, cuts, test.want, test.cuts)
			}
		})
	}
}

// TestSplitAnyCutting cuts the captured streams at random: the messages are
// the same.
func TestSplitAnyCutting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range captureNames(t) {
		stream := readCapture(t, name).stream
		want, _ := splitAll(1000, []string{stream})
		for range 20 {
			got, _ := splitAll(1000, cutAtRandom(random, stream))
			if !slices.Equal(got, want) {
				t.Fatalf("%s: cut at random it gives other frames:\n%q\n%q", name, got, want)
			}
		}
	}
}

func cutAtRandom(random *rand.Rand, s string) (pieces []string) {
	for s != "" {
		n := min(1+random.IntN(1+random.IntN(2000)), len(s))
		pieces, s = append(pieces, s[:n]), s[n:]
	}
	return pieces
}
