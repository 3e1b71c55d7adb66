package ansible

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uppercut/deploy/sandbox"
	"uppercut/deploy/senders"
)

func TestLint(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "ansible-lint", "--offline", "--nocolor", "--strict", "--profile", "production").CombinedOutput()
	if err != nil {
		t.Errorf("ansible-lint: %v\n%s", err, out)
	}
}

// newHost is a mail host with the role in /ansible: rsyslog as Debian sets it
// up, but for the kernel's log, which is not the host's own, and for the file
// that names this machine's rsyslogd: it would be stopped in its place.
func newHost(t *testing.T) sandbox.Machine {
	t.Helper()
	m := sandbox.New(t)
	// With what the links of the role lead to.
	tree, err := exec.CommandContext(t.Context(), "tar", "--create", "--dereference", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	m.Do(t, "mkdir", "/ansible")
	unpack := m.Command(t, "tar", "--extract", "--directory", "/ansible")
	unpack.Stdin = bytes.NewReader(tree)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack the role: %v\n%s", err, out)
	}
	m.Do(t, "rm", "-rf", "/etc/rsyslog.d/90-uppercut.conf", "/var/lib/uppercut", "/etc/uppercut", "/run/rsyslogd.pid")
	m.Do(t, "sed", "-i", "/imklog/d", "/etc/rsyslog.conf")
	return m
}

// play runs a playbook on the host and returns what it prints.
func play(t *testing.T, m sandbox.Machine, args ...string) string {
	t.Helper()
	return m.Do(t, "env", append([]string{"-C", "/ansible", "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=false", "ansible-playbook"}, args...)...)
}

// recap matches the last line of a run in which everything went well.
func recap(changed string) *regexp.Regexp {
	return regexp.MustCompile(`localhost +: ok=\d+ +changed=` + changed + ` +unreachable=0 +failed=0 `)
}

// TestRole lets the role set a host up: its rsyslogd takes the configuration, is
// restarted and forwards to a real uppercut. A second run changes nothing.
func TestRole(t *testing.T) {
	m := newHost(t)
	m.Copy(t, "testdata/init", "/etc/init.d/rsyslog")
	m.Do(t, "chmod", "755", "/etc/init.d/rsyslog")
	m.Do(t, "service", "rsyslog", "start")
	t.Cleanup(func() { m.Do(t, "service", "rsyslog", "stop") })
	serve(t, m)

	if out := play(t, m, "testdata/forward.yml"); !recap("2").MatchString(out) {
		t.Errorf("the first run should write the file and restart rsyslog:\n%s", out)
	}
	m.Do(t, "rsyslogd", "-N1")
	m.Do(t, "logger", "-p", "mail.info", "-t", "sm-mta", "--id=4711",
		"6ANJY8aV000052: ruleset=check_rcpt, arg1=<a@example.net>, relay=[198.51.100.49], reject=550 5.7.1 <a@example.net>... Relaying denied")
	await(t, m, "uppercut", "the line arrives", func(out string) bool { return strings.Contains(out, "relay_denied") }, "why", "198.51.100.49")

	if out := play(t, m, "testdata/forward.yml"); !recap("0").MatchString(out) {
		t.Errorf("the second run changed something:\n%s", out)
	}
}

// serve runs uppercut on the host, observing.
func serve(t *testing.T, m sandbox.Machine) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "uppercut")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "uppercut/cmd/uppercut")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build uppercut: %v\n%s", err, out)
	}
	m.Copy(t, binary, "/usr/bin/uppercut")
	uppercut := m.Command(t, "uppercut", "serve")
	uppercut.Env = append(uppercut.Env, "UPPERCUT_MODE=observe")
	var log strings.Builder
	uppercut.Stderr = &log
	if err := uppercut.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = uppercut.Process.Signal(os.Interrupt)
		_ = uppercut.Wait()
		if t.Failed() {
			t.Logf("uppercut said:\n%s", log.String())
		}
	})
	await(t, m, "uppercut", "it is healthy", func(out string) bool { return !strings.Contains(out, "not running") }, "health")
}

// await runs a program on the host until its output is right.
func await(t *testing.T, m sandbox.Machine, program, what string, right func(string) bool, args ...string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, _ := m.Try(t, program, args...)
		if right(out) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %s", what, out)
		case <-tick.C:
		}
	}
}

