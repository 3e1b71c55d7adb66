package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/detector"
)

func BenchmarkReplayInput(b *testing.B) {
	c := loggen.DefaultConfig()
	path := filepath.Join(b.TempDir(), "maillog")
	if err := os.WriteFile(path, logText(c, loggen.Traditional, everyHost), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		in := &input{paths: []string{path}, zone: time.UTC}
		if err := in.each(b.Context(), detector.DefaultConfig(), func(*detector.Line) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(c.Lines*b.N)/b.Elapsed().Seconds()/1e6, "Mlines/s")
}
