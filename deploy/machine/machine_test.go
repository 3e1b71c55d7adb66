package machine

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a machine writes is what the table asks for.
func TestEveryRowIsWritten(t *testing.T) {
	steps, err := os.ReadFile("job/steps")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, m := range regexp.MustCompile(`(?m)^ +step "([^"]+)"`).FindAllStringSubmatch(string(steps), -1) {
		written = append(written, m[1])
	}
	rows, err := os.ReadFile("job/rows")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(strings.TrimSpace(string(rows)), "\n"); !slices.Equal(written, want) {
		t.Errorf("the table has\n%q\nthe machine writes\n%q", want, written)
	}
}

// With "||" or "if" around it, set -e is ignored in a step, and with "!" before a
// command that command never fails it.
func TestStepsFail(t *testing.T) {
	steps, err := os.ReadFile("job/steps")
	if err != nil {
		t.Fatal(err)
	}
	start, end := strings.Index(string(steps), "# row WHAT"), strings.Index(string(steps), "# gateway makes")
	dir := t.TempDir()
	library := strings.NewReplacer("/results", dir, "/run/said", dir+"/said").Replace(string(steps[start:end]))
	for body, want := range map[string]string{
		"true":                      "ok",
		"not false":                 "ok",
		"false; true":               "FAIL",
		"not true; true":            "FAIL",
		"within 0 false; true":      "FAIL",
		"[ 1 = 2 ]; say figure":     "FAIL",
		"within 0 not false":        "ok",
		"local x; x=$(false); true": "FAIL",
	} {
		out, err := exec.Command("bash", "-c", library+"\nf() { "+body+"; }\nstep what f").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "what\t"+want+"\t") {
			t.Errorf("%s: %q, %v, want %s", body, out, err, want)
		}
	}
}

func TestScriptsAreSound(t *testing.T) {
	for _, script := range []string{"run", "image", "job/steps", "job/observe"} {
		if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}
