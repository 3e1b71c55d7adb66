package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	err := run([]string{"-lines", "3", "-format", "iso", "-start", "2024-02-29T10:00:00Z"}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	if len(lines) != 4 || lines[3] != "" || !strings.HasPrefix(lines[0], "2024-02-29T10:00:0") {
		t.Errorf("output %q", lines)
	}
}

// TestFrames: what goes to a network has an end or a length.
func TestFrames(t *testing.T) {
	var lf, octets bytes.Buffer
	args := []string{"-lines", "3", "-format", "forward-message"}
	if err := errors.Join(run(args, &lf, io.Discard), run(append(args, "-octets"), &octets, io.Discard)); err != nil {
		t.Fatal(err)
	}
	messages := strings.Split(strings.TrimSuffix(lf.String(), "\n"), "\n")
	want := ""
	for _, m := range messages {
		want += fmt.Sprintf("%d %s", len(m), m)
	}
	if len(messages) != 3 || !strings.HasPrefix(messages[0], "<") || octets.String() != want {
		t.Errorf("with LF %q\nwith length %q", lf.String(), octets.String())
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-format", "xml"},
		{"-hosts", "0"},
		{"-start", "yesterday"},
		{"-nonsense"},
	} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestRunReportsWriteErrors(t *testing.T) {
	if err := run([]string{"-lines", "5000"}, full{}, io.Discard); err == nil {
		t.Error("no error")
	}
}
