package pack

import (
	"path/filepath"
	"strings"
	"testing"

	"uppercut/deploy/sandbox"
)

// install installs a package file of the host.
func install(t *testing.T, m sandbox.Machine, deb string) {
	t.Helper()
	m.Copy(t, deb, "/uppercut.deb")
	m.Do(t, "dpkg", "--force-confold", "--install", "/uppercut.deb")
}

// newMachine is one that never had the package.
func newMachine(t *testing.T) sandbox.Machine {
	t.Helper()
	m := sandbox.New(t)
	m.Do(t, "rm", "-rf", "/var/lib/uppercut", "/etc/uppercut")
	return m
}

func TestInstallUpgradeRemovePurge(t *testing.T) {
	deb, _ := packages(t)
	m := newMachine(t)
	install(t, m, deb)

	if got := m.Do(t, "stat", "-c", "%A %U %G %n", "/var/lib/uppercut", "/etc/uppercut", "/etc/uppercut/uppercut.yaml"); got != `drwxr-x--- uppercut uppercut /var/lib/uppercut
drwxr-x--- root uppercut /etc/uppercut
-rw-r----- root uppercut /etc/uppercut/uppercut.yaml
` {
		t.Errorf("rights:\n%s", got)
	}
	if enabled, _ := m.Try(t, "find", "/etc/systemd", "-name", "uppercut*"); enabled != "" {
		t.Errorf("something is enabled: %s", enabled)
	}
	if got := m.Do(t, "uppercut", "check"); !strings.Contains(got, "observe") {
		t.Errorf("check does not say that it observes:\n%s", got)
	}
	if got, err := asService(t, m, "check").CombinedOutput(); err != nil || !strings.Contains(string(got), "observe") {
		t.Errorf("check as the service's user: %v\n%s", err, got)
	}
	m.Do(t, "sh", "-c", "echo '# mine' >>/etc/uppercut/uppercut.yaml; touch /var/lib/uppercut/ledger; echo secretsecret | uppercut web-user anna")

	newer := second(t)
	install(t, m, filepath.Join(newer, debName("0.2.0")))
	if got := m.Do(t, "uppercut", "version"); !strings.HasPrefix(got, "uppercut 0.2.0 ") {
		t.Errorf("after the upgrade: %s", got)
	}
	kept := func(when string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if _, err := m.Try(t, "test", "-e", path); err != nil {
				t.Errorf("%s: %s is gone", when, path)
			}
		}
	}
	kept("after the upgrade", "/var/lib/uppercut/ledger")
	if got := m.Do(t, "tail", "-n1", "/etc/uppercut/uppercut.yaml"); got != "# mine\n" {
		t.Errorf("the upgrade changed the configuration: %q", got)
	}

	m.Do(t, "dpkg", "--remove", "uppercut")
	kept("after removal", "/var/lib/uppercut/ledger", "/etc/uppercut/uppercut.yaml", "/etc/uppercut/web.yml")
	if _, err := m.Try(t, "uppercut", "version"); err == nil {
		t.Error("after removal the program is still there")
	}
	m.Do(t, "dpkg", "--purge", "uppercut")
	for _, path := range []string{"/var/lib/uppercut", "/etc/uppercut", "/lib/systemd/system/uppercut.service"} {
		if _, err := m.Try(t, "test", "-e", path); err == nil {
			t.Errorf("after purge %s is still there", path)
		}
	}
}

// TestInstallSaysWhatIsNext: once, and not at an upgrade.
func TestInstallSaysWhatIsNext(t *testing.T) {
	deb, _ := packages(t)
	m := newMachine(t)
	m.Copy(t, deb, "/uppercut.deb")
	const next = "systemctl enable --now uppercut"
	if said := m.Do(t, "dpkg", "--force-confold", "--install", "/uppercut.deb"); !strings.Contains(said, next) || !strings.Contains(said, "uppercut sender-config") {
		t.Errorf("the installation says\n%s", said)
	}
	m.Do(t, "test", "-e", "/usr/share/doc/uppercut/README.md")
	m.Copy(t, filepath.Join(second(t), debName("0.2.0")), "/uppercut.deb")
	if said := m.Do(t, "dpkg", "--force-confold", "--install", "/uppercut.deb"); strings.Contains(said, next) {
		t.Errorf("the upgrade says\n%s", said)
	}
}

// TestTriedAsRootFirst: who tries uppercut as root, before the installation or
// while the service is stopped, leaves a ledger that the service can write.
func TestTriedAsRootFirst(t *testing.T) {
	deb, _ := packages(t)
	m := newMachine(t)
	m.Do(t, "mkdir", "-m", "700", "/var/lib/uppercut")
	m.Do(t, "sh", "-c", "umask 077; touch /var/lib/uppercut/ledger.db /var/lib/uppercut/scores")
	install(t, m, deb)
	ours := func(when string) {
		t.Helper()
		if got := m.Do(t, "find", "/var/lib/uppercut", "!", "-user", "uppercut"); got != "" {
			t.Errorf("%s root has\n%s", when, got)
		}
	}
	ours("after the installation")
	m.Do(t, "touch", "/var/lib/uppercut/later")
	m.Do(t, "sh", "-ec", strings.Join(startPre(t), "\n"))
	ours("after the start of the service")
}

// startPre returns what the unit runs as root before it serves.
func startPre(t *testing.T) (commands []string) {
	t.Helper()
	for line := range strings.Lines(output(t, "cat", "../systemd/uppercut.service")) {
		if command, ok := strings.CutPrefix(line, "ExecStartPre=+"); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	if len(commands) == 0 {
		t.Fatal("the unit runs nothing before it serves")
	}
	return commands
}
