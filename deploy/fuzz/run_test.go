package fuzz

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goCommand stands for the go command: two packages, a target in each, and what
// the fuzzer of the first one prints before it fails.
const goCommand = `#!/bin/sh
case "$*" in
list*) printf 'example/a\nexample/b\n' ;;
*-list*a) echo FuzzA ;;
*-list*b) echo FuzzB ;;
*-fuzz*b) echo PASS ;;
*-fuzz*a) cat "$OUTPUT"; exit 1 ;;
esac
`

func TestRun(t *testing.T) {
	const progress = "fuzz: elapsed: 15s, execs: 129518 (0/sec), new interesting: 7 (total: 82)\n"
	const timeIsUp = progress + "--- FAIL: FuzzA (15.11s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\texample/a\t15.164s\n"
	tests := []struct {
		name, output string
		goesOn       bool
	}{
		{"the time is up", timeIsUp, true},
		{"a finding", progress + `--- FAIL: FuzzA (1.20s)
    --- FAIL: FuzzA (0.00s)
        a_test.go:9: got 1, want 2

    Failing input written to testdata/fuzz/FuzzA/3c5f
    To re-run:
    go test -run=FuzzA/3c5f
FAIL
exit status 1
FAIL	example/a	1.21s
`, false},
		{"a finding at the end of the time", progress + `--- FAIL: FuzzA (15.00s)
    context deadline exceeded
    Failing input written to testdata/fuzz/FuzzA/3c5f
FAIL
exit status 1
FAIL	example/a	15.01s
`, false},
		{"a seed fails", `failure while testing seed corpus entry: FuzzA/seed#0
fuzz: elapsed: 0s, gathering baseline coverage: 0/3 completed
--- FAIL: FuzzA (0.02s)
    --- FAIL: FuzzA (0.00s)
        a_test.go:9: context deadline exceeded

FAIL
exit status 1
FAIL	example/a	0.03s
`, false},
		{"the worker hangs", progress + "--- FAIL: FuzzA (9.00s)\n    fuzzing process hung or terminated unexpectedly: context deadline exceeded\nFAIL\nexit status 1\nFAIL\texample/a\t9.1s\n", false},
		{"a panic beside it", "panic: test\n" + timeIsUp, false},
		{"it does not build", "# example/a\na.go:1:1: expected 'package'\nFAIL\texample/a [build failed]\nFAIL\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go"), goCommand, 0o755)
			write(t, filepath.Join(dir, "output"), test.output, 0o644)
			cmd := exec.CommandContext(t.Context(), "./run")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "OUTPUT="+filepath.Join(dir, "output"))
			out, err := cmd.CombinedOutput()
			if goesOn := err == nil && strings.Contains(string(out), "example/b FuzzB"); goesOn != test.goesOn {
				t.Errorf("goes on to the next target: %t, want %t (%v)\n%s", goesOn, test.goesOn, err, out)
			}
		})
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
