package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"
)

// webUser runs the command with a password on standard input.
func webUser(t *testing.T, stdin io.Reader, args ...string) (said string, code int) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), append([]string{"web-user"}, args...), nil, stdin, &out, &out)
	return out.String(), code
}

// hashes reads the users of a web configuration file.
func hashes(t *testing.T, file string) map[string]string {
	t.Helper()
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, file)), &c); err != nil {
		t.Fatal(err)
	}
	return c.Users
}

func fits(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// TestWebUser: the file is made, users come, change and go, and what else stands
// in it stays.
func TestWebUser(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yml")
	if said, code := webUser(t, strings.NewReader("first secret\n"), "--file", file, "anna"); code != exitOK || !strings.Contains(said, "anna: added") || !strings.Contains(said, "set web.config_file") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the new file: %v, %v", info.Mode(), err)
	}
	if !fits(hashes(t, file)["anna"], "first secret") {
		t.Error("the password is another one")
	}
	writeFile(t, file, "# who may see the page\ntls_server_config:\n  cert_file: web.crt # renewed by cron\n  key_file: web.key\n"+readFile(t, file))
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if said, code := webUser(t, strings.NewReader("of bob"), "--file", file, "bob"); code != exitOK || !strings.Contains(said, "bob: added") || !strings.Contains(said, "warning: web.config_file") {
		t.Errorf("exit code %d, and no warning of the certificate that is not there: %s", code, said)
	}
	if said, code := webUser(t, strings.NewReader("second secret\r\n"), "--file", file, "anna"); code != exitOK || !strings.Contains(said, "anna: password changed") {
		t.Errorf("exit code %d: %s", code, said)
	}
	users := hashes(t, file)
	if len(users) != 2 || !fits(users["anna"], "second secret") || !fits(users["bob"], "of bob") {
		t.Errorf("users %v", users)
	}
	for _, kept := range []string{"# who may see the page", "cert_file: web.crt # renewed by cron", "key_file: web.key"} {
		if !strings.Contains(readFile(t, file), kept) {
			t.Errorf("%q is gone:\n%s", kept, readFile(t, file))
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file that was closed has become %v, %v", info.Mode(), err)
	}
	if said, code := webUser(t, nil, "--file", file, "--remove", "bob"); code != exitOK || hashes(t, file)["bob"] != "" {
		t.Errorf("exit code %d: %s", code, said)
	}
	if said, code := webUser(t, nil, "--file", file, "--remove", "bob"); code != exitNo {
		t.Errorf("exit code %d: %s", code, said)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What cannot be is refused, and the file stays as it was.
func TestWebUserRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		before, password string
		args             []string
		code             int
		says             string
	}{
		"a colon":       {"", "x", []string{"an:na"}, exitUsage, "cannot be the name of a user"},
		"no name":       {"", "x", []string{""}, exitUsage, "cannot be the name of a user"},
		"two names":     {"", "x", []string{"anna", "bob"}, exitUsage, ""},
		"no password":   {"", "", []string{"anna"}, exitError, "the password is empty"},
		"too long":      {"", strings.Repeat("x", 73), []string{"anna"}, exitError, "the password has 73 bytes; bcrypt takes at most 72"},
		"no YAML":       {"basic_auth_users: [", "x", []string{"anna"}, exitError, "web configuration"},
		"a list":        {"- a\n", "x", []string{"anna"}, exitError, "is not a mapping of keys to values"},
		"users a list":  {"basic_auth_users: [anna]\n", "x", []string{"anna"}, exitError, "basic_auth_users is not a mapping"},
		"comments only": {"# nothing yet\n", "x", []string{"anna"}, exitOK, "anna: added"},
		"no users":      {"basic_auth_users:\n", "x", []string{"anna"}, exitOK, "anna: added"},
		"an empty list": {"basic_auth_users: {}\n", "x", []string{"anna"}, exitOK, "anna: added"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "web.yml")
			writeFile(t, file, c.before)
			said, code := webUser(t, strings.NewReader(c.password), append([]string{"--file", file}, c.args...)...)
			if code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit code %d: %s", code, said)
			}
			after := readFile(t, file)
			if code != exitOK && after != c.before {
				t.Errorf("the file has become\n%s", after)
			}
			if code == exitOK && !fits(hashes(t, file)["anna"], "x") {
				t.Errorf("the file has become\n%s", after)
			}
		})
	}
}

// TestWebUserOnATerminal: the password is asked for twice and not shown.
func TestWebUserOnATerminal(t *testing.T) {
	for typed, want := range map[string]string{"secret\nsecret\n": "anna: added", "secret\nsecrte\n": "the two passwords differ"} {
		ours, theirs := newPseudoTerminal(t)
		file := filepath.Join(t.TempDir(), "web.yml")
		if _, err := ours.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		said, _ := webUser(t, theirs, "--file", file, "anna")
		if !strings.Contains(said, "Password for anna: \nAgain: ") || !strings.Contains(said, want) {
			t.Errorf("it says %q, want %q", said, want)
		}
		if now, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS); err != nil || now.Lflag&unix.ECHO == 0 {
			t.Errorf("the terminal shows nothing from now on: %v", err)
		}
	}
}

// newPseudoTerminal returns both ends of a pseudoterminal.
func newPseudoTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.IoctlRetInt(int(ours.Fd()), unix.TIOCGPTPEER)
	if err != nil || fd < 0 {
		t.Fatal(err)
	}
	theirs = os.NewFile(uintptr(fd), "terminal")
	t.Cleanup(func() { _ = theirs.Close() })
	_ = theirs.SetReadDeadline(time.Now().Add(10 * time.Second)) // a terminal may know no deadline
	return ours, theirs
}
