// Package sandbox gives tests a throwaway copy of this machine to install into:
// its file system with an overlay on top, in namespaces of its own. What is
// changed there is gone with the test.
package sandbox

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Machine is the copy. It has a network with a loopback interface only and
// devices that hold nothing. Its processes are those of this machine: whoever
// starts a daemon there stops it.
type Machine struct {
	root   string
	holder *exec.Cmd // keeps the namespaces
}

// New makes one that lasts until the test ends. Root is needed.
func New(t *testing.T) Machine {
	t.Helper()
	m := Machine{root: t.TempDir()}
	m.holder = exec.Command("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", setUp, m.root)
	stdin, err := m.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := m.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var problems bytes.Buffer
	m.holder.Stderr = &problems
	if err := m.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := m.holder.Wait(); err != nil {
			t.Errorf("end of the machine: %v\n%s", err, problems.String())
		}
	})
	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("set up the machine: %v\n%s", err, problems.String())
	}
	return m
}

// setUp makes the file system under $0 and waits for the end.
const setUp = `
set -e
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc proc "$0/root/proc"
mount -t tmpfs none "$0/root/dev"
for d in null zero full random urandom; do
	: >"$0/root/dev/$d"
	mount --bind "/dev/$d" "$0/root/dev/$d"
done
mkdir "$0/root/dev/shm"
chmod 1777 "$0/root/dev/shm"
ip link set lo up
echo ready
exec cat
`

// Command prepares a program to run on the machine.
func (m Machine) Command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	all := append([]string{"--target=" + strconv.Itoa(m.holder.Process.Pid), "--mount", "--net", "chroot", m.root + "/root", name}, args...)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), "nsenter", all...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return command
}

// Try runs a program on the machine and returns all that it prints.
func (m Machine) Try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := m.Command(t, name, args...).CombinedOutput()
	return string(out), err
}

// Do runs a program on the machine that must do well.
func (m Machine) Do(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := m.Try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// Copy puts a file of this machine at a path on that one, with its mode.
func (m Machine) Copy(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	m.Write(t, to, string(data), info.Mode())
}

// Write makes a file, and the directories to it.
func (m Machine) Write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	m.Do(t, "mkdir", "-p", filepath.Dir(path))
	writing := m.Command(t, "sh", "-c", `cat >"$0" && chmod "$1" "$0"`, path, strconv.FormatUint(uint64(mode.Perm()), 8))
	writing.Stdin = strings.NewReader(text)
	if out, err := writing.CombinedOutput(); err != nil {
		t.Fatalf("write %s: %v\n%s", path, err, out)
	}
}
