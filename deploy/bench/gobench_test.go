package main

import (
	"bytes"
	"testing"
)

func TestParseBench(t *testing.T) {
	r, err := parseBench(bytes.NewBufferString(`goos: linux
pkg: uppercut/detector
BenchmarkJudge/known-2         	 6409088	       186.2 ns/op	        77.58 B/source	       182.9 cpu-ns/op
BenchmarkPlain 	 10	       5 ns/op
PASS
ok  	uppercut/detector	6.321s
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name, unit string
		value      float64
	}{{"Judge/known", "ns/op", 186.2}, {"Judge/known", "B/source", 77.58}, {"Plain", "ns/op", 5}} {
		if got, err := r.value(want.name, want.unit); err != nil || got != want.value {
			t.Errorf("%s %s = %v, %v; want %v", want.name, want.unit, got, err, want.value)
		}
	}
	if _, err := r.value("Judge/known", "allocs/op"); err == nil {
		t.Error("a measurement that is not there has a value")
	}
}
