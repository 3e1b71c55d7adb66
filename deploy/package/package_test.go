package pack

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// files are what both packages hold beside documents; the deb has its own places
// for some.
var files = []string{
	"-rw-r--r-- /etc/uppercut/uppercut.yaml",
	"-rw-r--r-- /usr/lib/sysusers.d/uppercut.conf",
	"-rw-r--r-- /usr/lib/systemd/system/uppercut.service",
	"-rw-r--r-- /usr/lib/systemd/system/uppercut.socket",
	"-rw-r--r-- /usr/lib/tmpfiles.d/uppercut.conf",
	"-rw-r--r-- /usr/share/bash-completion/completions/uppercut",
	"-rw-r--r-- /usr/share/doc/uppercut/README.md",
	"-rw-r--r-- /usr/share/doc/uppercut/SECURITY.md",
	"-rw-r--r-- /usr/share/doc/uppercut/changelog.gz",
	"-rw-r--r-- /usr/share/doc/uppercut/NOTICES",
	"-rw-r--r-- /usr/share/doc/uppercut/copyright",
	"-rw-r--r-- /usr/share/fish/vendor_completions.d/uppercut.fish",
	"-rw-r--r-- /usr/share/man/man5/uppercut.yaml.5.gz",
	"-rw-r--r-- /usr/share/zsh/site-functions/_uppercut",
	"-rwxr-xr-x /usr/bin/uppercut",
}

// build builds packages of this machine's architecture and returns their
// directory.
func build(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	buildInto(t, dir, version)
	return dir
}

func buildInto(t *testing.T, dir, version string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "./build", version, dir)
	command.Env = append(os.Environ(), "ARCHES="+runtime.GOARCH, "SOURCE_DATE_EPOCH=1795392000")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// debName is how the build names the deb of a version.
func debName(version string) string { return "uppercut_" + version + "-1_" + runtime.GOARCH + ".deb" }

// rpmArch is this machine's architecture as rpm calls it.
func rpmArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

// The packages of two versions are built once for all tests, here.
var first, newer = sync.OnceValue(packagesDir), sync.OnceValue(packagesDir)

func packagesDir() string {
	dir, err := os.MkdirTemp("", "uppercut-packages-")
	if err != nil {
		panic(err)
	}
	return dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(first())
	_ = os.RemoveAll(newer())
	os.Exit(code)
}

// packages returns the deb and the rpm of version 0.1.0.
func packages(t *testing.T) (deb, rpm string) {
	t.Helper()
	dir := first()
	deb = filepath.Join(dir, debName("0.1.0"))
	if _, err := os.Stat(deb); err != nil {
		buildInto(t, dir, "v0.1.0")
	}
	return deb, filepath.Join(dir, "uppercut-0.1.0-1."+rpmArch()+".rpm")
}

// second returns the directory of the packages of version 0.2.0.
func second(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(newer(), debName("0.2.0"))); err != nil {
		buildInto(t, newer(), "0.2.0")
	}
	return newer()
}

// output runs a program and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// listed returns "MODE PATH" of each file in a listing as of tar or cpio, and
// how many manual pages there are.
func listed(listing string) (files []string, manuals int) {
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "d") {
			continue
		}
		path := "/" + strings.TrimLeft(fields[len(fields)-1], "./")
		switch {
		case strings.HasPrefix(path, "/usr/share/man/man8/uppercut") && strings.HasSuffix(path, ".8.gz"):
			manuals++
			continue
		case strings.HasPrefix(path, "/usr/share/uppercut/"), strings.HasPrefix(path, "/usr/share/doc/uppercut/docs/"):
			continue // TestPackagesHoldTheDocuments
		}
		files = append(files, fields[0]+" "+path)
	}
	slices.Sort(files)
	return files, manuals
}

func TestDebHolds(t *testing.T) {
	deb, _ := packages(t)
	got, manuals := listed(output(t, "dpkg-deb", "--contents", deb))
	var want []string
	for _, file := range files {
		file = strings.Replace(file, "/usr/lib/systemd/", "/lib/systemd/", 1)
		want = append(want, strings.Replace(file, "site-functions", "vendor-completions", 1))
	}
	want = append(want, "-rw-r--r-- /usr/share/doc/uppercut/changelog.Debian.gz", "-rw-r--r-- /usr/share/lintian/overrides/uppercut")
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if manuals < 4 {
		t.Errorf("%d manual pages", manuals)
	}
	if got := output(t, "dpkg-deb", "--info", deb, "conffiles"); got != "/etc/uppercut/uppercut.yaml\n" {
		t.Errorf("conffiles: %q", got)
	}
	if got := output(t, "dpkg-deb", "--field", deb, "Package", "Version", "Architecture", "Depends"); got != "Package: uppercut\nVersion: 0.1.0-1\nArchitecture: "+runtime.GOARCH+"\nDepends: systemd\n" {
		t.Errorf("fields:\n%s", got)
	}
}

