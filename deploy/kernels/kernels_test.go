package kernels

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A guest that did not come to a row, or failed it, is not green.
func TestMatrix(t *testing.T) {
	rows := named(t, "job/rows")
	dir := t.TempDir()
	results := func(version string, lines ...string) {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "rows"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all, most []string
	for i, row := range rows {
		all = append(all, row+"\tok\t3 s")
		if i > 1 {
			most = append(most, row+"\tok\t")
		}
	}
	results("6.1.0-57-cloud-amd64", all...)
	results("7.3.4+deb13-cloud-amd64", append(most, rows[0]+"\tFAIL\t2 passed, TestX")...)
	for _, tt := range []struct {
		versions []string
		green    bool
		want     []string
	}{
		{[]string{"6.1.0-57-cloud-amd64"}, true, []string{"| | 6.1.0-57 |\n|---|---|\n", "| " + rows[0] + " | ok, 3 s |\n"}},
		{
			[]string{"6.1.0-57-cloud-amd64", "7.3.4+deb13-cloud-amd64"},
			false,
			[]string{"| ok, 3 s | **FAIL, 2 passed, TestX** |\n", "| " + rows[1] + " | ok, 3 s | **not run** |\n", "| ok, 3 s | ok |\n"},
		},
		{[]string{"never-booted"}, false, []string{"| " + rows[0] + " | **not run** |\n"}},
	} {
		out, err := exec.Command("./matrix", append([]string{"job/rows", dir}, tt.versions...)...).CombinedOutput()
		if (err == nil) != tt.green {
			t.Errorf("%v: %v\n%s", tt.versions, err, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v: no %q in\n%s", tt.versions, want, out)
			}
		}
	}
}

// named are the rows that a list has.
func named(t *testing.T, list string) []string {
	t.Helper()
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// What a guest writes is what the table asks for.
func TestEveryRowIsWritten(t *testing.T) {
	var written []string
	for _, script := range []string{"job/run.sh", "job/scenario"} {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:tests|step) "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
			written = append(written, m[1])
		}
	}
	if rows := named(t, "job/rows"); !slices.Equal(rows, written) {
		t.Errorf("the table has\n%q\nthe guest writes\n%q", rows, written)
	}
}

// A row of the short run that no guest writes would fail it; the first step of the
// scenario starts uppercut for the others.
func TestSmokeIsPartOfAll(t *testing.T) {
	all, smoke := named(t, "job/rows"), named(t, "smoke")
	for _, row := range smoke {
		if !slices.Contains(all, row) {
			t.Errorf("no guest writes %q", row)
		}
	}
	if start := "a block drops, an unblock lets pass"; !slices.Contains(smoke, start) {
		t.Errorf("nothing starts uppercut without %q", start)
	}
}

func TestScriptsAreSound(t *testing.T) {
	for _, script := range []string{"run", "fetch", "root", "guest", "matrix", "init.sh", "job/run.sh", "job/scenario"} {
		if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}
