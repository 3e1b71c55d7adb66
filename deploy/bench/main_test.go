package main

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// buildUppercut builds the binary that the contests need.
func buildUppercut(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "uppercut")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "uppercut/cmd/uppercut").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestEveryRow runs all contests once, small, with every rival.
func TestEveryRow(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, []string{
		"-uppercut", buildUppercut(t), "-rounds", "1", "-scale", "0.001",
	}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if n := strings.Count(text, "\n### "); n != len(rows) {
		t.Errorf("%d tables, want %d", n, len(rows))
	}
	if strings.Contains(text, "skipped") || strings.Contains(text, "not installed") {
		t.Error("a rival was skipped: is it in deploy/needs?")
	}
	for _, row := range []string{"grep", "fail2ban-regex", "imptcp", "two workers, buffered", "gtls", "imrelp", "imudp", "fail2ban, reading", "nft -f"} {
		if !regexp.MustCompile(`\n\| [^|]*` + row + `.* \| [0-9.,]*\d`).MatchString(text) {
			t.Errorf("%s has no figure", row)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestTwoBuilds: rows without rivals, and those that no other build can take.
func TestTwoBuilds(t *testing.T) {
	build := buildUppercut(t)
	args := []string{"-uppercut", build, "-against", build, "-rounds", "2", "-scale", "0.001", "-rows"}
	var out bytes.Buffer
	if err := run(t.Context(), append(args, "replay,tcp"), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	ratios := regexp.MustCompile(`(?m)^\| this / other \| [0-9.]+ \([0-9.]+ to [0-9.]+\) \| \| \| [0-9.]+ `)
	if n := len(ratios.FindAllString(out.String(), -1)); n != 2 {
		t.Errorf("%d rows of ratios, want 2:\n%s", n, out.String())
	}
	if strings.Contains(out.String(), "awk") {
		t.Errorf("rivals beside two builds:\n%s", out.String())
	}
	if err := run(t.Context(), append(args, "packets"), io.Discard, io.Discard); err == nil {
		t.Error("packets: no error")
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-rows", "tcp,nonsense"},
		{"-uppercut", filepath.Join(t.TempDir(), "absent")},
		{"-nonsense"},
		{"-rounds", "0"},
		{"-scale", "0"},
		{"-against", filepath.Join(t.TempDir(), "absent")},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
