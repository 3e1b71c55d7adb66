package lab

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documentedCommands runs every command of uppercut, curl and logger that the
// documentation and the manual pages show, on the gateway, with the fleet under attack behind it: 0 and 3 ("the answer
// is no") are fine, "cannot" and "wrong command line" are not.
func documentedCommands(t *testing.T, l *Lab, report *Report, binary string) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	readmes, err := filepath.Glob("../*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(append(pages, "../../README.md", "../../CONTRIBUTING.md"), readmes...)
	pages = append(pages, manualPages(t, binary)...)
	bin := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(bin, "uppercut")); err != nil {
		t.Fatal(err)
	}
	examples := l.examples(report)
	for _, page := range pages {
		commands := commandsOf(t, page)
		for _, command := range commands {
			t.Run(filepath.Base(page)+": "+command, func(t *testing.T) {
				line := examples.Replace(command)
				cmd := l.net.gateway.CommandContext(t.Context(), "sh", "-c", line)
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "UPPERCUT_STATE_DIR="+filepath.Join(l.Dir, "state"))
				cmd.Stdin = strings.NewReader("")
				out, err := cmd.CombinedOutput()
				if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 3 {
					return
				}
				if slices.ContainsFunc(fine, func(answer string) bool { return bytes.Contains(out, []byte(answer)) }) {
					return
				}
				if err != nil {
					t.Errorf("%s: %v\n%s", line, err, bytes.TrimSpace(out))
				}
			})
		}
	}
}

// fine are refusals that are right where the appliance runs, no host is broken,
// another page's command was flush, and nothing has been exported.
var fine = []string{
	"no breaker is open", "firewall is suspended: resume it first",
	"stop uppercut, or name a copy of the file", "open ledger.jsonl: no such file", "already exists: move it away first",
}

// manualPages writes those of the binary and returns the files.
func manualPages(t *testing.T, binary string) []string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), binary, "manual", dir, "../../docs/configuration.md").CombinedOutput(); err != nil {
		t.Fatalf("write the manual pages: %v\n%s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.8"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d manual pages: %v", len(pages), err)
	}
	return pages
}

// examples stand for what the documentation leaves open.
func (l *Lab) examples(report *Report) *strings.Replacer {
	blocked := report.Of(Guilty)[0].Addr.String()
	maillog := filepath.Join(l.Dir, "mx1", "maillog")
	return strings.NewReplacer(
		"ADDRESS", blocked, "PREFIX...", blocked, "PREFIX", blocked, "ADDR", blocked, "HOST", "mx1", "FILE...", maillog, "FILE", maillog,
		"/var/log/mail.log.1.gz", maillog, "/var/log/mail.log.1", maillog, "/var/log/mail.log", maillog,
		"/etc/uppercut/uppercut.yaml", filepath.Join(l.Dir, "uppercut.yaml"),
		"/var/lib/uppercut/control.sock", filepath.Join(l.Dir, "state", "control.sock"),
		"https://gateway.example.net:9514", "http://"+webAddress, "curl ", "curl --fail --silent --show-error ", "-u anna", "-u lab:lab",
		"uppercut certificates --dir /root/fleet", "uppercut certificates --dir "+filepath.Join(l.Dir, "fleet"),
		"uppercut web-user ", "echo secret | uppercut web-user --file "+filepath.Join(l.Dir, "users.yml")+" ",
		"--host mx3", "--host mx3.lab.example", "new.yaml", filepath.Join(l.Dir, "uppercut.yaml"), "line.log", maillog,
	)
}

var (
	// unfold joins lines that go on, and takes the escapes of manual pages out.
	unfold      = strings.NewReplacer("\\\n", "", `\-`, "-", `\&`, "", `\(aq`, "'")
	commandLine = regexp.MustCompile(`^ *(?:\$ |# )?((?:uppercut [a-z]|curl |logger |grep .* uppercut ).*)$`)
	commandSpan = regexp.MustCompile("`(uppercut [^`]+)`")
	mention     = regexp.MustCompile(`^uppercut [a-z-]+$`)
)

// commandsOf extracts the commands of a page, each once: lines of code blocks
// and spans of code. A span that only names a command is turned into a call for
// help. uppercut serve is what the whole test runs.
func commandsOf(t *testing.T, page string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var fenced bool
	for line := range strings.SplitSeq(unfold.Replace(string(text)), "\n") {
		switch {
		case strings.HasPrefix(line, "```"), strings.HasPrefix(line, ".EX"), strings.HasPrefix(line, ".EE"):
			fenced = !fenced
			continue
		}
		if found := commandLine.FindStringSubmatch(line); found != nil && (fenced || strings.HasPrefix(line, "    ")) {
			commands = append(commands, found[1])
			continue
		}
		for _, found := range commandSpan.FindAllStringSubmatch(line, -1) {
			commands = append(commands, mention.ReplaceAllString(found[1], "$0 --help"))
		}
	}
	slices.Sort(commands)
	return slices.DeleteFunc(slices.Compact(commands), func(c string) bool { return strings.HasPrefix(c, "uppercut serve") })
}
