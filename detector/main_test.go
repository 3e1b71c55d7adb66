package detector

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets -short benchmarks track few sources, unless told how many, and
// tests fetch ahead from the first source on.
func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if testing.Short() && !set["tracked"] {
		*tracked = 10_000
	}
	if !set["test.bench"] {
		fewSources = 0
	}
	os.Exit(m.Run())
}
