package feed

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// gateway is a namespace with the feed in it, and a bouncer.
type gateway struct {
	*rig
	ns *netns.Namespace
}

// documented is a file of docs/feed.md, in a block that begins with a comment
// naming it, with some texts replaced.
func documented(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/feed.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n# "+name+"\n")
	file, _, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		t.Fatalf("docs/feed.md shows no %s", name)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(file)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inNamespace starts a feed whose listener is in a namespace of its own.
func inNamespace(t *testing.T, client ClientConfig, source *fakeSource) *gateway {
	t.Helper()
	ns := netns.New(t, "feed")
	c := DefaultConfig()
	c.Listen, c.Clients = "127.0.0.1:0", []ClientConfig{client}
	var r *rig
	netns.Must(t, ns.Do(func() error {
		r = startWith(t, c, source)
		return nil
	}))
	return &gateway{r, ns}
}

// bounce starts Debian's crowdsec-firewall-bouncer with the documented
// configuration, which asks once a second.
func (g *gateway) bounce(t *testing.T) {
	t.Helper()
	config := documented(t, "/etc/crowdsec/bouncers/crowdsec-firewall-bouncer.yaml",
		"http://10.25.0.1:9516/", g.url+"/", "THE KEY", testKey, "10s", "1s", "/var/log/", t.TempDir(), "log_mode: file", "log_mode: stdout")
	command := g.ns.Command("crowdsec-firewall-bouncer", "-c", config)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

// drops returns what the bouncer's tables hold.
func (g *gateway) drops(t *testing.T) string {
	t.Helper()
	out, err := g.ns.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func (g *gateway) eventually(t *testing.T, what string, ok func(rules string) bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok(g.drops(t)) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s\n%s", what, g.drops(t))
		}
		<-tick.C
	}
}

// TestRealBouncer: Debian's firewall bouncer blocks what is on the list, longer
// when a block becomes longer, and no more what is taken off.
func TestRealBouncer(t *testing.T) {
	network := netip.MustParsePrefix("2001:db8:1:2::/64")
	one, forever := entry(1, "192.0.2.7/32", time.Hour), entry(2, "192.0.2.8/32", 0)
	six := entry(3, network.String(), time.Hour)
	source := &fakeSource{
		entries: []Entry{one, forever, six},
		seen:    map[netip.Prefix][]netip.Addr{network: {netip.MustParseAddr("2001:db8:1:2::7")}},
	}
	g := inNamespace(t, ClientConfig{Name: "fw", KeyFile: keyFile(t, testKey), IPv6: "address"}, source)
	g.bounce(t)
	g.eventually(t, "three are blocked", func(rules string) bool {
		return strings.Contains(rules, "192.0.2.7 timeout") && strings.Contains(rules, "192.0.2.8") && strings.Contains(rules, "2001:db8:1:2::7 timeout")
	})
	if rules := g.drops(t); strings.Contains(rules, "2001:db8:1:2:: ") {
		t.Errorf("the network's first address is blocked:\n%s", rules)
	}
	g.refresh(one, entry(2, "192.0.2.8/32", 0), entry(3, network.String(), 5*time.Hour), entry(4, "192.0.2.9/32", time.Hour))
	g.eventually(t, "the longer block, and a new one", func(rules string) bool {
		return strings.Contains(rules, "2001:db8:1:2::7 timeout 4h59m") && strings.Contains(rules, "192.0.2.9")
	})
	g.refresh(one)
	g.eventually(t, "three have ended", func(rules string) bool {
		return strings.Contains(rules, "192.0.2.7") && !strings.Contains(rules, "192.0.2.8") && !strings.Contains(rules, "192.0.2.9") && !strings.Contains(rules, "2001:db8:1:2::7")
	})
	g.eventually(t, "it gets on with another list after an outage", func(string) bool {
		g.cursors.mu.Lock()
		defer g.cursors.mu.Unlock()
		clear(g.cursors.all) // what a restart forgets
		return true
	})
	g.refresh(entry(5, "192.0.2.10/32", time.Hour))
	g.eventually(t, "as the list says", func(rules string) bool {
		return strings.Contains(rules, "192.0.2.10") && !strings.Contains(rules, "192.0.2.7")
	})
	// Packets of a blocked source are dropped, also on the way through.
	netns.Must(t, g.ns.IP("addr add 192.0.2.10/32 dev lo"), g.ns.IP("addr add 192.0.2.11/32 dev lo"))
	for from, want := range map[string]bool{"192.0.2.10": false, "192.0.2.11": true} {
		if got := g.connects(from); got != want {
			t.Errorf("a connection from %s: %t", from, got)
		}
	}
}

func (g *gateway) connects(from string) bool {
	return g.ns.Do(func() error {
		d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", g.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err
	}) == nil
}

// TestDocumentedFetch runs the script of the page against a feed.
func TestDocumentedFetch(t *testing.T) {
	r := start(t, nil, entry(1, "192.0.2.7/32", time.Hour), entry(2, "2001:db8::/64", 0))
	dir := t.TempDir()
	script := documented(t, "/usr/local/sbin/fetch-blocked", "https://gw.example.org:9516", r.url,
		"/etc/uppercut.key", keyFile(t, testKey), "/var/lib/blocked", dir, "--cacert /etc/ssl/uppercut-ca.pem", "")
	for range 2 { // the second time nothing is new
		if out, err := exec.CommandContext(t.Context(), "sh", "-e", script).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got, err := os.ReadFile(filepath.Join(dir, "blocked.txt"))
		if want := "192.0.2.7\n2001:db8::/64\n"; err != nil || string(got) != want {
			t.Errorf("%v: %q", err, got)
		}
	}
	r.refresh()
	if out, err := exec.CommandContext(t.Context(), "sh", "-e", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "blocked.txt")); err != nil || len(got) > 0 {
		t.Errorf("%v: %q, want an empty list", err, got)
	}
}
