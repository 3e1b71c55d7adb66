package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNoAttackDoesHarm plays each attack for a few seconds against a real
// uppercut in a control group of 1 GB: it lives, an honest mail host loses
// nothing, a right that is taken away is gone, and so on for each.
func TestNoAttackDoesHarm(t *testing.T) {
	program := filepath.Join(t.TempDir(), "uppercut")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/uppercut").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			r := play(t.Context(), a, program, 1<<30, 2*time.Second)
			if err := r.harm(); err != nil {
				t.Error(err)
			}
			if r.honest == 0 && !settings[a.name].alone || r.peak == 0 {
				t.Errorf("nothing was measured: %+v honest messages, peak %d", r.honest, r.peak)
			}
			t.Logf("peak %d MB, %d honest messages, %s", r.peak/1_000_000, r.honest, r.more())
		})
	}
}

// TestGroupLimitsMemory: what takes more than the group has is killed, so that a
// target which lives has kept its bound.
func TestGroupLimitsMemory(t *testing.T) {
	g, err := newGroup("uppercut-test", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "read line; exec head -c 300000000 /dev/zero | tail")
	cmd.Stdout = io.Discard
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(input, "go\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("300 MB were held within 64 MB")
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
}

func TestMakeAttackIsDocumented(t *testing.T) {
	for file, want := range map[string]string{"../../Makefile": "deploy/attack", "../../.ci/weekly": "make attack", "../../CONTRIBUTING.md": "make attack"} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not name %s: %v", file, want, err)
		}
	}
}
