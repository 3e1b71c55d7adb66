package pack

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// machine is this machine's file system with an overlay on top: what is
// installed there is gone with the test.
type machine struct {
	root   string
	holder *exec.Cmd // keeps the mount namespace and a network namespace
}

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{root: t.TempDir()}
	m.holder = exec.Command("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", "echo ready; exec cat")
	stdin, err := m.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := m.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := m.holder.Wait(); err != nil {
			t.Errorf("end of the machine: %v", err)
		}
	})
	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	m.outside(t, `
set -e
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc proc "$0/root/proc"
mount --rbind /dev "$0/root/dev"
rm -rf "$0/root/var/lib/uppercut" "$0/root/etc/uppercut"
ip link set lo up
`)
	return m
}

// outside runs a shell script in the namespaces with the mount point as $0.
func (m machine) outside(t *testing.T, script string) {
	t.Helper()
	output(t, "nsenter", m.target(), "--mount", "--net", "sh", "-c", script, m.root)
}

func (m machine) target() string { return "--target=" + strconv.Itoa(m.holder.Process.Pid) }

// command prepares a program to run on the machine.
func (m machine) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	all := append([]string{m.target(), "--mount", "--net", "chroot", m.root + "/root", name}, args...)
	command := exec.CommandContext(t.Context(), "nsenter", all...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return command
}

// try runs a program on the machine.
func (m machine) try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := m.command(t, name, args...).CombinedOutput()
	return string(out), err
}

// do runs a program on the machine that must do well.
func (m machine) do(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := m.try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// install installs a package file that is in a directory of the host.
func (m machine) install(t *testing.T, deb string) {
	t.Helper()
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	copying := m.command(t, "sh", "-c", "cat >/uppercut.deb")
	copying.Stdin = strings.NewReader(string(data))
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", filepath.Base(deb), err, out)
	}
	m.do(t, "dpkg", "--force-confold", "--install", "/uppercut.deb")
}

func TestInstallUpgradeRemovePurge(t *testing.T) {
	deb, _ := packages(t)
	m := newMachine(t)
	m.install(t, deb)

	if got := m.do(t, "stat", "-c", "%A %U %G %n", "/var/lib/uppercut", "/etc/uppercut", "/etc/uppercut/uppercut.yaml"); got != `drwxr-x--- uppercut uppercut /var/lib/uppercut
drwxr-x--- root uppercut /etc/uppercut
-rw-r----- root uppercut /etc/uppercut/uppercut.yaml
` {
		t.Errorf("rights:\n%s", got)
	}
	if enabled, _ := m.try(t, "find", "/etc/systemd", "-name", "uppercut*"); enabled != "" {
		t.Errorf("something is enabled: %s", enabled)
	}
	if got := m.do(t, "uppercut", "check"); !strings.Contains(got, "observe") {
		t.Errorf("check does not say that it observes:\n%s", got)
	}
	m.do(t, "sh", "-c", "echo '# mine' >>/etc/uppercut/uppercut.yaml; touch /var/lib/uppercut/ledger")

	newer := build(t, "0.2.0")
	m.install(t, filepath.Join(newer, "uppercut_0.2.0-1_amd64.deb"))
	if got := m.do(t, "uppercut", "version"); !strings.HasPrefix(got, "uppercut 0.2.0 ") {
		t.Errorf("after the upgrade: %s", got)
	}
	kept := func(when string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if _, err := m.try(t, "test", "-e", path); err != nil {
				t.Errorf("%s: %s is gone", when, path)
			}
		}
	}
	kept("after the upgrade", "/var/lib/uppercut/ledger")
	if got := m.do(t, "tail", "-n1", "/etc/uppercut/uppercut.yaml"); got != "# mine\n" {
		t.Errorf("the upgrade changed the configuration: %q", got)
	}

	m.do(t, "dpkg", "--remove", "uppercut")
	kept("after removal", "/var/lib/uppercut/ledger", "/etc/uppercut/uppercut.yaml")
	if _, err := m.try(t, "uppercut", "version"); err == nil {
		t.Error("after removal the program is still there")
	}
	m.do(t, "dpkg", "--purge", "uppercut")
	for _, path := range []string{"/var/lib/uppercut", "/etc/uppercut", "/lib/systemd/system/uppercut.service"} {
		if _, err := m.try(t, "test", "-e", path); err == nil {
			t.Errorf("after purge %s is still there", path)
		}
	}
}
