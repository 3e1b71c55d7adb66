package feed

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"uppercut/deploy/netns"
)

// dnsbl is a feed that writes files, and Debian's rbldnsd that answers from them,
// in a namespace.
type dnsbl struct {
	*rig
	ns  *netns.Namespace
	dir string
}

func newDNSBL(t *testing.T, entries ...Entry) *dnsbl {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // rbldnsd runs as a user of its own
			t.Fatal(err)
		}
	}
	c := DefaultConfig()
	c.Zones.Directory, c.Zones.Interval = dir, time.Second
	f, err := New(c, Options{Source: &fakeSource{entries: entries}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	l := &dnsbl{&rig{f, t, nil, ""}, netns.New(t, "dnsbl"), dir}
	l.until("both files are there", func() bool { return l.file("ip4") != "" && l.file("ip6") != "" })
	line := regexp.MustCompile(`(?m)^    (rbldnsd .*)$`).FindSubmatch(readPage(t))
	if line == nil {
		t.Fatal("docs/feed.md has no command line of rbldnsd")
	}
	args := strings.NewReplacer("10.25.0.1/53", "127.0.0.1/53", "/var/lib/rbldns/uppercut", dir, "-c 10", "-c 1", "-f ", "-f -n ").Replace(string(line[1]))
	l.startProgram(strings.Fields(args)...)
	l.until("rbldnsd answers", func() bool { return l.ask("192.0.2.255", dnsmessage.TypeA) != "" })
	return l
}

func readPage(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../docs/feed.md")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (l *dnsbl) startProgram(args ...string) {
	l.t.Helper()
	command := l.ns.Command(args[0], args[1:]...)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if l.t.Failed() {
			l.t.Log(log.String())
		}
	})
}

func (l *dnsbl) file(name string) string {
	text, _ := os.ReadFile(filepath.Join(l.dir, name)) // it is not there yet
	return string(text)
}

func (l *dnsbl) until(what string, ok func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			l.t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}

// ask returns what rbldnsd says of an address: "none", or the answer.
func (l *dnsbl) ask(addr string, kind dnsmessage.Type) string {
	l.t.Helper()
	query := dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName(reversed(addr) + ".bl.example.org."), Type: kind, Class: dnsmessage.ClassINET,
	}}}
	packed, err := query.Pack()
	if err != nil {
		l.t.Fatal(err)
	}
	var answer dnsmessage.Message
	err = l.ns.Do(func() error {
		conn, err := netDial("127.0.0.1:53")
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write(packed); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		buffer := make([]byte, 1500)
		n, err := conn.Read(buffer)
		if err != nil {
			return err
		}
		return answer.Unpack(buffer[:n])
	})
	switch {
	case err != nil:
		return ""
	case len(answer.Answers) == 0:
		return "none"
	}
	switch body := answer.Answers[0].Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(body.A).String()
	case *dnsmessage.TXTResource:
		return strings.Join(body.TXT, "")
	}
	return "something else"
}

// reversed is an address as DNS lists are asked for it.
func reversed(addr string) string {
	a := netip.MustParseAddr(addr)
	var labels []string
	for _, b := range a.AsSlice() {
		if a.Is4() {
			labels = append([]string{fmt.Sprint(b)}, labels...)
		} else {
			labels = append([]string{fmt.Sprintf("%x.%x", b&15, b>>4)}, labels...)
		}
	}
	return strings.Join(labels, ".")
}

// TestRealRbldnsd: Debian's rbldnsd answers what the list says, and a real sendmail
// that asks it, by the recipe of docs/sendmail.md, refuses IPv6 clients, too.
func TestRealRbldnsd(t *testing.T) {
	one, six := entry(1, "192.0.2.7/32", time.Hour), entry(3, "2001:db8:1:2::/64", 0)
	l := newDNSBL(t, one, entry(2, "198.51.100.0/24", 0), six)
	for addr, listed := range map[string]bool{
		"192.0.2.7": true, "192.0.2.8": false, "198.51.100.99": true, "2001:db8:1:2::99": true, "2001:db8:1:3::99": false,
	} {
		want := map[bool]string{true: "127.0.0.2", false: "none"}[listed]
		if got := l.ask(addr, dnsmessage.TypeA); got != want {
			t.Errorf("%s: %q, want %s", addr, got, want)
		}
	}
	if got := l.ask("192.0.2.7", dnsmessage.TypeTXT); got != "192.0.2.7 is blocked by uppercut" {
		t.Errorf("TXT: %q", got)
	}
	l.testSendmail(t)
	l.mirror.replace(func(yield func(Entry) bool) { yield(six) }, time.Now())
	l.until("the block has ended for rbldnsd, too", func() bool { return l.ask("192.0.2.7", dnsmessage.TypeA) == "none" })
	if got := l.ask("2001:db8:1:2::99", dnsmessage.TypeA); got != "127.0.0.2" {
		t.Errorf("another block: %q", got)
	}
	l.mirror.replace(func(func(Entry) bool) {}, time.Now())
	l.until("the list is empty for rbldnsd, too", func() bool { return l.ask("2001:db8:1:2::99", dnsmessage.TypeA) == "none" })
}

