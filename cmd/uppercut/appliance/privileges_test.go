package appliance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"uppercut/deploy/netns"
)

// privilegesChild is set in the environment of a child of this test binary that
// gives its privileges away and reports what is left. Its value is the order.
const privilegesChild = "UPPERCUT_TEST_PRIVILEGES"

func init() {
	if order, ok := os.LookupEnv(privilegesChild); ok {
		os.Exit(runPrivilegesChild(order))
	}
}

// privilegesReport is what the child prints, as JSON.
type privilegesReport struct {
	Before   bool // hasNetAdmin before dropping
	Drop     string
	After    bool // hasNetAdmin after it
	Bind     string
	StateDir string
	// Threads holds the lines of /proc/self/task/*/status that differ from
	// none, the same set once.
	Threads []string
	Log     string
}

// runPrivilegesChild drops all but the capabilities in order ("admin", "bind",
// separated by commas) and looks at the directory in its first argument.
func runPrivilegesChild(order string) int {
	var log bytes.Buffer
	var keep []capability
	for word := range strings.SplitSeq(order, ",") {
		switch word {
		case "admin":
			keep = append(keep, capNetAdmin)
		case "bind":
			keep = append(keep, capNetBindService)
		}
	}
	release := manyThreads(20)
	report := privilegesReport{Before: hasNetAdmin()}
	report.Drop = text(dropPrivileges(slog.New(slog.NewTextHandler(&log, nil)), keep...))
	report.After = hasNetAdmin()
	report.Bind = text(bindLow())
	report.StateDir = text(checkStateDir(os.Args[1]))
	report.Threads = threads()
	report.Log = log.String()
	release()
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return 1
	}
	return 0
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func bindLow() error {
	l, err := net.Listen("tcp", "127.0.0.1:514")
	if err == nil {
		err = l.Close()
	}
	return err
}

// manyThreads holds goroutines on threads of their own until release.
func manyThreads(n int) (release func()) {
	var started, ended sync.WaitGroup
	hold := make(chan struct{})
	for range n {
		started.Add(1)
		ended.Go(func() {
			runtime.LockOSThread()
			started.Done()
			<-hold
		})
	}
	started.Wait()
	return func() { close(hold); ended.Wait() }
}

// threads returns how the threads of the process stand, equal ones once.
func threads() (sets []string) {
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) < 20 {
		return []string{fmt.Sprintf("%d threads, error %v", len(files), err)}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if set := powers(data); !slices.Contains(sets, set) {
			sets = append(sets, set)
		}
	}
	return sets
}

// powers returns the lines of a status file that say what a thread may do.
func powers(status []byte) string {
	var set []string
	for scan := bufio.NewScanner(bytes.NewReader(status)); scan.Scan(); {
		key, value, _ := strings.Cut(scan.Text(), ":\t")
		if strings.HasPrefix(key, "Cap") || key == "NoNewPrivs" {
			set = append(set, key+"="+strings.TrimLeft(value, "0"))
		}
	}
	return strings.Join(set, " ")
}

// privilegesBinary builds this test binary without cgo, which the race detector
// needs and which keeps Go from changing all threads at once.
func privilegesBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "privileges.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the child: %v\n%s", err, out)
	}
	openToAll(t, filepath.Dir(binary))
	return binary
}