func TestRPMHolds(t *testing.T) {
	_, rpm := packages(t)
	got, manuals := listed(output(t, "sh", "-c", `rpm2cpio "$1" | cpio -tv --quiet`, "sh", rpm))
	want := slices.Sorted(slices.Values(files))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if manuals < 4 {
		t.Errorf("%d manual pages", manuals)
	}
}

// TestPackagesHoldTheDocuments: every page, the alert rules, the dashboards and
// the files for mail hosts.
func TestPackagesHoldTheDocuments(t *testing.T) {
	deb, rpm := packages(t)
	listings := map[string]string{
		"deb": output(t, "dpkg-deb", "--contents", deb),
		"rpm": output(t, "sh", "-c", `rpm2cpio "$1" | cpio -tv --quiet`, "sh", rpm),
	}
	for from, to := range map[string]string{
		"../../docs/*.md":              "/usr/share/doc/uppercut/docs/",
		"../../docs/*.png":             "/usr/share/doc/uppercut/docs/",
		"../prometheus/rules.yml":      "/usr/share/uppercut/prometheus/",
		"../grafana/dashboards/*.json": "/usr/share/uppercut/grafana/",
		"../senders/*.conf":            "/usr/share/uppercut/senders/",
	} {
		found, err := filepath.Glob(from)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", from, found, err)
		}
		for _, path := range found {
			for kind, listing := range listings {
				if !strings.Contains(listing, to+filepath.Base(path)+"\n") {
					t.Errorf("the %s has no %s%s", kind, to, filepath.Base(path))
				}
			}
		}
	}
}

// TestManualPages: each has a title and section of its own, and shows no
// leftovers of the program that makes them.
func TestManualPages(t *testing.T) {
	deb, _ := packages(t)
	dir := t.TempDir()
	output(t, "dpkg-deb", "--extract", deb, dir)
	pages, err := filepath.Glob(filepath.Join(dir, "usr/share/man/man*/*.gz"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		text := output(t, "zcat", page)
		name := strings.TrimSuffix(filepath.Base(page), ".gz")
		dot := strings.LastIndex(name, ".")
		title := regexp.MustCompile(`(?m)^\.TH "?([^ "]+)"? "?([0-9])"? `).FindStringSubmatch(text)
		if title == nil || !strings.EqualFold(title[1], name[:dot]) || title[2] != name[dot+1:] {
			t.Errorf("%s has title %q", name, title)
		}
		if found := regexp.MustCompile(`\[=false\]|\[flags\]|\\fP=($|""|0s)`).FindString(text); found != "" {
			t.Errorf("%s shows %q", name, found)
		}
		for _, also := range regexp.MustCompile(`\\fB(uppercut[a-z-]*)\(8\)\\fP`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(dir, "usr/share/man/man8", also[1]+".8.gz")); err != nil {
				t.Errorf("%s: see also %s: there is none", name, also[1])
			}
		}
	}
}

// TestChangelog: Debian's names the version that it is in.
func TestChangelog(t *testing.T) {
	deb, _ := packages(t)
	dir := t.TempDir()
	output(t, "dpkg-deb", "--extract", deb, dir)
	text := output(t, "zcat", filepath.Join(dir, "usr/share/doc/uppercut/changelog.Debian.gz"))
	if !strings.HasPrefix(text, "uppercut (0.1.0-1) stable; urgency=medium\n") {
		t.Errorf("changelog.Debian begins\n%.100s", text)
	}
}

func TestLintianFindsNoError(t *testing.T) {
	deb, _ := packages(t)
	out, err := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0", deb).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

func TestEqualTreesGiveEqualPackages(t *testing.T) {
	deb, rpm := packages(t)
	again := build(t, "0.1.0")
	for _, path := range []string{deb, rpm} {
		if sum(t, path) != sum(t, filepath.Join(again, filepath.Base(path))) {
			t.Errorf("two builds of %s differ", filepath.Base(path))
		}
	}
}

func sum(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// TestTheBinaryIsStatic: with cgo it could not give away its privileges, and
// would not run from an empty image.
func TestTheBinaryIsStatic(t *testing.T) {
	deb, _ := packages(t)
	dir := t.TempDir()
	output(t, "dpkg-deb", "--extract", deb, dir)
	binary := filepath.Join(dir, "usr/bin/uppercut")
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("/lib64/ld-linux")) {
		t.Error("it wants a dynamic loader")
	}
	if got := output(t, binary, "version"); !strings.HasPrefix(got, "uppercut 0.1.0 ") {
		t.Errorf("version: %q", got)
	}
}
