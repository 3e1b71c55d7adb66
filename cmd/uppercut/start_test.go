package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// ask runs a command of ours and returns what it says and its exit code.
func (p *post) ask(args ...string) (said string, code int) {
	p.t.Helper()
	out, err := p.net.CommandContext(p.t.Context(), p.program, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	netns.Must(p.t, err)
	return string(out), 0
}

// drops tells whether the kernel drops an address.
func (p *post) drops(address string) bool {
	p.t.Helper()
	out, err := p.net.Run("nft", "list", "set", "inet", "uppercut", "block4")
	netns.Must(p.t, err)
	return strings.Contains(out, address)
}

// startBlocking starts the appliance and blocks an address by hand.
func (p *post) startBlocking(address string) {
	p.t.Helper()
	p.start()
	if said, code := p.ask("--config", filepath.Join(p.dir, "uppercut.yaml"), "block", address); code != 0 {
		p.t.Fatal(said)
	}
}

// A start that fails leaves the kernel the blocks of the ledger that it did not
// read.
func TestFailedStartTouchesNoBlock(t *testing.T) {
	p := newPost(t)
	p.startBlocking("203.0.113.9")
	p.end(syscall.SIGTERM)
	occupied, err := p.net.Listen("tcp", "127.0.0.1:9514")
	netns.Must(t, err)
	defer occupied.Close()
	const free = "\nweb: {listen: 127.0.0.1:9515}\n"
	long := filepath.Join(p.dir, strings.Repeat("x", 100)) // longer than a socket's path may be
	for _, test := range []struct{ name, stateDir, more, want string }{
		{"no web configuration", "other", "\nweb: {config_file: /nonexistent}\n", "web.config_file"},
		{"address of the page in use", "other", "", "web.listen"},
		{"no control socket", long, free, "control socket"},
		{"address of a listener in use", "other", strings.Replace(free, "}", "}\nreceiver: {tcp: [\"127.0.0.1:9514\"]}", 1), "receiver.tcp[0]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(p.dir, "failing.yaml")
			writeFile(t, file, "mode: enforce"+test.more)
			stateDir := test.stateDir
			if !filepath.IsAbs(stateDir) {
				stateDir = filepath.Join(p.dir, stateDir)
			}
			said, code := p.ask("--config", file, "--state-dir", stateDir, "serve")
			if code != 1 || !strings.Contains(said, test.want) {
				t.Errorf("exit code %d, it says\n%s\nand nothing of %s", code, said, test.want)
			}
			if !p.drops("203.0.113.9") {
				t.Error("the block has gone from the kernel")
			}
			if _, err := os.Stat(filepath.Join(stateDir, "control.sock")); err == nil {
				t.Error("a socket is left behind")
			}
		})
	}
}

// A mistake that somebody writes into the file of a running appliance keeps
// nobody from asking it and from undoing.
func TestUndoWithBrokenFile(t *testing.T) {
	p := newPost(t)
	config := filepath.Join(p.dir, "uppercut.yaml")
	p.startBlocking("203.0.113.9")
	writeFile(t, config, "mode: foo\nstate_dir: "+p.dir+"/state\n")
	for _, command := range [][]string{{"health"}, {"status"}, {"blocks"}, {"unblock", "203.0.113.9"}, {"flush"}, {"resume"}} {
		said, code := p.ask(append([]string{"--config", config}, command...)...)
		if code != 0 || !strings.Contains(said, `uppercut.yaml:1: mode: "foo" is neither enforce nor observe`) {
			t.Errorf("%s: exit code %d, it says\n%s", command, code, said)
		}
	}
	if p.drops("203.0.113.9") {
		t.Error("the block is still in the kernel")
	}
	p.end(syscall.SIGTERM)
	if said, code := p.ask("--config", config, "flush"); code != 0 {
		t.Errorf("flush without an appliance: exit code %d, it says\n%s", code, said)
	}
	if tables, err := p.net.Run("nft", "list", "tables"); err != nil || tables != "" {
		t.Errorf("tables after the flush: %q, %v", tables, err)
	}
}

