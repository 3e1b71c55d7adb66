package receiver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/certs"
)

// authority is a certificate authority of a test, with its files.
type authority struct {
	*certs.Authority
	dir string
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	ca, err := certs.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{ca, t.TempDir()}
	if err := a.WriteCertificate(a.path("ca.pem")); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

// issue writes NAME.pem and NAME.key, valid until then.
func (a *authority) issue(t testing.TB, name string, until time.Time) {
	t.Helper()
	names := []string{name}
	if name == collector {
		names = append(names, "localhost") // where senders find it in a test
	}
	if err := a.IssueIn(a.dir, until, names...); err != nil {
		t.Fatal(err)
	}
}

// client returns what a sender of that name dials with.
func (a *authority) client(t testing.TB, name string) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: collector}
	c.RootCAs.AddCert(a.Certificate)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// collector is the receiver's own name in tests.
const collector = "collector.example.org"

// tlsConfig listens for TLS and RELP over TLS and trusts what a signed.
func tlsConfig(t testing.TB, a *authority) Config {
	t.Helper()
	a.issue(t, collector, time.Now().Add(time.Hour))
	c := DefaultConfig()
	c.UDP, c.TCP, c.Senders = nil, nil, nil // the certificate decides
	c.TLS.Listen, c.TLS.RELPListen = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ClientCAFile = a.path(collector+".pem"), a.path(collector+".key"), a.path("ca.pem")
	return c
}

func dialTLS(t testing.TB, address string, c *tls.Config) *tls.Conn {
	t.Helper()
	conn := tls.Client(dial(t, "tcp", address), c)
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestTLSSendersByName(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "MX1.example.org", time.Now().Add(time.Hour))
	h := open(t, config)
	conn := dialTLS(t, h.address(TLS), a.client(t, "MX1.example.org"))
	counted := line(2)
	write(t, conn, line(1)+"\n"+fmt.Sprint(len(counted))+" "+counted)
	for _, m := range h.wait(t, 2) {
		if m.Sender != "mx1.example.org" || m.Transport != TLS || m.Addr.String() != "127.0.0.1" {
			t.Errorf("%+v", m)
		}
	}
	state := conn.ConnectionState()
	if state.Version != tls.VersionTLS12 {
		t.Errorf("version %#x, want TLS 1.2", state.Version)
	}
	status := h.Senders()
	if len(status) != 1 || status[0].Host != "mx1.example.org" || status[0].CertificateExpires.IsZero() {
		t.Errorf("senders %+v", status)
	}
	if h.metric(t, "uppercut_host_client_certificate_expiry_timestamp_seconds", "host", "mx1.example.org") == 0 ||
		h.metric(t, "uppercut_tls_certificate_expiry_timestamp_seconds", "role", "server") == 0 ||
		h.metric(t, "uppercut_tls_certificate_expiry_timestamp_seconds", "role", "client_ca") == 0 {
		t.Error("an expiry is not exported")
	}
}

// TestTLSTickets sees that no session ticket is given: rsyslog never reads it.
func TestTLSTickets(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "mx1", time.Now().Add(time.Hour))
	for _, version := range []string{"1.2", "1.3"} {
		config.TLS.MaxVersion = version
		h := open(t, config)
		client := a.client(t, "mx1")
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for range 2 {
			conn := dialTLS(t, h.address(TLS), client)
			write(t, conn, line(1)+"\n")
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = conn.Read(make([]byte, 1)) // would take a ticket in
			if state := conn.ConnectionState(); state.DidResume || version == "1.3" && state.Version != tls.VersionTLS13 {
				t.Errorf("%s: resumed %v, version %#x", version, state.DidResume, state.Version)
			}
			conn.Close()
		}
		h.wait(t, 2)
	}
}

func TestTLSRefuses(t *testing.T) {
	a, stranger := newAuthority(t, "test"), newAuthority(t, "stranger")
	config := tlsConfig(t, a)
	config.TLS.ClientNames = []string{"mx1.example.org", "*.mail.example.org"}
	config.TLS.HandshakeTimeout = time.Second
	for _, name := range []string{"mx1.example.org", "mx9.mail.example.org", "deep.mx9.mail.example.org", "www.example.org"} {
		a.issue(t, name, time.Now().Add(time.Hour))
	}
	a.issue(t, "old.mail.example.org", time.Now().Add(-time.Hour))
	stranger.issue(t, "mx1.example.org", time.Now().Add(time.Hour))
	h := open(t, config)
	// The stranger knows whom he talks to, and shows a certificate of his own.
	foreign := a.client(t, "")
	foreign.Certificates = stranger.client(t, "mx1.example.org").Certificates
	foreign.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &foreign.Certificates[0], nil
	}
	tests := []struct {
		name   string
		client *tls.Config
		reason string // "" if it may log
	}{
		{"listed", a.client(t, "mx1.example.org"), ""},
		{"listed by pattern", a.client(t, "mx9.mail.example.org"), ""},
		{"a pattern stands for one label", a.client(t, "deep.mx9.mail.example.org"), refuseName},
		{"of another name", a.client(t, "www.example.org"), refuseName},
		{"expired", a.client(t, "old.mail.example.org"), refuseExpired},
		{"self-signed", foreign, refuseUntrusted},
		{"without certificate", a.client(t, ""), refuseUntrusted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := h.metric(t, "uppercut_connections_rejected_total", "listener", "tls", "reason", test.reason)
			conn := tls.Client(dial(t, "tcp", h.address(TLS)), test.client)
			_ = conn.SetDeadline(time.Now().Add(patience))
			err := conn.Handshake()
			if (err == nil) != (test.reason == "") {
				t.Fatalf("handshake: %v", err)
			}
			if test.reason != "" {
				eventually(t, "a refusal", func() bool {
					return h.metric(t, "uppercut_connections_rejected_total", "listener", "tls", "reason", test.reason) == before+1
				})
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		conn := dial(t, "tcp", h.address(TLS))
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("not closed: %v", err)
		}
		eventually(t, "a failed handshake", func() bool {
			return h.metric(t, "uppercut_connections_rejected_total", "listener", "tls", "reason", refuseHandshake) == 1
		})
	})
}