// openToAll lets every user into a temporary directory.
func openToAll(t *testing.T, dir string) {
	t.Helper()
	for ; dir != "/" && dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDropPrivileges(t *testing.T) {
	binary := privilegesBinary(t)
	dir := t.TempDir()
	openToAll(t, dir)
	own, foreign := filepath.Join(dir, "own"), filepath.Join(dir, "foreign")
	for path, uid := range map[string]int{own: 0, foreign: 65534} {
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, bounding, _ := strings.Cut(powers(status), "CapBnd=")
	bounding, _, _ = strings.Cut(bounding, " ")
	const denied = "listen tcp 127.0.0.1:514: bind: permission denied"
	for _, test := range []struct {
		name     string
		user     []string // options for setpriv
		order    string
		stateDir string
		want     privilegesReport
	}{
		{
			name: "root keeps what serving needs", order: "admin,bind", stateDir: own,
			want: privilegesReport{
				Before: true, After: true,
				Threads: []string{"CapInh= CapPrm=1400 CapEff=1400 CapBnd=1400 CapAmb= NoNewPrivs=1"},
				Log:     `kept="CAP_NET_ADMIN CAP_NET_BIND_SERVICE" uid=0 bounding_set_dropped=true`,
			},
		},
		{
			name: "root, all ports bound", order: "admin", stateDir: own,
			want: privilegesReport{
				Before: true, After: true, Bind: denied,
				Threads: []string{"CapInh= CapPrm=1000 CapEff=1000 CapBnd=1000 CapAmb= NoNewPrivs=1"},
				Log:     `kept=CAP_NET_ADMIN uid=0 bounding_set_dropped=true`,
			},
		},
		{
			name: "root that observes, in a directory of somebody else", order: "", stateDir: foreign,
			want: privilegesReport{
				Before: true, Bind: denied,
				StateDir: fmt.Sprintf("state_dir: %q belongs to user 65534 and user 0 cannot write to it: run uppercut as its owner, or chown it (permission denied)", foreign),
				Threads:  []string{"CapInh= CapPrm= CapEff= CapBnd= CapAmb= NoNewPrivs=1"},
				Log:      `kept=none uid=0 bounding_set_dropped=true`,
			},
		},
		{
			name: "a user with what the unit gives", order: "admin", stateDir: foreign,
			user: []string{"--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+net_admin,+net_bind_service", "--ambient-caps=+net_admin,+net_bind_service"},
			want: privilegesReport{
				Before: true, After: true, Bind: denied,
				Threads: []string{"CapInh= CapPrm=1000 CapEff=1000 CapBnd=" + bounding + " CapAmb= NoNewPrivs=1"},
				Log:     `kept=CAP_NET_ADMIN uid=65534 bounding_set_dropped=false`,
			},
		},
		{
			name: "a user with nothing", order: "admin,bind", stateDir: foreign,
			user: []string{"--reuid=65534", "--regid=65534", "--clear-groups"},
			want: privilegesReport{
				Bind:    denied,
				Threads: []string{"CapInh= CapPrm= CapEff= CapBnd=" + bounding + " CapAmb= NoNewPrivs=1"},
				Log:     `kept=none uid=65534 bounding_set_dropped=false`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			ns := netns.New(t, "powers")
			args := append(test.user, "env", privilegesChild+"="+test.order, binary, test.stateDir)
			out, err := ns.CommandContext(t.Context(), "setpriv", args...).Output()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				t.Fatalf("child: %v\n%s", err, exit.Stderr)
			}
			var got privilegesReport
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("child said %q: %v", out, err)
			}
			_, got.Log, _ = strings.Cut(strings.TrimSpace(got.Log), `msg="privileges dropped" `)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestHasNetAdminOverTheNamespace: root of a user namespace of its own holds
// every capability and yet may not touch the firewall of the host.
func TestHasNetAdminOverTheNamespace(t *testing.T) {
	binary := privilegesBinary(t)
	for name, test := range map[string]struct {
		unshare []string
		want    bool
	}{
		"a user namespace in the host's network":     {[]string{"--user", "--map-root-user"}, false},
		"a user namespace with a network of its own": {[]string{"--user", "--map-root-user", "--net"}, true},
		"the host's user in a network of its own":    {[]string{"--net"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(test.unshare, "env", privilegesChild+"=admin", binary, "/")
			out, err := exec.CommandContext(t.Context(), "unshare", args...).Output()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				t.Fatalf("child: %v\n%s", err, exit.Stderr)
			}
			var got privilegesReport
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("child said %q: %v", out, err)
			}
			if got.Before != test.want || got.After != test.want {
				t.Errorf("hasNetAdmin = %v before dropping and %v after, want %v", got.Before, got.After, test.want)
			}
		})
	}
}

func TestCapabilityNames(t *testing.T) {
	if got := names([]capability{capNetAdmin, capNetBindService, capChown, capSetPCAP, unix.CAP_KILL}); got != "CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_CHOWN CAP_SETPCAP capability 5" {
		t.Errorf("names = %q", got)
	}
}

// On a read-only file system no owner and no mode is to blame.
func TestStateDirOnAReadOnlyFileSystem(t *testing.T) {
	dir := t.TempDir()
	answer := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine, and with it its mounts
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "")
		}
		if err == nil {
			err = checkStateDir(dir)
		}
		answer <- err
	}()
	want := fmt.Sprintf("state_dir: %q is on a read-only file system: remount it writable or choose another directory", dir)
	if err := <-answer; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
