package senders

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSendmailAdvice lets sendmail's own m4 files make of sendmail.mc what
// docs/sendmail.md promises.
func TestSendmailAdvice(t *testing.T) {
	page, err := os.ReadFile("../../docs/sendmail.md")
	if err != nil {
		t.Fatal(err)
	}
	advice := regexp.MustCompile("(?s)```m4\n(.*?)```").FindSubmatch(page)
	if advice == nil {
		t.Fatal("the page has no block of m4")
	}
	dir := t.TempDir()
	mc := filepath.Join(dir, "sendmail.mc")
	text := "define(`_CF_DIR_', `/usr/share/sendmail/cf/')include(`/usr/share/sendmail/cf/m4/cf.m4')\nOSTYPE(`debian')\n" + string(advice[1]) + "MAILER(`smtp')\n"
	if err := os.WriteFile(mc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cf, err := exec.CommandContext(t.Context(), "m4", mc).Output()
	if err != nil {
		t.Fatalf("m4: %v", err)
	}
	for _, option := range []string{"\nO LogLevel=10\n", "\nO BadRcptThrottle=5\n"} {
		if !strings.Contains(string(cf), option) {
			t.Errorf("sendmail.cf has no %q", strings.TrimSpace(option))
		}
	}
}
