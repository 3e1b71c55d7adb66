package systemd

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// units copies the units to a directory, the program replaced by one that
// exists.
func units(t *testing.T) (service, socket string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"uppercut.service", "uppercut.socket"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.ReplaceAll(string(text), "/usr/bin/uppercut", "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "uppercut.service"), filepath.Join(dir, "uppercut.socket")
}

func TestUnitsAreValid(t *testing.T) {
	service, socket := units(t)
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", service, socket).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestServiceIsHardened: 2.0 of 10 points of exposure at most.
func TestServiceIsHardened(t *testing.T) {
	service, _ := units(t)
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", service).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(lastLine(string(out))))
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// settings returns the values of a key in a unit.
func settings(t *testing.T, unit, key string) (values []string) {
	t.Helper()
	f, err := os.Open(unit)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if k, v, ok := strings.Cut(scan.Text(), "="); ok && k == key {
			values = append(values, v)
		}
	}
	return values
}

func TestServicePromises(t *testing.T) {
	for key, want := range map[string]string{
		"Type":                  "notify",
		"AmbientCapabilities":   "CAP_NET_ADMIN",
		"CapabilityBoundingSet": "CAP_NET_ADMIN",
		"StateDirectory":        "uppercut",
		"ExecReload":            "/usr/bin/uppercut reload",
	} {
		if got := settings(t, "uppercut.service", key); len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q, want %s once", key, got, want)
		}
	}
	if got := settings(t, "uppercut.service", "WatchdogSec"); len(got) != 1 {
		t.Errorf("WatchdogSec=%q", got)
	}
}

// TestUserAndDirectories lets systemd make them in an empty root.
func TestUserAndDirectories(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"etc/uppercut", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/uppercut/uppercut.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"sysusers", "tmpfiles"} {
		text, err := os.ReadFile("uppercut." + kind)
		if err != nil {
			t.Fatal(err)
		}
		conf := filepath.Join(root, "usr/lib", kind+".d", "uppercut.conf")
		if err := os.WriteFile(conf, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"systemd-sysusers", "--root=" + root, "uppercut.conf"},
		{"systemd-tmpfiles", "--root=" + root, "--create", "uppercut.conf"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(passwd), "uppercut:") || !strings.Contains(string(passwd), "nologin") {
		t.Errorf("passwd: %s", passwd)
	}
	for path, mode := range map[string]os.FileMode{
		"var/lib/uppercut": 0o750, "etc/uppercut": 0o750, "etc/uppercut/uppercut.yaml": 0o640,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), mode)
		}
	}
}
