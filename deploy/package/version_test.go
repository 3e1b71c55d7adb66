package pack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// version runs the script on what git describe says.
func version(t *testing.T, described string) string {
	t.Helper()
	return strings.TrimSpace(output(t, "./version", described))
}

// asPackaged is a version as dpkg and rpm see it: nfpm writes ~ before what
// comes before a release.
func asPackaged(version string) string {
	release, metadata, _ := strings.Cut(version, "+")
	release = strings.Replace(release, "-", "~", 1)
	if metadata != "" {
		release += "+" + metadata
	}
	return release + "-1"
}

// TestVersionsSort: what git describe says of commits in their order becomes
// versions in the same order, for dpkg and for rpm.
func TestVersionsSort(t *testing.T) {
	ascending := []string{
		"v0.0.1", "v0.1.0-rc1", "v0.1.0-rc1-2-g53fd04a", "v0.1.0", "v0.1.0-dirty", "v0.1.0-3-g53fd04a", "v0.1.0-12-ga29d2d2", "v0.1.1", "v0.2.0", "v1.0.0", "v1.10.0",
	}
	for i := range ascending[1:] {
		before(t, version(t, ascending[i]), version(t, ascending[i+1]))
	}
	for _, untagged := range []string{"53fd04a", "a29d2d2", "4bfd663-dirty", "871b6b4", "1234567", "9e10000", "", "dev"} {
		got := version(t, untagged)
		before(t, got, version(t, "v0.0.1"))
		before(t, got, version(t, "v0.0.1-rc1"))
		if untagged != "" && !strings.Contains(got, strings.TrimSuffix(untagged, "-dirty")) {
			t.Errorf("%s: %s does not name the commit", untagged, got)
		}
	}
}

// before fails if dpkg or rpm does not sort the version a before b.
func before(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", asPackaged(a), "lt", asPackaged(b)).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("dpkg does not sort %s before %s: %s", asPackaged(a), asPackaged(b), out)
	}
	compare := fmt.Sprintf("%%{lua:print(rpm.vercmp(%q, %q))}", strings.TrimSuffix(asPackaged(a), "-1"), strings.TrimSuffix(asPackaged(b), "-1"))
	if got := output(t, "rpm", "--eval", compare); got != "-1\n" {
		t.Errorf("rpm does not sort %s before %s: %s", asPackaged(a), asPackaged(b), got)
	}
}

// TestUntaggedPackage: the package of a commit without a tag has a version that
// every release replaces, and no older one beside it.
func TestUntaggedPackage(t *testing.T) {
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, debName("0.0.1")), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	buildInto(t, out, "53fd04a")
	debs := strings.Fields(output(t, "sh", "-c", `ls "$1"/*.deb`, "sh", out))
	if len(debs) != 1 {
		t.Errorf("there are %v", debs)
	}
	got := strings.TrimSpace(output(t, "dpkg-deb", "--field", debs[0], "Version"))
	if want := asPackaged(version(t, "53fd04a")); got != want {
		t.Errorf("the deb has version %s, want %s", got, want)
	}
}
