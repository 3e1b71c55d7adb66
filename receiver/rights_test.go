package receiver

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
)

// opening begins what a sender sends over a transport, of which next is more.
func opening(transport Transport) (first, next string) {
	if transport == RELP {
		return "1 open 15 commands=syslog\n2 syslog 28 <22>Nov 23 07:20:30 mx1 a: b\n",
			"3 syslog 28 <22>Nov 23 07:20:30 mx1 a: b\n"
	}
	return line(1) + "\n", line(2) + "\n"
}

// rightsTest has a thief and an honest sender connected over every transport
// that knows the right which the thief loses.
type rightsTest struct {
	name   string
	reason string
	// names: the right is the name of a certificate, else it is an address.
	names bool
	end   func(t *testing.T, h *house, c Config, a *authority)
}

func reconfigure(t *testing.T, h *house, c Config) {
	t.Helper()
	if err := h.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
}

func revoke(t *testing.T, a *authority, names ...string) {
	t.Helper()
	files := make([]string, len(names))
	for i, name := range names {
		files[i] = a.path(name + ".pem")
	}
	if err := a.WriteRevocations(a.path("crl.pem"), time.Now().Add(time.Hour), files...); err != nil {
		t.Fatal(err)
	}
}

// TestRightsEndNow: who may no longer log is cut off at once, and nobody else.
func TestRightsEndNow(t *testing.T) {
	for _, test := range []rightsTest{
		{"address out of senders", refuseSender, false, func(t *testing.T, h *house, c Config, _ *authority) {
			c.Senders = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
			reconfigure(t, h, c)
		}},
		{"name out of client_names", refuseName, true, func(t *testing.T, h *house, c Config, _ *authority) {
			c.TLS.ClientNames = []string{"honest"}
			reconfigure(t, h, c)
		}},
		{"name out of a pattern", refuseName, true, func(t *testing.T, h *house, c Config, _ *authority) {
			c.TLS.ClientNames = []string{"*.example.org", "honest"}
			reconfigure(t, h, c)
		}},
		{"certificate revoked, then a reload", refuseRevoked, true, func(t *testing.T, h *house, c Config, a *authority) {
			revoke(t, a, "thief")
			reconfigure(t, h, c)
		}},
		{"certificate revoked, without a reload", refuseRevoked, true, func(t *testing.T, _ *house, _ Config, a *authority) {
			revoke(t, a, "thief")
		}},
		{"certificate expired", refuseExpired, true, func(_ *testing.T, h *house, _ Config, _ *authority) {
			h.endRights(time.Now().Add(30 * time.Minute))
		}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t) })
	}
}

func (test rightsTest) run(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "thief", time.Now().Add(20*time.Minute))
	a.issue(t, "honest", time.Now().Add(time.Hour))
	revoke(t, a)
	config.TLS.ClientCRLFile = a.path("crl.pem")
	config.TCP, config.RELP = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	config.Senders = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("127.0.0.2/32")}
	h := open(t, config)
	dialAs := map[Transport]func(name string) net.Conn{
		TCP:  func(name string) net.Conn { return dialFrom(t, h.address(TCP), name) },
		RELP: func(name string) net.Conn { return dialFrom(t, h.Addrs(RELP)[0].String(), name) },
	}
	if test.names {
		dialAs = map[Transport]func(name string) net.Conn{
			TLS:  func(name string) net.Conn { return dialTLS(t, h.address(TLS), a.client(t, name)) },
			RELP: func(name string) net.Conn { return dialTLS(t, h.Addrs(RELP)[1].String(), a.client(t, name)) },
		}
	}
	thieves, honest := make(map[Transport]net.Conn), make(map[Transport]net.Conn)
	for transport, dial := range dialAs {
		first, _ := opening(transport)
		thieves[transport], honest[transport] = dial("thief"), dial("honest")
		write(t, thieves[transport], first)
		write(t, honest[transport], first)
	}
	h.wait(t, 2*len(dialAs))
	h.forget()
	test.end(t, h, config, a)
	for transport, conn := range thieves {
		if !endsSoon(conn) {
			t.Errorf("%s: the connection stays open", transport)
		}
		if n := h.metric(t, "uppercut_connections_rejected_total", "listener", transport.String(), "reason", test.reason); n != 1 {
			t.Errorf("%s: counted %v times", transport, n)
		}
	}
	for transport, conn := range honest {
		_, next := opening(transport)
		write(t, conn, next)
	}
	if n := len(h.wait(t, len(honest))); n != len(honest) {
		t.Errorf("%d messages of %d", n, len(honest))
	}
}

// dialFrom connects from an address for each name.
func dialFrom(t *testing.T, address, name string) net.Conn {
	t.Helper()
	from := map[string]string{"thief": "127.0.0.1", "honest": "127.0.0.2"}[name]
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// endsSoon reads until the connection ends; false if it does not.
func endsSoon(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 1024)
	for {
		if _, err := conn.Read(buf); err != nil {
			return !errors.Is(err, errTimeout)
		}
	}
}

