package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// gateway is a small Internet: clients with any address on one side, a mail
// host with a real rsyslogd on the other, uppercut on the gateway between.
type gateway struct {
	net, gw, mx *netns.Namespace
	dir         string
	config      string
}

const (
	mailHost4 = "10.25.0.11"
	mailHost6 = "fd25::11"
)

// newGateway lays the network; nothing runs yet but the mail host's port 25.
func newGateway(t *testing.T, clients ...string) *gateway {
	t.Helper()
	g := &gateway{net: netns.New(t, "net"), gw: netns.New(t, "gw"), mx: netns.New(t, "mx"), dir: t.TempDir()}
	netns.Must(t,
		netns.Cable(
			netns.End{In: g.net, Device: "eth0", Addresses: []string{"10.99.0.2/24", "fd99::2/64"}},
			netns.End{In: g.gw, Device: "wan", Addresses: []string{"10.99.0.1/24", "fd99::1/64"}}),
		netns.Cable(
			netns.End{In: g.mx, Device: "eth0", Addresses: []string{mailHost4 + "/24", mailHost6 + "/64"}},
			netns.End{In: g.gw, Device: "lan", Addresses: []string{"10.25.0.1/24", "fd25::1/64"}}),
		g.gw.Sysctl("net.ipv4.ip_forward", "1"), g.gw.Sysctl("net.ipv6.conf.all.forwarding", "1"),
		g.net.IP("route add 10.25.0.0/24 via 10.99.0.1", "route add fd25::/64 via fd99::1"),
		g.mx.IP("route add default via 10.25.0.1", "-6 route add default via fd25::1"))
	for _, client := range clients {
		addr := netip.MustParseAddr(client)
		host := fmt.Sprintf("%s/%d", addr, addr.BitLen())
		via := "10.99.0.2"
		if addr.Is6() {
			via = "fd99::2"
		}
		netns.Must(t, g.net.IP("addr add "+host+" dev lo"), g.gw.IP("route add "+host+" via "+via))
	}
	g.listenSMTP(t)
	return g
}

// listenSMTP greets whoever connects to port 25 of the mail host.
func (g *gateway) listenSMTP(t *testing.T) {
	t.Helper()
	l, err := g.mx.Listen("tcp", "[::]:25")
	netns.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 mx ESMTP\r\n")
			c.Close()
		}
	}()
}

// connect dials the mail host's port 25 from a client's address and reads the
// greeting.
func (g *gateway) connect(t *testing.T, client string, timeout time.Duration) error {
	t.Helper()
	server := mailHost4
	if strings.Contains(client, ":") {
		server = mailHost6
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: timeout}
	c, err := g.net.Dial(t.Context(), &d, "tcp", net.JoinHostPort(server, "25"))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	_, err = io.ReadFull(c, make([]byte, 4))
	return err
}

// pings tells whether the gateway answers a client's ping.
func (g *gateway) pings(t *testing.T, client string) bool {
	t.Helper()
	target := "10.99.0.1"
	if strings.Contains(client, ":") {
		target = "fd99::1"
	}
	return g.net.CommandContext(t.Context(), "ping", "-c1", "-W1", "-I", client, target).Run() == nil
}

// serve starts uppercut on the gateway and waits until it is ready.
func (g *gateway) serve(t *testing.T, yaml string) *exec.Cmd {
	t.Helper()
	g.config = filepath.Join(g.dir, "uppercut.yaml")
	writeFile(t, g.config, yaml)
	cmd := g.uppercut(t, "serve")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			t.Logf("uppercut said:\n%s", log.String())
		}
	})
	waitFor(t, 20*time.Second, "uppercut is ready", func() bool {
		select {
		case <-exited:
			t.Fatalf("uppercut ended: %s", log.String())
		default:
		}
		status, _ := g.get(t, "/-/ready")
		return status == http.StatusOK
	})
	return cmd
}

// uppercut prepares a command of ours on the gateway.
func (g *gateway) uppercut(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("uppercut")
	if err != nil {
		t.Fatal(err)
	}
	cmd := g.gw.Command(program, append([]string{"--config", g.config}, args...)...)
	cmd.Dir = g.dir
	return cmd
}

