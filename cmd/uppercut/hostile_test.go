package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
)

// crowd is everybody who means ill, at once.
type crowd struct {
	p     *post
	all   sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

// attack opens connections from one address of loopback and keeps them until
// the crowd goes home; what cannot be opened is not, since it may be refused.
func (c *crowd) attack(source, target string, count int, behave func(net.Conn)) {
	c.all.Go(func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: time.Second}
		for range count {
			conn, err := c.p.net.Dial(context.Background(), &d, "tcp", target)
			if err != nil {
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			behave(conn)
		}
	})
}

func (c *crowd) goHome() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

func silent(net.Conn) {}

func say(text string) func(net.Conn) {
	return func(c net.Conn) {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(c, text)
	}
}

// come lets the crowd loose until ctx ends.
func (c *crowd) come(ctx context.Context, bad []*tls.Config) {
	const tcp, secure, relp = "127.0.0.1:5514", "127.0.0.1:6514", "127.0.0.1:2514"
	for i := range 10 {
		c.attack(fmt.Sprintf("127.0.1.%d", i+1), tcp, 1000, silent)
	}
	for i := range 4 {
		c.attack(fmt.Sprintf("127.0.2.%d", i+1), secure, 250, silent)
	}
	c.attack("127.0.3.1", secure, 100, say("\x16\x03\x01\x01\x70\x01")) // half a handshake
	c.attack("127.0.4.1", tcp, 20, say(strings.Repeat("x", 10<<20)))
	c.attack("127.0.5.1", tcp, 100, say("9999999 <22>x"))
	c.attack("127.0.6.1", relp, 100, say("1 syslog 9999999 x"))
	c.attack("127.0.7.1", tcp, 100, func(conn net.Conn) {
		_ = conn.(*net.TCPConn).SetLinger(0) // closes with a reset
		conn.Close()
	})
	c.attack("127.0.8.1", tcp, 20, func(conn net.Conn) { c.all.Go(func() { dribble(ctx, conn) }) })
	for i, certificate := range bad {
		c.attack(fmt.Sprintf("127.0.%d.1", 9+i), secure, 30, func(conn net.Conn) {
			client := tls.Client(conn, certificate)
			_ = client.SetDeadline(time.Now().Add(2 * time.Second))
			io.WriteString(client, "<22>Nov 23 07:20:30 mx1 sendmail[1]: let me in\n")
		})
	}
}

// dribble sends a byte a second.
func dribble(ctx context.Context, c net.Conn) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = c.Write([]byte{byte(rand.IntN(256))})
		}
	}
}

// badClients show a certificate that has expired, one of another name, one of a
// stranger's authority, and none.
func (p *post) badClients(authority *certs.Authority) []*tls.Config {
	p.t.Helper()
	stranger, err := certs.NewAuthority("stranger")
	netns.Must(p.t, err)
	foreign := filepath.Join(p.dir, "stranger")
	netns.Must(p.t, os.Mkdir(foreign, 0o700),
		authority.IssueIn(p.dir, time.Now().Add(-time.Hour), "old.example.org"),
		authority.IssueIn(p.dir, time.Now().Add(time.Hour), "www.example.org"),
		stranger.IssueIn(foreign, time.Now().Add(time.Hour), "mx1.example.org"))
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate)
	bad := []*tls.Config{{RootCAs: roots, ServerName: "collector.example.org"}}
	for _, name := range []string{filepath.Join(p.dir, "old.example.org"), filepath.Join(p.dir, "www.example.org"), filepath.Join(foreign, "mx1.example.org")} {
		pair, err := tls.LoadX509KeyPair(name+".pem", name+".key")
		netns.Must(p.t, err)
		bad = append(bad, &tls.Config{
			RootCAs: roots, ServerName: "collector.example.org",
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		})
	}
	return bad
}

// peakMemory is the most that the program has had resident, in bytes.
func (p *post) peakMemory() int {
	p.t.Helper()
	status := readFile(p.t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(status)
	if found == nil {
		p.t.Fatalf("no VmHWM in %s", status)
	}
	kB, _ := strconv.Atoi(found[1])
	return kB << 10
}

// TestHostileClients lets an honest sender send 5,000 messages a second to the
// real program while others do their worst, all at once. It loses nothing, and
// the program stays small.
func TestHostileClients(t *testing.T) {
	const seconds, rate = 5, 5000
	p := newPost(t)
	file := filepath.Join(p.dir, "uppercut.yaml")
	writeFile(t, file, strings.Replace(readFile(t, file), "  tls:\n", "  tls:\n    client_names: [mx1.example.org]\n    handshake_timeout: 2s\n", 1))
	bad := p.badClients(p.authority)
	p.start()
	honest, err := p.net.Dial(t.Context(), new(net.Dialer), "tcp", "127.0.0.1:5514")
	netns.Must(t, err)
	defer honest.Close()
	ctx, end := context.WithCancel(t.Context())
	c := &crowd{p: p}
	c.come(ctx, bad)
	p.sendSteadily(honest, seconds*rate, rate)
	end()
	c.all.Wait()
	waitFor(t, 30*time.Second, "the last honest message is judged", func() bool {
		return p.metric("uppercut_messages_judged_total") >= seconds*rate
	})
	text, err := p.get("/metrics")
	netns.Must(t, err)
	for _, reason := range []string{"silent", "tls_handshake", "tls_untrusted", "tls_expired", "tls_name"} {
		if !regexp.MustCompile(`uppercut_connections_rejected_total\{listener="\w+",reason="` + reason + `"\} [1-9]`).MatchString(text) {
			t.Errorf("nobody was refused for %s", reason)
		}
	}
	peak := p.peakMemory()
	t.Logf("%d MB at most; %d connections of strangers", peak>>20, len(c.conns))
	if peak > 300<<20 {
		t.Errorf("%d MB in use", peak>>20)
	}
	if len(c.conns) < 10_000 {
		t.Errorf("the crowd had %d connections only", len(c.conns))
	}
	c.goHome()
	honest.Close()
	p.end(syscall.SIGTERM)
	if lost := p.count(seconds * rate); lost != (count{}) {
		t.Errorf("the honest sender lost %+v", lost)
	}
}

// sendSteadily writes the refusals 1 to last at a rate a second.
func (p *post) sendSteadily(conn net.Conn, last, rate int) {
	p.t.Helper()
	const perTick = 20 * time.Millisecond
	tick := time.NewTicker(perTick)
	defer tick.Stop()
	each := rate / int(time.Second/perTick)
	for n := 0; n < last; {
		<-tick.C
		var b strings.Builder
		now := time.Now().Format(time.RFC3339Nano)
		for range each {
			n++
			fmt.Fprintf(&b, "<22>1 %s mx1 sendmail %d - - %s\n", now, pidOf(n), refusal(n))
		}
		if _, err := io.WriteString(conn, b.String()); err != nil {
			p.t.Fatalf("the honest sender is cut off: %v", err)
		}
	}
}
