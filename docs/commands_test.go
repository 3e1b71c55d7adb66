package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// pages are all that tell somebody what to type.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../*.md", "*.md", "../deploy/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// checks say, by program, how a documented command is run here, or what of it
// can be where it would change the machine or needs what no test has. Those of
// uppercut, curl and logger run in the lab, on the gateway of a fleet under
// attack: see deploy/lab.
var checks = map[string]func(t *testing.T, command string){
	"uppercut": inTheLab, "curl": inTheLab, "logger": inTheLab, "grep": inTheLab,
	"make":    dryMake,
	"rbldnsd": inTheFeed,
	"install": func(t *testing.T, command string) {
		oneOf(t, command, "install -d -o uppercut -g rbldns -m 750 /var/lib/rbldns/uppercut")
	},
	"go":        packagesExist,
	"nft":       inItsOwnNetwork,
	"docker":    composeKnows,
	"dpkg":      namesAPackage,
	"rpm":       namesAPackage,
	"git":       func(t *testing.T, command string) { oneOf(t, command, "git pull") },
	"htpasswd":  func(t *testing.T, command string) { oneOf(t, command, "htpasswd -nBC 10 anna") },
	"systemctl": unitExists, "journalctl": unitExists,
	"ansible-playbook": syntax,
	"fail2ban-client":  fail2banKnows,
	"vi":               func(t *testing.T, command string) { oneOf(t, command, "vi /etc/uppercut/uppercut.yaml") },
}

var (
	inBlock = regexp.MustCompile(`^(?:    |)(?:[A-Z_]+=\S+ )?([a-z][a-z-]*) .*$`)
	inSpan  = regexp.MustCompile("`([a-z][a-z-]*) [^`|]+`")
)

// TestEveryCommandIsRun extracts what looks like a command from every page: a
// line of a code block that begins with a program of this machine or of the
// table above, and a span of code that begins with one of the table.
func TestEveryCommandIsRun(t *testing.T) {
	total := 0
	for _, page := range pages(t) {
		for _, command := range commandsOf(t, page) {
			total++
			t.Run(filepath.Base(page)+": "+command, func(t *testing.T) {
				words := strings.Fields(command)
				if strings.Contains(words[0], "=") {
					words = words[1:]
				}
				check, known := checks[words[0]]
				if !known {
					t.Fatalf("nothing runs %s", words[0])
				}
				check(t, strings.Join(words, " "))
			})
		}
	}
	if total < 60 {
		t.Errorf("only %d commands were found", total)
	}
}

func commandsOf(t *testing.T, page string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	fence := ""
	for line := range strings.SplitSeq(strings.ReplaceAll(string(text), "\\\n", ""), "\n") {
		if rest, ok := strings.CutPrefix(line, "```"); ok {
			fence = ""
			if rest == "sh" || rest == "shell" {
				fence = rest
			}
			continue
		}
		if fence != "" || strings.HasPrefix(line, "    ") {
			if found := inBlock.FindStringSubmatch(line); found != nil && isProgram(found[1]) {
				command, _, _ := strings.Cut(strings.TrimSpace(line), "  #")
				commands = append(commands, strings.TrimSpace(command))
			}
			continue
		}
		for _, found := range inSpan.FindAllStringSubmatch(line, -1) {
			if checks[found[1]] != nil {
				commands = append(commands, strings.Trim(found[0], "`"))
			}
		}
	}
	slices.Sort(commands)
	return slices.Compact(commands)
}

// isProgram says whether a word at the start of a line is a command. Some words
// of pictures and listings are programs, too.
func isProgram(word string) bool {
	if checks[word] != nil {
		return true
	}
	_, err := exec.LookPath(word)
	return err == nil
}

func inTheLab(*testing.T, string) {}

// inTheFeed: the tests of cmd/uppercut/feed take it from the page.
func inTheFeed(*testing.T, string) {}