// get asks the web listener on the gateway's loopback.
func (g *gateway) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return g.getAs(t, nil, path)
}

// client asks from the gateway itself.
func (g *gateway) client() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return g.gw.Dial(ctx, new(net.Dialer), network, addr)
		},
	}}
}

// getAs asks as a user of the page.
func (g *gateway) getAs(t *testing.T, user *url.Userinfo, path string) (status int, body string) {
	t.Helper()
	target := url.URL{Scheme: "http", Host: "127.0.0.1:9514", User: user}
	resp, err := g.client().Get(target.String() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// rsyslogd starts a real one on the mail host that forwards to the gateway and
// returns a function that logs a line as sendmail would.
func (g *gateway) rsyslogd(t *testing.T, forward string) (logLine func(pid int, text string)) {
	t.Helper()
	dir, err := os.MkdirTemp(g.dir, "rsyslog")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "log")
	writeFile(t, filepath.Join(dir, "rsyslog.conf"), fmt.Sprintf(`
global(workDirectory=%q localHostname="mx1")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0")
action(type="omfwd" target="10.25.0.1" port="5514" %s action.resumeRetryCount="-1" action.resumeInterval="1")
`, dir, socket, forward))
	cmd := g.mx.CommandContext(t.Context(), "rsyslogd", "-n", "-f", filepath.Join(dir, "rsyslog.conf"), "-i", filepath.Join(dir, "pid"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Wait(); t.Failed() {
			t.Logf("rsyslogd: %v: %s", err, log.String())
		}
	})
	var c net.Conn
	waitFor(t, 10*time.Second, "rsyslogd listens", func() bool {
		c, err = net.Dial("unixgram", socket)
		return err == nil
	})
	return func(pid int, text string) {
		line := fmt.Sprintf("<22>%s sendmail[%d]: %s", time.Now().Format(time.Stamp), pid, text)
		if _, err := c.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// waitFor polls until ok or fails the test after limit.
func waitFor(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s it is still not so that %s", limit, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestGateway is the main job: a client that sendmail refuses often enough is
// dropped at the gateway for a while, and nobody else is.
func TestGateway(t *testing.T) {
	const innocent4, innocent6 = "114.238.85.10", "2001:db8:900d::1"
	guilty := map[string]string{
		"udp": "114.238.85.247",
		"tcp": "114.238.85.248",
		"v6":  "2001:db8:bad::1",
	}
	g := newGateway(t, innocent4, innocent6, guilty["udp"], guilty["tcp"], guilty["v6"])
	g.serve(t, `
state_dir: `+g.dir+`/state
receiver: {udp: ["10.25.0.1:5514"], tcp: ["10.25.0.1:5514"]}
detector:
  rules:
    - {name: burst, window: 10m, score: 10, block: 6s}
`)
	for _, step := range []struct{ name, forward, innocent string }{
		{"udp", `protocol="udp"`, innocent4},
		{"tcp", `protocol="tcp"`, innocent4},
		{"v6", `protocol="tcp" template="RSYSLOG_SyslogProtocol23Format" TCP_Framing="octet-counted"`, innocent6},
	} {
		t.Run(step.name, func(t *testing.T) {
			client := guilty[step.name]
			if err := g.connect(t, client, 5*time.Second); err != nil {
				t.Fatalf("before any offence: %v", err)
			}
			logLine := g.rsyslogd(t, step.forward)
			for pid := range 6 {
				logLine(4000+pid, refused(client))
			}
			waitFor(t, 5*time.Second, "the client is blocked", func() bool {
				return timedOut(g.connect(t, client, 300*time.Millisecond))
			})
			if g.pings(t, client) {
				t.Error("the gateway still answers the client's ping")
			}
			if err := g.connect(t, step.innocent, 5*time.Second); err != nil {
				t.Errorf("an innocent client cannot connect: %v", err)
			}
			waitFor(t, 20*time.Second, "the block has run out", func() bool {
				return g.connect(t, client, 300*time.Millisecond) == nil
			})
		})
	}
	_, metrics := g.get(t, "/metrics")
	for _, want := range []string{
		`uppercut_blocks_total{family="ipv4",rule="burst"} 2`,
		`uppercut_blocks_total{family="ipv6",rule="burst"} 1`,
		`reason="no_rdns"} 18`,
		`uppercut_block_duration_seconds_count 3`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestBlocksOutliveUs: a block stays when the process is killed, is there before
// the next one hears anybody, and is gone when unblock returns.
func TestBlocksOutliveUs(t *testing.T) {
	const client = "114.238.85.247"
	g := newGateway(t, client)
	config := `
state_dir: ` + g.dir + `/state
receiver: {udp: [], tcp: ["10.25.0.1:5514"]}
`
	killed := g.serve(t, config)
	logLine := g.rsyslogd(t, `protocol="tcp"`)
	for pid := range 6 {
		logLine(4000+pid, refused(client))
	}
	waitFor(t, 10*time.Second, "the client is blocked", func() bool {
		return timedOut(g.connect(t, client, 300*time.Millisecond))
	})
	out := g.ask(t, "blocks")
	if !strings.Contains(out, client+"/32") || !strings.Contains(out, "burst") {
		t.Errorf("blocks does not list it:\n%s", out)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !timedOut(g.connect(t, client, 300*time.Millisecond)) {
		t.Error("the block ended with the process")
	}
	g.flushRuleset(t)
	g.serve(t, config)
	if !timedOut(g.connect(t, client, 300*time.Millisecond)) {
		t.Error("the block is not back when the next process is ready")
	}
	why := g.ask(t, "why", client)
	for _, want := range []string{"blocked as " + client, "kernel", "drops it", "Fix reverse DNS", "mx1"} {
		if !strings.Contains(why, want) {
			t.Errorf("why lacks %q:\n%s", want, why)
		}
	}
	g.ask(t, "unblock", client)
	if err := g.connect(t, client, 2*time.Second); err != nil {
		t.Errorf("after unblock: %v", err)
	}
}

// TestRepairsAreCounted: who takes our table away is named.
func TestRepairsAreCounted(t *testing.T) {
	g := newGateway(t)
	g.serve(t, `
state_dir: `+g.dir+`/state
receiver: {udp: [], tcp: ["10.25.0.1:5514"]}
`)
	if out := g.ask(t, "firewall", "show"); !strings.Contains(out, "repaired  0 times since the start\n") {
		t.Errorf("before any repair:\n%s", out)
	}
	g.flushRuleset(t)
	repaired := regexp.MustCompile(`repaired +1 times since the start; last difference .* ago: table, .*, changed by nft \(pid \d+\)\n`)
	waitFor(t, 10*time.Second, "the repair is counted", func() bool {
		return repaired.MatchString(g.ask(t, "firewall", "show"))
	})
	if out := g.ask(t, "firewall", "verify", "--json"); !strings.Contains(out, `"repairs": 1,`) || !strings.Contains(out, `"process": "nft"`) {
		t.Errorf("verify --json:\n%s", out)
	}
}

// ask runs a command of ours and returns what it prints.
func (g *gateway) ask(t *testing.T, args ...string) string {
	t.Helper()
	out, err := g.uppercut(t, args...).CombinedOutput()
	if err != nil {
		t.Errorf("uppercut %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// flushRuleset takes the gateway's whole ruleset away, as a reboot does.
func (g *gateway) flushRuleset(t *testing.T) {
	t.Helper()
	if out, err := g.gw.CommandContext(t.Context(), "nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("nft flush ruleset: %v: %s", err, out)
	}
}

// refused is the line that sendmail writes for a client without reverse DNS.
func refused(client string) string {
	relay := "[" + client + "]"
	if addr := netip.MustParseAddr(client); addr.Is6() {
		relay = "[IPv6:" + uncompressed(addr) + "]"
	}
	return fmt.Sprintf("ruleset=check_relay, arg1=%s, arg2=%s, relay=%s, reject=550 5.7.1 Fix reverse DNS for %s,or use your ISP server",
		relay, client, relay, client)
}

// uncompressed writes an IPv6 address as sendmail does by default.
func uncompressed(addr netip.Addr) string {
	var groups []string
	b := addr.As16()
	for i := 0; i < 16; i += 2 {
		groups = append(groups, fmt.Sprintf("%x", int(b[i])<<8|int(b[i+1])))
	}
	return strings.Join(groups, ":")
}

// timedOut tells silence from refusal.
func timedOut(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}
