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

// TestDNSListsForIPv6 has a real sendmail refuse an IPv6 client by the rules of
// docs/sendmail.md. A file stands for the DNS list.
func TestDNSListsForIPv6(t *testing.T) {
	page, err := os.ReadFile("../../docs/sendmail.md")
	if err != nil {
		t.Fatal(err)
	}
	recipe := regexp.MustCompile("(?s)```m4\n(LOCAL_CONFIG.*?)```").FindSubmatch(page)
	if recipe == nil {
		t.Fatal("the page has no recipe")
	}
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	const listed = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.example.org."
	if err := os.WriteFile(list, []byte(listed+":127.0.0.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules := strings.Replace(string(recipe[1]), "Kdnsbl6 dns -R A -T<TMP>", "Kdnsbl6 text -k0 -v1 -z: "+list, 1)
	if rules == string(recipe[1]) {
		t.Fatal("the recipe asks the DNS in another way")
	}
	mc := filepath.Join(dir, "sendmail.mc")
	text := "define(`_CF_DIR_', `/usr/share/sendmail/cf/')include(`/usr/share/sendmail/cf/m4/cf.m4')\nOSTYPE(`debian')\n" +
		"define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit,GroupWritableDirPathSafe')\nFEATURE(`dnsbl', `bl.example.org')\nMAILER(`smtp')\n" + rules
	if err := os.WriteFile(mc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cf, err := exec.CommandContext(t.Context(), "m4", mc).Output()
	if err != nil {
		t.Fatalf("m4: %v", err)
	}
	file := filepath.Join(dir, "sendmail.cf")
	if err := os.WriteFile(file, cf, 0o600); err != nil {
		t.Fatal(err)
	}
	for client, refused := range map[string]bool{
		"IPv6:2001:db8:1:2:0:0:0:7": true, "IPv6:2001:db8:1:2:0:0:0:8": false, "192.0.2.7": false,
	} {
		// With a name of its own it waits for no name server.
		sendmail := exec.CommandContext(t.Context(), "unshare", "--net", "--uts", "sh", "-c", `hostname mx1.example.org && exec /usr/sbin/sendmail -C "$0" -bt`, file)
		sendmail.Stdin = strings.NewReader(".D{client_addr}" + client + "\nLocal_check_relay client.example $| x\n")
		out, err := sendmail.CombinedOutput()
		if err != nil {
			t.Fatalf("sendmail: %v\n%s", err, out)
		}
		if strings.Contains(string(out), "$# error $@ 5 . 7 . 1") != refused || strings.Contains(string(out), "unsafe map") {
			t.Errorf("%s: refused should be %v\n%s", client, refused, out)
		}
	}
}