func oneOf(t *testing.T, command string, known ...string) {
	t.Helper()
	if !slices.Contains(known, command) {
		t.Errorf("%s: not among %q", command, known)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func dryMake(t *testing.T, command string) {
	command, _, _ = strings.Cut(command, " && ") // deploy/package does the rest of the README's line
	arguments, _ := strings.CutPrefix(command, "make ")
	if strings.HasPrefix(arguments, "-C ") {
		return // sendmail's own
	}
	output(t, "sh", "-c", "make --directory=.. --dry-run "+arguments)
}

func packagesExist(t *testing.T, command string) {
	for word := range strings.FieldsSeq(command) {
		if strings.HasPrefix(word, "./") {
			output(t, "go", "-C", "..", "list", word)
		}
	}
}

// inItsOwnNetwork runs nft where there is nothing but our table.
func inItsOwnNetwork(t *testing.T, command string) {
	command = strings.Replace(command, "nft -j list set", "nft -j list set inet uppercut block4", 1)
	if command == "nft -f" {
		command = "nft -f /dev/null"
	}
	output(t, "unshare", "--net", "sh", "-ec", `nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; }'
nft 'add table inet uppercut; add set inet uppercut block4 { type ipv4_addr; }'
timeout 1 `+command+` || [ $? = 124 ]`)
}

// composeKnows looks whether docker-compose.yml has what the command names:
// there is no engine here. deploy/compose runs what the file says.
func composeKnows(t *testing.T, command string) {
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct{ Image string }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(command)
	switch {
	case strings.HasPrefix(command, "docker compose exec "):
		if _, ok := file.Services[words[3]]; !ok || words[4] != "uppercut" {
			t.Errorf("%s: no such service or program", command)
		}
	case strings.HasPrefix(command, "docker run "):
		if image := file.Services["uppercut"].Image; image != "uppercut:${UPPERCUT_VERSION:-local}" || !slices.Contains(words, "uppercut:local") {
			t.Errorf("%s: the image is %s", command, image)
		}
	default:
		oneOf(t, command, "docker compose up -d", "docker compose up -d --build", "docker compose down --volumes")
	}
}

// namesAPackage: deploy/package runs them with the packages that it builds.
func namesAPackage(t *testing.T, command string) {
	if !regexp.MustCompile(`^(dpkg -i uppercut_\d\.\d\.\d-1_amd64\.deb|rpm -U uppercut-\d\.\d\.\d-1\.x86_64\.rpm|dpkg --(remove|purge) uppercut)$`).MatchString(command) {
		t.Errorf("%s: no such package is built", command)
	}
}

// fail2banKnows looks for the words of a command in what its client can do.
func fail2banKnows(t *testing.T, command string) {
	help := output(t, "fail2ban-client", "--help")
	for word := range strings.FieldsSeq(command) {
		if word = strings.TrimLeft(word, "-"); word == strings.ToLower(word) && !strings.HasPrefix(word, "sendmail-") && !strings.Contains(help, word) {
			t.Errorf("%s: fail2ban-client does not know %q", command, word)
		}
	}
}

// unitExists: systemd does not run here.
func unitExists(t *testing.T, command string) {
	words := strings.Fields(command)
	unit := words[len(words)-1]
	if i := slices.Index(words, "-u"); i > 0 {
		unit = words[i+1]
	}
	for _, path := range []string{"../deploy/systemd/" + unit + ".service", "/lib/systemd/system/" + unit + ".service", "/etc/init.d/" + unit} {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Errorf("%s: no such unit", command)
}

// syntax lets Ansible read the playbook; deploy/ansible runs the role.
func syntax(t *testing.T, command string) {
	words := strings.Fields(strings.Replace(command, "-i inventory", "-i mail,", 1))
	cmd := exec.CommandContext(t.Context(), words[0], append(words[1:], "--syntax-check")...)
	cmd.Dir, cmd.Env = "../deploy/ansible", append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}