func (l *dnsbl) testSendmail(t *testing.T) {
	page, err := os.ReadFile("../../../docs/sendmail.md")
	if err != nil {
		t.Fatal(err)
	}
	recipe := regexp.MustCompile("(?s)```m4\n(LOCAL_CONFIG.*?)```").FindSubmatch(page)
	if recipe == nil {
		t.Fatal("docs/sendmail.md has no recipe")
	}
	dir := t.TempDir()
	text := "define(`_CF_DIR_', `/usr/share/sendmail/cf/')include(`/usr/share/sendmail/cf/m4/cf.m4')\nOSTYPE(`debian')\n" +
		"FEATURE(`dnsbl', `bl.example.org')\nMAILER(`smtp')\n" + strings.ReplaceAll(string(recipe[1]), "zen.example.org", "bl.example.org")
	mc, cf, resolver := filepath.Join(dir, "sendmail.mc"), filepath.Join(dir, "sendmail.cf"), filepath.Join(dir, "resolv.conf")
	for path, text := range map[string]string{mc: text, resolver: "nameserver 127.0.0.1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // for sendmail's user
			t.Fatal(err)
		}
	}
	made, err := exec.CommandContext(t.Context(), "m4", mc).Output()
	if err != nil || os.WriteFile(cf, made, 0o644) != nil { //nolint:gosec // likewise
		t.Fatalf("m4: %v", err)
	}
	for client, refused := range map[string]bool{
		"192.0.2.7": true, "192.0.2.8": false, "IPv6:2001:db8:1:2:0:0:0:7": true, "IPv6:2001:db8:1:3:0:0:0:7": false,
	} {
		sendmail := l.ns.CommandContext(t.Context(), "unshare", "--mount", "--uts", "sh", "-c",
			`mount --bind "$1" /etc/resolv.conf && hostname mx1.example.org && exec /usr/sbin/sendmail -C "$0" -bt`, cf, resolver)
		sendmail.Stdin = strings.NewReader(".D{client_addr}" + client + "\nLocal_check_relay x\nBasic_check_relay x\n")
		out, err := sendmail.CombinedOutput()
		if err != nil || strings.Contains(string(out), "$# error $@ 5 . 7 . 1") != refused {
			t.Errorf("%s: refused should be %v: %v\n%s", client, refused, err, out)
		}
	}
}

// Files that cannot be written leave the old ones, and are tried again.
func TestZonesThatCannotBeWritten(t *testing.T) {
	f := &Feed{config: DefaultConfig(), mirror: newMirror(), logger: discard, metrics: newMetrics(nil, nil)}
	f.config.Zones.Directory = filepath.Join(t.TempDir(), "missing")
	if f.writeZones() {
		t.Error("written to a directory that is not there")
	}
	if err := os.Mkdir(f.config.Zones.Directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if !f.writeZones() {
		t.Error("not written")
	}
	left, err := os.ReadDir(f.config.Zones.Directory)
	if err != nil || len(left) != 2 {
		t.Errorf("%v: %v, want ip4 and ip6 only", err, left)
	}
}

func TestZoneMistakes(t *testing.T) {
	for want, change := range map[string]func(*ZoneConfig){
		"zones.directory: \"here\"": func(c *ZoneConfig) { c.Directory = "here" },
		"zones.directory: stat":     func(c *ZoneConfig) { c.Directory = "/nowhere" },
		"zones.interval":            func(c *ZoneConfig) { c.Interval = time.Millisecond },
		"zones.ttl":                 func(c *ZoneConfig) { c.TTL = 0 },
		"zones.text":                func(c *ZoneConfig) { c.Text = "two\nlines" },
	} {
		c := DefaultConfig()
		c.Zones.Directory = t.TempDir()
		change(&c.Zones)
		err := c.Validate()
		if err == nil {
			err = c.CheckFiles()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
