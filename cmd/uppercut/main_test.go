package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets tests run this very binary as the program "uppercut". With the
// race detector each of these would wait for a second before it ends.
func TestMain(m *testing.M) {
	if os.Getenv(raceOptions) == "" {
		_ = os.Setenv(raceOptions, "atexit_sleep_ms=0") // it has no NUL
	}
	testscript.Main(m, map[string]func(){"uppercut": main})
}

// raceOptions is what the race detector's runtime reads.
const raceOptions = "GORACE"
