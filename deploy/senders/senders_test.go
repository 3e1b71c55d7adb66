package senders

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for _, syslogNG := range []bool{false, true} {
		for _, transport := range Transports() {
			o := Options{Host: "mx7.example.net", Collector: "log.example.net", Port: "7777", Transport: transport, SyslogNG: syslogNG}
			text, err := Config(o)
			if syslogNG && strings.HasPrefix(transport, "relp") {
				if err == nil || !strings.Contains(err.Error(), "syslog-ng cannot send over relp") {
					t.Errorf("%+v: error %v", o, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, "example.org") || !strings.Contains(text, "log.example.net") || !strings.Contains(text, "7777") {
				t.Errorf("%+v: not all names and ports are replaced:\n%s", o, text)
			}
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, o := range []Options{
		{Host: "mx1", Collector: "log", Transport: "http"},
		{Host: `mx1" x="`, Collector: "log", Transport: "tcp"},
		{Host: "mx1", Collector: "", Transport: "tcp"},
		{Host: "mx1", Collector: "log\nx", Transport: "tcp"},
		{Host: "mx1", Collector: "log", Transport: "tcp", Port: "0x1"},
	} {
		if text, err := Config(o); err == nil {
			t.Errorf("%+v: %s", o, text)
		}
	}
}

// TestRsyslogAccepts lets rsyslogd itself check the texts.
func TestRsyslogAccepts(t *testing.T) {
	for _, transport := range Transports() {
		text, err := Config(Options{Host: "mx1.example.org", Collector: "collector.example.org", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, name := range []string{"ca.pem", "mx1.example.org.pem", "mx1.example.org.key"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text = strings.ReplaceAll(text, "/etc/rsyslog.d/tls", dir) + moreRules(t)
		file := filepath.Join(dir, "rsyslog.conf")
		if err := os.WriteFile(file, []byte(`global(workDirectory="`+dir+`")`+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("rsyslogd", "-N1", "-f", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), "error") {
			t.Errorf("%s: %v\n%s", transport, err, out)
		}
		// On a host that loads impstats already.
		theirs := `module(load="impstats" interval="600")` + "\n"
		text, err = Config(Options{Host: "mx1.example.org", Collector: "collector.example.org", Transport: transport, WithoutImpstats: true})
		if err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, "/etc/rsyslog.d/tls", dir)
		if err := os.WriteFile(file, []byte(`global(workDirectory="`+dir+`")`+"\n"+theirs+text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err = exec.Command("rsyslogd", "-N1", "-f", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), "error") {
			t.Errorf("%s beside impstats: %v\n%s", transport, err, out)
		}
	}
}

// TestNothingWaitsForTheCollector: each action has a queue of its own, which
// drops what does not fit. Otherwise the host's own log files wait, and then
// all its programs do.
func TestNothingWaitsForTheCollector(t *testing.T) {
	for _, transport := range Transports() {
		text, err := Config(Options{Host: "mx1.example.org", Collector: "collector.example.org", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range []string{`queue.type="LinkedList"`, `queue.timeoutEnqueue="0"`} {
			if !strings.Contains(text, setting) {
				t.Errorf("%s: no %s", transport, setting)
			}
		}
	}
}

// moreRules are what docs/openssh.md and others add to forward the lines of more
// programs.
func moreRules(t *testing.T) (rules string) {
	t.Helper()
	for _, program := range []string{"openssh", "dovecot", "exim"} {
		page, err := os.ReadFile("../../docs/" + program + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, rule, _ := strings.Cut(string(page), "```\nif $programname")
		rule, _, found := strings.Cut(rule, "```")
		if !found {
			t.Fatalf("docs/%s.md has no rule for rsyslog", program)
		}
		rules += "if $programname" + rule
	}
	return rules
}