// TestRevokedAreRefused at the handshake, with lists in PEM and in DER.
func TestRevokedAreRefused(t *testing.T) {
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "thief", time.Now().Add(time.Hour))
	a.issue(t, "honest", time.Now().Add(time.Hour))
	config.TLS.ClientCRLFile = a.path("crl.pem")
	der, err := a.Revocations(time.Now().Add(-time.Minute), a.path("thief.pem")) // past its next update
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]func(){
		"PEM": func() { revoke(t, a, "thief") },
		"DER": func() { writeFile(t, a.path("crl.pem"), string(der)) },
	} {
		t.Run(name, func(t *testing.T) {
			list()
			h := open(t, config)
			conn := tls.Client(dial(t, "tcp", h.address(TLS)), a.client(t, "thief"))
			if !endsSoon(conn) {
				t.Error("not refused")
			}
			eventually(t, "a refusal", func() bool {
				return h.metric(t, "uppercut_connections_rejected_total", "reason", refuseRevoked) == 1
			})
			write(t, dialTLS(t, h.address(TLS), a.client(t, "honest")), line(1)+"\n")
			h.wait(t, 1)
			due := h.metric(t, "uppercut_tls_revocation_list_next_update_timestamp_seconds")
			if (due < float64(time.Now().Unix())) != (name == "DER") {
				t.Errorf("next update %v", due)
			}
		})
	}
}

func TestRevocationListsThatAreWrong(t *testing.T) {
	a, stranger := newAuthority(t, "test"), newAuthority(t, "stranger")
	namesake := newAuthority(t, "test") // another key under the same name
	config := tlsConfig(t, a)
	config.TLS.ClientCRLFile = a.path("crl.pem")
	for name, test := range map[string]struct {
		write func() error
		want  string
	}{
		"missing":           {func() error { return os.RemoveAll(a.path("crl.pem")) }, "create the file"},
		"empty":             {func() error { return os.WriteFile(a.path("crl.pem"), nil, 0o600) }, "has no list of the authority"},
		"rubbish":           {func() error { return os.WriteFile(a.path("crl.pem"), []byte("rubbish"), 0o600) }, "not a revocation list"},
		"of another":        {func() error { return stranger.WriteRevocations(a.path("crl.pem"), time.Now()) }, "has no list of the authority"},
		"signed by another": {func() error { return namesake.WriteRevocations(a.path("crl.pem"), time.Now()) }, "the list of"},
		"a certificate":     {func() error { return a.WriteCertificate(a.path("crl.pem")) }, "has no list of the authority"},
		"without authority": {func() error { return nil }, "client_crl_file needs the authority"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.write(); err != nil {
				t.Fatal(err)
			}
			c := config
			if name == "without authority" {
				c.TLS.ClientCAFile = ""
			}
			err := errors.Join(c.Validate(), c.CheckFiles())
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "tls.client_c") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestAuthorityWithANewKey: while an authority goes over to another key, under its
// old name, each of its two lists speaks for the certificates of its own key.
func TestAuthorityWithANewKey(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	var keys [2]*certs.Authority
	var chains [2]map[string][][]*x509.Certificate
	var file []byte
	for i, name := range []string{"old", "new"} {
		a, err := certs.NewAuthority("house")
		netns.Must(t, err)
		netns.Must(t, os.Mkdir(path(name), 0o700),
			a.IssueIn(path(name), time.Now().Add(time.Hour), "mx1"), a.IssueIn(path(name), time.Now().Add(time.Hour), "thief"))
		list, err := a.Revocations(time.Now().Add(time.Hour), path(name+"/thief.pem"))
		netns.Must(t, err)
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})...)
		keys[i], chains[i] = a, map[string][][]*x509.Certificate{}
		for _, host := range []string{"mx1", "thief"} {
			pair, err := tls.LoadX509KeyPair(path(name+"/"+host+".pem"), path(name+"/"+host+".key"))
			netns.Must(t, err)
			chains[i][host] = [][]*x509.Certificate{{pair.Leaf, a.Certificate}}
		}
	}
	netns.Must(t, os.WriteFile(path("crl.pem"), file, 0o600))
	lists, err := readRevocations(path("crl.pem"), []*x509.Certificate{keys[0].Certificate, keys[1].Certificate})
	if err != nil {
		t.Fatal(err)
	}
	for i := range chains {
		if !lists.permits(chains[i]["mx1"]) || lists.permits(chains[i]["thief"]) {
			t.Errorf("key %d: a sender is permitted: %t, one that is revoked: %t", i, lists.permits(chains[i]["mx1"]), lists.permits(chains[i]["thief"]))
		}
	}
	if _, err := readRevocations(path("crl.pem"), []*x509.Certificate{keys[0].Certificate}); err == nil {
		t.Error("a list under the authority's name that another has signed was taken")
	}
}
