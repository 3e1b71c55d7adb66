package statedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestADirectoryThatOthersMayWriteIsRefused(t *testing.T) {
	own, group := os.Geteuid(), os.Getegid()
	const stranger = 54321
	for _, test := range []struct {
		name     string
		mode     fs.FileMode
		uid, gid int
		want     string
	}{
		{"ours", 0o750, own, group, ""},
		{"root's", 0o755, 0, 0, ""},
		{"our group's", 0o770, own, group, ""},
		{"everybody's", 0o777, own, group, "it is world-writable (mode 0777)"},
		{"others' alone", 0o702, own, group, "it is world-writable"},
		{"with a sticky bit", 0o777 | fs.ModeSticky, 0, 0, "it is world-writable"},
		{"a stranger's", 0o700, stranger, group, "belongs to user 54321"},
		{"a strange group's", 0o770, own, stranger, "writable by group 54321"},
		{"a strange group that reads", 0o750, own, stranger, ""},
	} {
		err := trusted("/state", test.mode, test.uid, test.gid)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	dir := filepath.Join(t.TempDir(), "a", "state")
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if err := Prepare(dir); err == nil {
		t.Error("a directory for everybody is taken")
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scores")
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for i := range 3 {
		if err := Replace(path, text(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	if err := Replace(path, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if got := read(t, path); got != "2" {
		t.Errorf("it holds %q", got)
	}
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not finished is left: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	aside, err := SetAside(path)
	if err != nil || read(t, aside) != "2" {
		t.Errorf("%s, %v", aside, err)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	outside, inside := filepath.Join(dir, "victim"), filepath.Join(dir, "state", "ledger.db")
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"out of it": "../victim", "absolute": outside, "within it": "ledger.db"} {
		for _, link := range []string{"scores", "scores.new"} {
			for _, victim := range []string{outside, inside} {
				if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "state", "scores")
			_ = os.Remove(path)
			at := filepath.Join(dir, "state", link)
			if err := os.Symlink(target, at); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(at); !errors.Is(err, ErrLink) {
				t.Errorf("%s, %s: %v", name, link, err)
			}
			if err := Replace(path, text("new")); err != nil || read(t, path) != "new" {
				t.Errorf("%s, %s: %v", name, link, err)
			}
			for _, victim := range []string{outside, inside} {
				if data, _ := os.ReadFile(victim); string(data) != "precious" {
					t.Errorf("%s, %s: %s was overwritten", name, link, victim)
				}
			}
		}
	}
}

// A FIFO in the place of a file would hold up the start until somebody writes.
func TestOnlyFilesAreOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scores")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, errIrregular) {
		t.Errorf("a FIFO: %v", err)
	}
	if err := Replace(path, text("new")); err != nil || read(t, path) != "new" {
		t.Errorf("it is not replaced: %v", err)
	}
}