// A second uppercut in a network namespace would remove the blocks of the
// first, and a flush that does not find it would say what is not so. Whoever
// may not run one keeps nobody from starting.
func TestSecondAppliance(t *testing.T) {
	p := newPost(t)
	p.startBlocking("203.0.113.9")
	second, other := filepath.Join(p.dir, "second.yaml"), filepath.Join(p.dir, "other")
	writeFile(t, second, "web: {listen: \"127.0.0.1:9515\"}\nreceiver: {udp: [], tcp: []}\n")
	want := fmt.Sprintf("uppercut: firewall: process %d (user 0) is an uppercut that already enforces in this network namespace: "+
		"name its state directory (--state-dir) to ask it, or stop it\n", p.cmd.Process.Pid)
	for _, command := range []string{"serve", "flush"} {
		said, code := p.ask("--config", second, "--state-dir", other, command)
		if code != 1 || !strings.HasSuffix(said, want) {
			t.Errorf("%s: exit code %d, it says\n%s\nand not\n%s", command, code, said, want)
		}
	}
	if !p.drops("203.0.113.9") {
		t.Error("the block has gone from the kernel")
	}
	p.end(syscall.SIGTERM)

	const claimName = "@uppercut/inet/uppercut" // see appliance/claim.go
	squatter := p.net.Command("setpriv", "--reuid=4711", "--clear-groups", "systemd-socket-activate", "-l", claimName, "sleep", "1000")
	netns.Must(t, squatter.Start())
	t.Cleanup(func() { _ = squatter.Process.Kill(); _ = squatter.Wait() })
	waitFor(t, 10*time.Second, "somebody else has the name", func() bool {
		sockets, err := p.net.Run("ss", "-xlH")
		return err == nil && strings.Contains(sockets, claimName)
	})
	p.start()
	p.end(syscall.SIGTERM) // so that its log is whole
	if !strings.Contains(p.log.String(), "cannot detect a second uppercut") {
		t.Errorf("no warning:\n%s", p.log.String())
	}
}

// What a start without a configuration file prints as the next steps can be
// pasted, whatever was said on the command line and in the environment.
func TestNextStepsWork(t *testing.T) {
	p := newPost(t)
	cmd := p.net.Command(p.program, "--state-dir", filepath.Join(p.dir, "other"), "serve")
	cmd.Env = append(os.Environ(), "UPPERCUT_RECEIVER_UDP=[]", "UPPERCUT_RECEIVER_TCP=0.0.0.0:5515")
	said, err := os.Create(filepath.Join(p.dir, "said"))
	netns.Must(t, err)
	defer said.Close()
	cmd.Stdout = said
	netns.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitFor(t, 30*time.Second, "uppercut is ready", func() bool {
		_, err := p.get("/-/ready")
		return err == nil
	})
	text := readFile(t, said.Name())
	if !strings.Contains(text, "uppercut runs without a configuration file, mode enforce") {
		t.Errorf("it says\n%s", text)
	}
	report, rest, _ := strings.Cut(text[strings.Index(text, "  for pid in"):], "done\n")
	rest, _, _ = strings.Cut(rest, "\n\n")
	_, err = p.net.Run("sh", "-ec", report+"done")
	netns.Must(t, err)
	waitFor(t, 10*time.Second, "the client is blocked", func() bool { return p.drops("203.0.113.9") })
	if strings.Count(rest, "203.0.113.9") != 2 {
		t.Errorf("the next steps are\n%s", rest)
	}
	_, err = p.net.Run("sh", "-ec", rest)
	netns.Must(t, err)
	if p.drops("203.0.113.9") {
		t.Error("the block is still in the kernel")
	}
}

// A reload refuses what check refuses, and a changed web configuration file,
// which takes a restart.
func TestReloadReadsFiles(t *testing.T) {
	p := newPost(t)
	config := filepath.Join(p.dir, "uppercut.yaml")
	before := readFile(t, config)
	users := filepath.Join(p.dir, "web.yml")
	writeFile(t, users, "basic_auth_users: {}\n")
	p.start()
	for _, test := range []struct{ more, want string }{
		{"enforcer: {allow: [\"file:/nonexistent\"]}\n", "enforcer.allow[0]: stat /nonexistent: no such file or directory"},
		{"web: {config_file: " + users + "}\n", "web.config_file: changed; this needs a restart"},
	} {
		writeFile(t, config, before+test.more)
		netns.Must(t, p.cmd.Process.Signal(syscall.SIGHUP))
		waitFor(t, 10*time.Second, test.want, func() bool {
			said, _ := p.ask("--config", config, "status")
			return strings.Contains(said, test.want)
		})
	}
}

// The log says where syslog is heard, and who ended it.
func TestStartAndEndAreLogged(t *testing.T) {
	p := newPost(t)
	p.start()
	p.end(syscall.SIGTERM)
	for _, want := range []string{
		`msg="listening for syslog" transport=udp address=127.0.0.1:5514`, `msg="listening for syslog" transport=tcp address=127.0.0.1:5514`,
		`msg=stopping cause="terminated signal received"`,
	} {
		if n := strings.Count(p.log.String(), want); n != 1 {
			t.Errorf("the log says %s %d times:\n%s", want, n, p.log.String())
		}
	}
}
