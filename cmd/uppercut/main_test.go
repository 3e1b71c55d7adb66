package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets tests run this very binary as the program "uppercut".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"uppercut": main})
}
