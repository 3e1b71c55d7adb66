package receiver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// logBuffer is a log that a test reads while others write it.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// count counts the lines that hold all of these.
func (b *logBuffer) count(all ...string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if !slices.ContainsFunc(all, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

// openLogged runs a receiver whose warnings are kept.
func openLogged(t *testing.T, c Config) (*house, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	h := &house{registry: prometheus.NewRegistry(), arrived: make(chan struct{})}
	r, err := New(c, Options{Registerer: h.registry, Handle: h.take, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h.Receiver = r
	done := make(chan error)
	go func() { done <- r.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	return h, log
}

// refusalOf returns what is remembered of the only refused address.
func refusalOf(t *testing.T, h *house, attempts uint64) (r Refusal) {
	t.Helper()
	eventually(t, fmt.Sprint(attempts, " attempts are remembered"), func() bool {
		all := h.Refusals()
		if len(all) == 1 {
			r = all[0]
		}
		return len(all) == 1 && r.Attempts == attempts
	})
	return r
}

func TestRefusedSenders(t *testing.T) {
	listed := func(c *Config) { c.Senders = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }
	for _, test := range []struct {
		name      string
		config    func(*Config)
		transport Transport
		knock     func(t *testing.T, h *house)
	}{
		{"TCP", listed, TCP, func(t *testing.T, h *house) { isClosed(t, h.address(TCP)) }},
		{"RELP", listed, RELP, func(t *testing.T, h *house) { isClosed(t, h.address(RELP)) }},
		{"UDP", listed, UDP, func(t *testing.T, h *house) { write(t, dial(t, "udp", h.address(UDP)), line(1)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testConfig()
			c.RELP = []string{"127.0.0.1:0"}
			test.config(&c)
			h, log := openLogged(t, c)
			for range persistent {
				test.knock(t, h)
			}
			r := refusalOf(t, h, persistent)
			if r.Addr.String() != "127.0.0.1" || r.Reason != "acl" || r.Transport != test.transport || r.Words() != "not in receiver.senders" {
				t.Errorf("%+v: %s", r, r.Words())
			}
			if n := log.count("level=WARN", "refusing a sender", "sender=127.0.0.1", "not in receiver.senders", "receiver.hosts"); n != 1 {
				t.Errorf("%d warnings, want one for the address: %s", n, log.text.String())
			}
			if n := h.metric(t, "uppercut_refused_senders", "reason", "acl"); n != 1 {
				t.Errorf("uppercut_refused_senders %v", n)
			}
			c.Hosts = []HostConfig{{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}
			if err := h.Reconfigure(c); err != nil {
				t.Fatal(err)
			}
			if all := h.Refusals(); len(all) != 0 {
				t.Errorf("still refused once it is listed: %+v", all)
			}
		})
	}
}

// TestListedHostsAreSenders: an address that the configuration gives to a mail
// host may log, whatever receiver.senders says.
func TestListedHostsAreSenders(t *testing.T) {
	c := testConfig()
	c.Senders = nil
	c.Hosts = []HostConfig{{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}
	h := open(t, c)
	write(t, dial(t, "udp", h.address(UDP)), line(1))
	write(t, dial(t, "tcp", h.address(TCP)), line(2)+"\n")
	h.wait(t, 2)
	if all := h.Refusals(); len(all) != 0 {
		t.Errorf("refused: %+v", all)
	}
}

func TestRefusedCertificates(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	config.Senders = nil
	config.TLS.ClientNames = []string{"mx1.example.org"}
	for _, name := range []string{"mx1.example.org", "www.example.org"} {
		a.issue(t, name, time.Now().Add(time.Hour))
	}
	a.issue(t, "old.example.org", time.Now().Add(-time.Hour))
	h, log := openLogged(t, config)
	shake := func(client *tls.Config) {
		_ = tls.Client(dial(t, "tcp", h.address(TLS)), client).HandshakeContext(t.Context())
	}
	for i, test := range []struct{ certificate, reason, words string }{
		{"www.example.org", refuseName, "client_names"},
		{"old.example.org", refuseExpired, "expired"},
		{"", refuseUntrusted, "client_ca_file"},
	} {
		shake(a.client(t, test.certificate))
		r := refusalOf(t, h, uint64(i+1))
		if r.Reason != test.reason || r.Name != test.certificate || !strings.Contains(r.Words(), test.words) {
			t.Errorf("%s: %+v: %s", test.certificate, r, r.Words())
		}
	}
	if n := log.count("refusing a sender", "certificate=www.example.org", "tls.client_names"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.text.String())
	}
	shake(a.client(t, "mx1.example.org"))
	eventually(t, "who is heard is refused no longer", func() bool { return len(h.Refusals()) == 0 })
}

// TestTLSProbes: what only looks whether the port is open is not refused.
func TestTLSProbes(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	h := open(t, config)
	for transport, abort := range map[Transport]bool{TLS: false, RELP: true} {
		conn := dial(t, "tcp", h.address(transport))
		if abort {
			reset(conn.(*net.TCPConn))
		}
		conn.Close()
		name := transport.String()
		eventually(t, "a probe of "+name, func() bool {
			return h.metric(t, "uppercut_tls_probes_total", "listener", name) == 1
		})
		for _, reason := range []string{refuseHandshake, refuseUntrusted} {
			if n := h.metric(t, "uppercut_connections_rejected_total", "listener", name, "reason", reason); n != 0 {
				t.Errorf("%s: %v rejected as %s", name, n, reason)
			}
		}
	}
	conn := dial(t, "tcp", h.address(TLS))
	write(t, conn, "<22>no TLS\n")
	conn.Close()
	eventually(t, "one that speaks is rejected", func() bool {
		return h.metric(t, "uppercut_connections_rejected_total", "listener", "tls", "reason", refuseHandshake) == 1
	})
}

// attempts makes n attempts of an address, a second apart.
func attempts(r *refusals, addr netip.Addr, n int, now *time.Time) {
	for range n {
		*now = now.Add(time.Second)
		r.add(Refusal{Addr: addr, Reason: refuseSender, Last: *now})
	}
}

func TestRefusalsWarnOnceAnHour(t *testing.T) {
	log := new(logBuffer)
	r := newRefusals(slog.New(slog.NewTextHandler(log, nil)))
	addr, now := netip.MustParseAddr("192.0.2.12"), time.Unix(1_800_000_000, 0)
	attempts(r, addr, 3600, &now)
	if n := log.count("192.0.2.12"); n != 1 {
		t.Errorf("%d warnings within an hour", n)
	}
	attempts(r, addr, 1, &now)
	if n := log.count("192.0.2.12"); n != 2 {
		t.Errorf("%d warnings after an hour", n)
	}
	for range 10 * maxRefusalWarnings {
		addr = addr.Next()
		attempts(r, addr, 1, &now)
	}
	if n := log.count("refusing a sender"); n > 2+2*maxRefusalWarnings {
		t.Errorf("%d warnings of very many addresses", n)
	}
	now = now.Add(2 * time.Hour)
	attempts(r, addr, 1, &now)
	if n := log.count("refusing more senders"); n != 1 {
		t.Errorf("%d warnings that there are more: %s", n, log.text.String())
	}
}

// TestRefusalsAreBounded: strangers without end neither fill the table for good
// nor push out who tries again and again.
func TestRefusalsAreBounded(t *testing.T) {
	r := newRefusals(slog.New(slog.DiscardHandler))
	host, now := netip.MustParseAddr("192.0.2.12"), time.Unix(1_800_000_000, 0)
	attempts(r, host, 50, &now)
	stranger := netip.MustParseAddr("2001:db8::")
	for range 20 * maxRefusals {
		stranger = stranger.Next()
		attempts(r, stranger, 1, &now)
		if _, ok := r.known[stranger]; !ok {
			t.Fatal("a new address is not remembered")
		}
	}
	if len(r.known) != maxRefusals {
		t.Errorf("%d remembered", len(r.known))
	}
	if _, ok := r.known[host]; !ok {
		t.Error("the host that tries again and again is forgotten")
	}
	if all := r.list(now.Add(RefusalMemory + time.Second)); len(all) != 0 {
		t.Errorf("%d remembered after a day", len(all))
	}
}