// TestTLSWithoutClientCA falls back on addresses.
func TestTLSWithoutClientCA(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	config.TLS.ClientCAFile = ""
	strict := open(t, config)
	if !isClosed(t, strict.address(TLS)) {
		t.Error("an unlisted address is served")
	}
	config.Senders = DefaultConfig().Senders
	h := open(t, config)
	write(t, dialTLS(t, h.address(TLS), a.client(t, "")), line(1)+"\n")
	if m := h.wait(t, 1)[0]; m.Sender != "127.0.0.1" {
		t.Errorf("%+v", m)
	}
}

// TestTLSSilentStrangers fills the room for handshakes; an honest sender still
// gets in.
func TestTLSSilentStrangers(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	config.TLS.MaxHandshakes = 10
	config.MaxSilentConnections = 1000
	config.MaxConnectionsPerSender = 1000
	a.issue(t, "mx1", time.Now().Add(time.Hour))
	h := open(t, config)
	for range 100 {
		// who is turned away may hear of it before the connection is made
		if conn, err := net.Dial("tcp", h.address(TLS)); err == nil {
			t.Cleanup(func() { conn.Close() })
		}
	}
	eventually(t, "room for 5 strangers", func() bool {
		return h.metric(t, "uppercut_connections_rejected_total", "listener", "tls") == 95 &&
			h.metric(t, "uppercut_connections", "listener", "tls") == 5
	})
	write(t, dialTLS(t, h.address(TLS), a.client(t, "mx1")), line(1)+"\n")
	h.wait(t, 1)
}

// TestTLSCertificatesReplaced replaces the files of a running receiver: by
// others, by rubbish, by others again.
func TestTLSCertificatesReplaced(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "mx1", time.Now().Add(time.Hour))
	h := open(t, config)
	serial := func() string {
		conn := dialTLS(t, h.address(TLS), a.client(t, "mx1"))
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	a.issue(t, collector, time.Now().Add(2*time.Hour))
	eventually(t, "the second certificate", func() bool { return serial() != first })
	second := serial()
	if err := os.WriteFile(config.TLS.CertFile, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.certificates.mu.Lock()
	h.certificates.checked = time.Time{}
	h.certificates.mu.Unlock()
	if now := serial(); now != second {
		t.Errorf("serial %s with a bad file, want that of before, %s", now, second)
	}
	a.issue(t, collector, time.Now().Add(3*time.Hour))
	eventually(t, "the third certificate", func() bool { return serial() != second })
}

func TestRELPOverTLS(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "mx1", time.Now().Add(time.Hour))
	h := open(t, config)
	conn := dialTLS(t, h.address(RELP), a.client(t, "mx1"))
	write(t, conn, "1 open 15 commands=syslog\n2 syslog 28 <22>Nov 23 07:20:30 mx1 a: b\n3 close 0\n")
	answers, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasSuffix(string(answers), "2 rsp 6 200 OK\n3 rsp 0\n0 serverclose 0\n") {
		t.Errorf("answers %q, %v", answers, err)
	}
	if m := h.wait(t, 1)[0]; m.Sender != "mx1" || m.Transport != RELP || m.Text != "b" {
		t.Errorf("%+v", m)
	}
}

// TestTLSDrain stops the receiver while a TLS sender writes.
func TestTLSDrain(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "mx1", time.Now().Add(time.Hour))
	h := open(t, config)
	conn := dialTLS(t, h.address(TLS), a.client(t, "mx1"))
	write(t, conn, line(0)+"\n")
	h.wait(t, 1)
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("no FIN")
	}
	const more = 1000
	for i := range more {
		write(t, conn, line(i+1)+"\n")
	}
	conn.Close()
	<-stopped
	if n := len(h.wait(t, 0)); n != 1+more {
		t.Errorf("%d messages of %d", n, 1+more)
	}
}
