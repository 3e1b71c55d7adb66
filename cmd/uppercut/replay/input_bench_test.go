package replay

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/detector"
)

// millionLines is a log of a million lines in a file, the same in every run.
// It is never in memory: a child's peak counts what its parent had.
func millionLines(b *testing.B, format loggen.Format) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "maillog")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(f)
	var text []byte
	for l := range loggen.Lines(loggen.DefaultConfig()) {
		text = format.Append(text[:0], l)
		_, _ = out.Write(text) // Flush returns the error
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkReplayInput is reading, header and line parser, without the judge.
func BenchmarkReplayInput(b *testing.B) {
	path := millionLines(b, loggen.Traditional)
	b.ReportAllocs()
	for b.Loop() {
		in := &input{paths: []string{path}, zone: time.UTC}
		if err := in.each(b.Context(), detector.DefaultConfig(), func(*detector.Line) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e3, "ns/line")
}
