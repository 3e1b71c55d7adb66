package release

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// build builds release 0.9.0 from a tree, for this machine's architecture.
func build(t *testing.T, tree string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(tree, "deploy/release/build"), "v0.9.0", dir)
	// The copy has no history to take the revision from.
	cmd.Env = append(os.Environ(), "ARCHES="+runtime.GOARCH, "SOURCE_DATE_EPOCH=1795392000", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// elsewhere copies what git knows of the tree to another place.
func elsewhere(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "another", "place")
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `cd ../.. && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference --preserve=mode -t "$0"`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script, to).CombinedOutput(); err != nil {
		t.Fatalf("copy the tree: %v\n%s", err, out)
	}
	return to
}

func TestRelease(t *testing.T) {
	dir := build(t, "../..")
	t.Run("two builds are equal", func(t *testing.T) {
		again := build(t, elsewhere(t))
		if diff := cmp.Diff(read(t, dir, "SHA256SUMS"), read(t, again, "SHA256SUMS")); diff != "" {
			t.Errorf("(- here, + elsewhere):\n%s", diff)
		}
	})
	t.Run("the checksums cover everything", func(t *testing.T) { checksums(t, dir) })
	t.Run("the SBOM is that of the binary", func(t *testing.T) { sbom(t, filepath.Join(dir, "uppercut-0.9.0-linux-"+runtime.GOARCH)) })
}

func checksums(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	var summed []string
	for line := range strings.Lines(read(t, dir, "SHA256SUMS")) {
		summed = append(summed, strings.Fields(line)[1])
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, entry := range entries {
		if entry.Name() != "SHA256SUMS" {
			there = append(there, entry.Name())
		}
	}
	if diff := cmp.Diff(there, summed); diff != "" || len(there) != 4 {
		t.Errorf("%d files (- there, + summed):\n%s", len(there), diff)
	}
}

// sbom compares the components with the modules that the binary itself names.
func sbom(t *testing.T, binary string) {
	t.Helper()
	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct {
			Name, Version string
			Evidence      struct{ Licenses []licence }
			Licenses      []licence
		}
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Dir(binary), filepath.Base(binary)+".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	if m := bom.Metadata.Component; bom.BOMFormat != "CycloneDX" || m.Name != "uppercut" || m.Version != "0.9.0" {
		t.Errorf("it is a %s of %s %s", bom.BOMFormat, m.Name, m.Version)
	}
	var listed []string
	for _, c := range bom.Components {
		if c.Name != "std" {
			listed = append(listed, c.Name+" "+c.Version)
			checkLicence(t, c.Name, append(c.Licenses, c.Evidence.Licenses...))
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); fields[0] == "dep" {
			linked = append(linked, fields[1]+" "+fields[2])
		}
	}
	slices.Sort(listed)
	slices.Sort(linked)
	if diff := cmp.Diff(linked, listed); diff != "" || len(linked) == 0 {
		t.Errorf("%d modules (- linked, + listed):\n%s", len(linked), diff)
	}
}

type licence struct{ License struct{ ID string } }

// checkLicence: each module has one, and those of Go's authors are BSD-3-Clause.
func checkLicence(t *testing.T, module string, licences []licence) {
	t.Helper()
	if len(licences) == 0 {
		t.Errorf("%s has no licence", module)
	}
	for _, l := range licences {
		if strings.HasPrefix(module, "golang.org/x/") && l.License.ID != "BSD-3-Clause" {
			t.Errorf("%s is called %s", module, l.License.ID)
		}
	}
}

// TestChecksumsCanBeSigned with a key of its own, and show who changed them.
func TestChecksumsCanBeSigned(t *testing.T) {
	dir := t.TempDir()
	script, err := filepath.Abs("sign")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) error {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MINISIGN_KEY="+filepath.Join(dir, "secret"))
		out, err := cmd.CombinedOutput()
		t.Logf("%s %v: %v\n%s", name, args, err, out)
		return err
	}
	verify := func() error { return run("minisign", "-V", "-p", "public", "-m", "SHA256SUMS") }
	sums := filepath.Join(dir, "SHA256SUMS")
	if err := os.WriteFile(sums, []byte("a sum\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []error{run("minisign", "-G", "-W", "-p", "public", "-s", "secret"), run(script, "SHA256SUMS"), verify()} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := os.WriteFile(sums, []byte("another sum\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if verify() == nil {
		t.Error("other checksums pass with the same signature")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
