package pack

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readmeInstall returns the command lines of the README's section Install,
// without their remarks.
func readmeInstall(t *testing.T) (lines []string) {
	t.Helper()
	text := output(t, "cat", "../../README.md")
	_, section, _ := strings.Cut(text, "\n## Install\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			command, _, _ = strings.Cut(command, "  #")
			lines = append(lines, strings.TrimSpace(command))
		}
	}
	return lines
}

// TestReadmeInstall follows the section Install of the README on a machine that
// never had uppercut: each line does what it says.
func TestReadmeInstall(t *testing.T) {
	lines := readmeInstall(t)
	if len(lines) != 6 {
		t.Fatalf("the section has %d lines: %q", len(lines), lines)
	}
	deb, _ := packages(t)
	m := newMachine(t)
	m.Copy(t, deb, "/root/dist/uppercut_0.1.0-1_amd64.deb")
	m.Do(t, "nft", "add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }")
	var stop func()
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "make package && dpkg"):
			_, line, _ = strings.Cut(line, " && ") // the package is built
			if said := m.Do(t, "sh", "-ec", "cd /root; "+line); !strings.Contains(said, "Next:") {
				t.Errorf("%s says\n%s", line, said)
			}
		case strings.HasPrefix(line, "vi "):
			if said := m.Do(t, "cat", strings.Fields(line)[1]); !strings.Contains(said, "mode: observe") {
				t.Errorf("%s shows\n%s", line, said)
			}
		case strings.HasPrefix(line, "systemctl enable --now "):
			m.Do(t, "sh", "-ec", strings.Replace(line, " --now", "", 1)) // no systemd runs there
			m.Do(t, "test", "-h", "/etc/systemd/system/multi-user.target.wants/uppercut.service")
			m.Do(t, "sh", "-ec", strings.Join(startPre(t), "\n"))
			stop = serve(t, m)
		case strings.HasPrefix(line, "nft "):
			m.Do(t, "sh", "-ec", line)
			if rules := m.Do(t, "nft", "list", "chain", "inet", "filter", "input"); !strings.Contains(rules, "dport 5514 accept") {
				t.Errorf("%s made\n%s", line, rules)
			}
		default:
			if said := m.Do(t, "sh", "-ec", line); !strings.Contains(said, "observe") {
				t.Errorf("%s says\n%s", line, said)
			}
		}
	}
	stop()
}

// TestMakeInstall: what it installs are the files of the package, and a second
// time it keeps the configuration.
func TestMakeInstall(t *testing.T) {
	_, rpm := packages(t)
	want := holding(output(t, "sh", "-c", `rpm2cpio "$1" | cpio -t --quiet`, "sh", rpm))
	dest := t.TempDir()
	output(t, "make", "--directory=../..", "install", "DESTDIR="+dest)
	config := filepath.Join(dest, "etc/uppercut/uppercut.yaml")
	output(t, "sh", "-c", `echo "# mine" >>"$0"`, config)
	output(t, "../package/install", dest)
	if got := output(t, "tail", "-n1", config); got != "# mine\n" {
		t.Errorf("a second time it changed the configuration: %s", got)
	}
	got := holding(output(t, "find", dest, "-type", "f", "-printf", "/%P\n"))
	for _, path := range want {
		if !slices.Contains(got, path) {
			t.Errorf("%s is not installed", path)
		}
	}
	for _, path := range got {
		if !slices.Contains(want, path) {
			t.Errorf("%s is not in the package", path)
		}
	}
}

// holding returns the paths of files in a listing.
func holding(listing string) (paths []string) {
	for line := range strings.Lines(listing) {
		path := "/" + strings.TrimLeft(strings.TrimSpace(line), "./")
		if !regexp.MustCompile(`/(man8|man5|docs|grafana|senders|prometheus|uppercut)$`).MatchString(path) || path == "/usr/bin/uppercut" || strings.HasSuffix(path, "completions/uppercut") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
