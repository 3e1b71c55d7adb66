package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/cmd/uppercut/config"
	"uppercut/deploy/netns"
	"uppercut/enforcer"
)

// staticBinary builds the program as it is shipped.
func staticBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "uppercut")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	openToAll(t, filepath.Dir(binary))
	return binary
}

func TestServeKeepsWhatItsModeNeeds(t *testing.T) {
	binary := staticBinary(t)
	for mode, want := range map[string]string{
		config.ModeEnforce: "CapInh= CapPrm=1000 CapEff=1000 CapBnd=1000 CapAmb= NoNewPrivs=1",
		config.ModeObserve: "CapInh= CapPrm= CapEff= CapBnd= CapAmb= NoNewPrivs=1",
	} {
		t.Run(mode, func(t *testing.T) {
			ns := netns.New(t, "less")
			serve := ns.CommandContext(t.Context(), binary, "serve", "--state-dir", t.TempDir())
			// Of the privileged port, which must be bound before.
			serve.Env = append(os.Environ(), "UPPERCUT_MODE="+mode, "UPPERCUT_RECEIVER_TCP=127.0.0.1:514")
			stderr, err := serve.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := serve.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for scan := bufio.NewScanner(stderr); scan.Scan(); {
				fmt.Fprintln(&said, scan.Text())
				if strings.Contains(scan.Text(), "msg=ready") {
					break
				}
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", serve.Process.Pid))
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			if got := powers(status); got != want {
				t.Errorf("serving with %s, want %s\n%s", got, want, said.String())
			}
			if err := serve.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(stderr); err != nil {
				t.Errorf("%v\n%s", err, rest)
			}
			if err := serve.Wait(); err != nil {
				t.Errorf("serve: %v\n%s", err, said.String())
			}
		})
	}
}

func TestServeRefusesWhatItCouldNotDo(t *testing.T) {
	binary := staticBinary(t)
	foreign := t.TempDir()
	openToAll(t, filepath.Dir(foreign))
	if err := os.Chown(foreign, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		user []string
		want string
	}{
		"root in the directory of somebody else": {
			want: fmt.Sprintf("uppercut: state_dir: %q belongs to user 65534 and user 0 cannot write to it: run uppercut as its owner, or chown it (permission denied)\n", foreign),
		},
		"a user without the capability": {
			user: []string{"--reuid=65534", "--regid=65534", "--clear-groups"},
			want: "uppercut: " + enforcer.ErrPrivilege.Error() + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(test.user, binary, "serve", "--state-dir", foreign)
			out, err := netns.New(t, "less").CommandContext(t.Context(), "setpriv", args...).CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitError {
				t.Errorf("serve: %v", err)
			}
			if !strings.HasSuffix(string(out), test.want) {
				t.Errorf("it said:\n%s\nwant:\n%s", out, test.want)
			}
		})
	}
	if files, err := os.ReadDir(foreign); err != nil || len(files) > 0 {
		t.Errorf("it left %v in a directory of somebody else (%v)", files, err)
	}
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
