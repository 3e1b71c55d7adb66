package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryModuleHasItsNotice holds the notices against what go version -m says
// the binary is made of.
func TestEveryModuleHasItsNotice(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "uppercut")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/uppercut")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var notices strings.Builder
	if err := write(&notices, binary); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "dep" {
			continue
		}
		modules++
		_, rest, found := strings.Cut(notices.String(), "\n"+fields[1]+" "+fields[2]+"\n")
		text, _, _ := strings.Cut(strings.TrimLeft(rest, "=\n"), "\n=====")
		if !found || len(text) < 300 {
			t.Errorf("%s: a notice of %d bytes", fields[1], len(text))
		}
	}
	if modules < 20 || !strings.Contains(notices.String(), "The Go Authors") {
		t.Errorf("%d modules", modules)
	}
}

// TestNoLicenceIsAnError: what cannot be shipped must stop the build.
func TestNoLicenceIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "license.go"), []byte("package a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if files, err := licenceFiles(dir); err == nil {
		t.Errorf("%v", files)
	}
}

// TestNoticesAreShipped in the packages and in the image.
func TestNoticesAreShipped(t *testing.T) {
	for file, want := range map[string]string{
		"../package/build": "./deploy/notices", "../package/nfpm.yaml": "NOTICES", "../Dockerfile": "/usr/share/doc/uppercut/NOTICES",
	} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s ships no notices: %v", file, err)
		}
	}
}
