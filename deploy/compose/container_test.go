package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// container says how a container engine would run an image: what follows from
// the compose file and the image's own configuration.
type container struct {
	Rootfs       string
	ReadOnly     bool
	Mounts       []mount
	User         int // of group 0
	Capabilities []string
	Env          []string
	Args         []string
}

type mount struct {
	Source, Target string
	ReadOnly       bool
}

// runVariable holds a container as JSON for the child that becomes it.
const runVariable = "COMPOSE_TEST_CONTAINER"

func TestMain(m *testing.M) {
	if text := os.Getenv(runVariable); text != "" {
		var c container
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.become()
		}
		fmt.Fprintln(os.Stderr, "container:", err)
		os.Exit(125)
	}
	dir, err := os.MkdirTemp("", "uppercut-images-")
	if err != nil {
		panic(err)
	}
	images.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // vfs: directories, nothing is mounted
	os.Exit(code)
}

// command prepares the container in a network namespace: a child of ours with
// mount and process namespaces of its own, which then becomes the program.
func (c container) command(t *testing.T, netns string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", netns, "/proc/self/exe")
	cmd.Args[len(cmd.Args)-1] = executable(t)
	cmd.Env = []string{runVariable + "=" + string(text), "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// become turns this process into the container's. It returns only an error.
func (c container) become() error {
	runtime.LockOSThread() // privileges are those of a thread, exec takes this one's
	if err := c.enter(); err != nil {
		return err
	}
	if err := c.restrict(); err != nil {
		return err
	}
	if err := unix.Exec(c.Args[0], c.Args, c.Env); err != nil {
		return fmt.Errorf("exec %s: %w", c.Args[0], err)
	}
	return nil
}

// enter makes the image's file system this process's root, with the mounts of
// the compose file over it, and /proc as every engine gives it.
func (c container) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	mounts := append([]mount{{c.Rootfs, "/", c.ReadOnly}}, c.Mounts...)
	for _, m := range mounts {
		target := filepath.Join(c.Rootfs, m.Target)
		if err := unix.Mount(m.Source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.Source, target, err)
		}
	}
	if err := unix.Mount("proc", filepath.Join(c.Rootfs, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	for _, m := range mounts {
		if !m.ReadOnly {
			continue
		}
		if err := unix.Mount("", filepath.Join(c.Rootfs, m.Target), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", m.Target, err)
		}
	}
	if err := unix.Chroot(c.Rootfs); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return unix.Chdir("/")
}

// restrict gives up what the compose file does not grant: every other
// capability is dropped and out of the bounding set, and another user than root
// has none, as engines have it.
func (c container) restrict() error {
	var mask uint64
	for _, name := range c.Capabilities {
		number, known := capabilities[name]
		if !known {
			return fmt.Errorf("capability %s is not known", name)
		}
		mask |= 1 << number
	}
	for number := range 64 {
		if mask&(1<<number) != 0 {
			continue
		}
		// EINVAL: the kernel does not know that many.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", number, err)
		}
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("give up groups: %w", err)
	}
	if err := unix.Setgid(0); err != nil {
		return fmt.Errorf("become group 0: %w", err)
	}
	if err := unix.Setuid(c.User); err != nil {
		return fmt.Errorf("become user %d: %w", c.User, err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return nil
}

// capabilities are the numbers of linux/capability.h.
var capabilities = map[string]int{"NET_ADMIN": unix.CAP_NET_ADMIN, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE}

// run runs it to its end.
func (c container) run(t *testing.T, netns, stdin string, args ...string) (string, error) {
	t.Helper()
	c.Args = append(slices.Clone(c.Args[:1]), args...)
	cmd := c.command(t, netns)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// running is a container that runs.
type running struct {
	cmd *exec.Cmd
	log bytes.Buffer
}

// start runs it until stop, or the end of the test.
func (c container) start(t *testing.T, netns string) *running {
	t.Helper()
	r := &running{cmd: c.command(t, netns)}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("it said:\n%s", r.log.String())
		}
	})
	return r
}

// stop asks it to end, as `docker stop` does.
func (r *running) stop(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("its end: %v", err)
	}
}

// status returns a line of the process's /proc status.
func (r *running) status(t *testing.T, key string) string {
	t.Helper()
	for line := range strings.Lines(read(t, "/proc/"+strconv.Itoa(r.cmd.Process.Pid)+"/status")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s in the status", key)
	return ""
}
