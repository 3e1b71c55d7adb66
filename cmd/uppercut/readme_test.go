package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/cmd/uppercut/config"
	"uppercut/receiver"
)

// readmeBlock returns the fenced block of a language in the README.
func readmeBlock(t *testing.T, language string) string {
	t.Helper()
	text := readFile(t, "../../README.md")
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("README has no block of %s", language)
	}
	return m[1]
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The configuration in the README is valid, and nothing is warned of.
func TestReadmeConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uppercut.yaml")
	writeFile(t, file, readmeBlock(t, "yaml"))
	c, err := config.Source{File: file}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings()) > 0 || len(c.Receiver.TCP) != 1 || len(c.Enforcer.Allow) != 1 {
		t.Errorf("it means something else: %+v, warnings %v", c, c.Warnings())
	}
}

// Every make target that the README names exists.
func TestReadmeTargets(t *testing.T) {
	makefile := readFile(t, "../../Makefile")
	for _, m := range regexp.MustCompile(`\bmake ([a-z]+)`).FindAllStringSubmatch(readFile(t, "../../README.md"), -1) {
		if m[1] != "and" && !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("make %s: no such target", m[1])
		}
	}
}

// sendmailLines runs a receiver until the test ends and hands on what comes with
// sendmail's tag, up to ten messages.
func sendmailLines(t *testing.T, config receiver.Config) (*receiver.Receiver, <-chan receiver.Message) {
	t.Helper()
	got := make(chan receiver.Message, 10)
	r, err := receiver.New(config, receiver.Options{Handle: func(batch []receiver.Message, _, _ func()) {
		for _, m := range batch {
			if m.Tag == "sm-mta" {
				got <- m
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- r.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	return r, got
}

// A real rsyslogd with the lines of the README forwards a mail host's log.
func TestReadmeRsyslog(t *testing.T) {
	config := receiver.DefaultConfig()
	config.UDP, config.TCP = nil, []string{"127.0.0.1:0"}
	r, got := sendmailLines(t, config)
	_, port, err := net.SplitHostPort(r.Addrs(receiver.TCP)[0].String())
	if err != nil {
		t.Fatal(err)
	}
	snippet := readmeBlock(t, "rsyslog")
	here := strings.Replace(snippet, `target="10.25.0.1" port="5514"`, fmt.Sprintf("target=%q port=%q", "127.0.0.1", port), 1)
	if here == snippet {
		t.Fatal("the README forwards to another address than 10.25.0.1:5514")
	}
	log := startReadmeRsyslog(t, here)
	if _, err := log.Write([]byte("<22>" + time.Now().Format(time.Stamp) + " sm-mta[4711]: hello")); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-got:
		if m.PID != 4711 || m.Text != "hello" {
			t.Errorf("received %+v", m)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was forwarded")
	}
}

// startReadmeRsyslog runs rsyslogd with these rules and returns its log socket.
func startReadmeRsyslog(t *testing.T, rules string) net.Conn {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "log")
	writeFile(t, filepath.Join(dir, "rsyslog.conf"), fmt.Sprintf(`
global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q)
%s`, dir, socket, rules))
	cmd := exec.Command("rsyslogd", "-n", "-f", filepath.Join(dir, "rsyslog.conf"), "-i", filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	var c net.Conn
	waitFor(t, 10*time.Second, "rsyslogd listens", func() (ok bool) {
		var err error
		c, err = net.Dial("unixgram", socket)
		return err == nil
	})
	return c
}
