package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs the stories in testdata/script: command lines, and what they
// print.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv(raceOptions, os.Getenv(raceOptions))
			return nil
		},
	})
}