// TestRoleWritesWhatSenderConfigPrints for every program and transport, byte by
// byte; every second with a port of its own.
func TestRoleWritesWhatSenderConfigPrints(t *testing.T) {
	m := newHost(t)
	var items strings.Builder
	want := map[string]string{}
	for _, program := range []string{"rsyslog", "syslog-ng"} {
		for i, transport := range senders.Transports() {
			o := senders.Options{Host: "mx7.example.net", Collector: "log.example.net", Transport: transport, SyslogNG: program == "syslog-ng"}
			if i%2 == 0 {
				o.Port = "7777"
			}
			text, err := senders.Config(o)
			if err != nil {
				continue // it cannot send over that
			}
			path := "/written/" + program + "-" + transport
			want[path] = text
			fmt.Fprintf(&items, "        - {path: %q, program: %q, transport: %q, port: %q}\n", path, program, transport, o.Port)
		}
	}
	m.Write(t, "/ansible/written.yml", writeAll+items.String(), 0o644)
	m.Do(t, "mkdir", "/written")
	play(t, m, "written.yml")
	for path, text := range want {
		if diff := cmp.Diff(text, m.Do(t, "cat", path)); diff != "" {
			t.Errorf("%s (- sender-config, + role):\n%s", path, diff)
		}
	}
	if len(want) != 8 {
		t.Errorf("%d files", len(want))
	}
}

// writeAll writes a file for each item that follows, and restarts nothing.
const writeAll = `---
- name: Every file
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Write one
      ansible.builtin.include_role: {name: uppercut_sender, tasks_from: write}
      vars:
        uppercut_sender_collector: log.example.net
        uppercut_sender_host: mx7.example.net
        uppercut_sender_path: "{{ item.path }}"
        uppercut_sender_program: "{{ item.program }}"
        uppercut_sender_transport: "{{ item.transport }}"
        uppercut_sender_port: "{{ item.port }}"
      loop: "{{ files }}"
    - name: Leave the log daemon alone
      ansible.builtin.meta: end_play
  vars:
    files:
`

// TestRoleOnAHostThatLoadsImpstats: rsyslog takes it once only; what is written is
// what sender-config prints for such a host.
func TestRoleOnAHostThatLoadsImpstats(t *testing.T) {
	for name, theirs := range map[string]string{
		"rsyslog.d": "module(load=\"impstats\" interval=\"600\")\n",
		"legacy":    "$ModLoad impstats\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := newHost(t)
			m.Write(t, "/etc/rsyslog.d/10-counts.conf", theirs, 0o644)
			m.Write(t, "/etc/rsyslog.d/11-none.conf", "# module(load=\"impstats\") is above\n", 0o644)
			args := []string{"-C", "/ansible", "LC_ALL=C.UTF-8", "ansible-playbook", "testdata/forward.yml", "-e", "uppercut_sender_packages=false"}
			out, _ := m.Try(t, "env", args...) // there is no rsyslogd to restart
			want, err := senders.Config(senders.Options{Host: "mx1.example.net", Collector: "127.0.0.1", Transport: "tcp", WithoutImpstats: true})
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Try(t, "cat", "/etc/rsyslog.d/90-uppercut.conf")
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v (- sender-config, + role):\n%s\n%s", err, diff, out)
			}
			m.Do(t, "rsyslogd", "-N1")
		})
	}
}

// What cannot be is refused before anything is written.
func TestRoleRefuses(t *testing.T) {
	m := newHost(t)
	for _, wrong := range []string{
		`{"uppercut_sender_collector": "log\" x=\""}`,
		"uppercut_sender_program=syslog-ng uppercut_sender_transport=relp",
	} {
		out, err := m.Try(t, "env", "-C", "/ansible", "LC_ALL=C.UTF-8", "ANSIBLE_GATHERING=explicit", "ansible-playbook", "testdata/forward.yml", "-e", wrong)
		if err == nil || !strings.Contains(out, "must name the collector") {
			t.Errorf("%s: %v\n%s", wrong, err, out)
		}
	}
	if _, err := m.Try(t, "test", "-e", "/etc/rsyslog.d/90-uppercut.conf"); err == nil {
		t.Error("a file was written all the same")
	}
}

// TestRoleTakesBackWhatDoesNotFit: the log daemon would not start with it.
func TestRoleTakesBackWhatDoesNotFit(t *testing.T) {
	m := newHost(t)
	m.Write(t, "/etc/rsyslog.d/10-broken.conf", "module(load=\"nonesuch\"\n", 0o644)
	for run := range 2 {
		out, err := m.Try(t, "env", "-C", "/ansible", "LC_ALL=C.UTF-8", "ansible-playbook", "testdata/forward.yml", "-e", "uppercut_sender_packages=false")
		if err == nil || !strings.Contains(out, "error during parsing file") {
			t.Errorf("run %d: %v\n%s", run, err, out)
		}
		if _, err := m.Try(t, "test", "-e", "/etc/rsyslog.d/90-uppercut.conf"); err == nil {
			t.Errorf("run %d: the file is still there", run)
		}
	}
}
