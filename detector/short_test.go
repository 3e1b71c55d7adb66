package detector

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets -short benchmarks track few sources, unless told how many.
func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "tracked" })
	if testing.Short() && !told {
		*tracked = 10_000
	}
	os.Exit(m.Run())
}
