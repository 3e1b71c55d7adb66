// Package prometheus holds the rules that a Prometheus loads, and their tests.
package prometheus

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root    = "../.."
	runbook = root + "/docs/runbook.md"
)

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func readAlerts(t *testing.T) (alerts []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alerts = append(alerts, r)
			}
		}
	}
	if len(alerts) == 0 {
		t.Fatal("no alerts in rules.yml")
	}
	return alerts
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestEveryAlertIsExplainedAndTested(t *testing.T) {
	book, tests := read(t, runbook), read(t, "rules_test.yml")
	severities := []string{"critical", "warning", "info"}
	for _, a := range readAlerts(t) {
		for _, key := range []string{"summary", "description", "runbook"} {
			if a.Annotations[key] == "" {
				t.Errorf("%s has no %s", a.Alert, key)
			}
		}
		if !slices.Contains(severities, a.Labels["severity"]) {
			t.Errorf("%s: severity %q", a.Alert, a.Labels["severity"])
		}
		if !strings.Contains(book, "\n## "+a.Alert+"\n") {
			t.Errorf("%s has no section in the runbook", a.Alert)
		}
		if want := `{{ or $externalLabels.uppercut_docs "file:///usr/share/doc/uppercut/docs" }}/runbook.md#` + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
		}
		if !strings.Contains(a.Annotations["runbook"], "`uppercut ") && !strings.Contains(a.Annotations["runbook"], "`journalctl ") {
			t.Errorf("%s: the runbook sentence names no command: %s", a.Alert, a.Annotations["runbook"])
		}
		if !strings.Contains(tests, `alertname="`+a.Alert+`"`) {
			t.Errorf("%s has no test in rules_test.yml", a.Alert)
		}
	}
}

func TestRunbookHasNoSectionTooMany(t *testing.T) {
	var names []string
	for _, a := range readAlerts(t) {
		names = append(names, a.Alert)
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(read(t, runbook), -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("the runbook explains %s, which is no alert", m[1])
		}
	}
}

var commandInText = regexp.MustCompile("`uppercut ([^`]+)`")

// TestCommandsAreReal asks the program itself about each command that somebody
// is told to type.
func TestCommandsAreReal(t *testing.T) {
	program := buildUppercut(t)
	commands := map[string]bool{}
	for _, m := range commandInText.FindAllStringSubmatch(read(t, runbook)+read(t, "rules.yml"), -1) {
		commands[strings.Join(subcommand(m[1]), " ")+"\t"+strings.Join(flags(m[1]), " ")] = true
	}
	for _, c := range slices.Sorted(maps.Keys(commands)) {
		words, wanted, _ := strings.Cut(c, "\t")
		help, err := exec.CommandContext(t.Context(), program, append(strings.Fields(words), "--help")...).CombinedOutput()
		if err != nil || !strings.Contains(string(help), "uppercut "+words) {
			t.Errorf("there is no command `uppercut %s`: %v\n%s", words, err, help)
		}
		for f := range strings.FieldsSeq(wanted) {
			if !strings.Contains(string(help), f) {
				t.Errorf("`uppercut %s` has no flag %s", words, f)
			}
		}
	}
}

// subcommand returns the leading words that are not arguments: those in lower
// case. top takes one such word as an argument.
func subcommand(line string) (words []string) {
	for w := range strings.FieldsSeq(line) {
		if strings.HasPrefix(w, "-") || strings.ToLower(w) != w || slices.Equal(words, []string{"top"}) {
			break
		}
		words = append(words, w)
	}
	return words
}

func flags(line string) (fs []string) {
	for w := range strings.FieldsSeq(line) {
		if strings.HasPrefix(w, "--") {
			fs = append(fs, w)
		}
	}
	return fs
}

// metricInText leaves out recorded series, which have a colon before the name, and
// external labels, which have a dot there.
var metricInText = regexp.MustCompile(`(?:^|[^:.\w])(uppercut_[a-z0-9_]+)`)

// TestMetricsExist looks for each metric that a rule asks for among the names
// that the program's source gives to metrics.
func TestMetricsExist(t *testing.T) {
	known := sourceStrings(t)
	for _, m := range metricInText.FindAllStringSubmatch(read(t, "rules.yml")+read(t, runbook), -1) {
		base := strings.TrimSuffix(m[1], "_bucket")
		if !known[base] && !known[strings.TrimPrefix(base, "uppercut_")] {
			t.Errorf("no metric %s in the program", base)
		}
	}
}

// sourceStrings are all string literals of the program.
var sourceStrings = func() func(*testing.T) map[string]bool {
	var once sync.Once
	found := map[string]bool{}
	return func(t *testing.T) map[string]bool {
		t.Helper()
		once.Do(func() {
			for _, dir := range []string{"cmd", "receiver", "detector", "enforcer", "metrics"} {
				if err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
						return err
					}
					return addStrings(found, path)
				}); err != nil {
					t.Fatal(err)
				}
			}
		})
		return found
	}
}()

func addStrings(found map[string]bool, path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				found[s] = true
			}
		}
		return true
	})
	return nil
}
