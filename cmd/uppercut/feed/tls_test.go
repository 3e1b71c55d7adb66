package feed

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"uppercut/deploy/certs"
)

// TestClientCertificates: over TLS, a client's certificate stands for its key, and
// that of nobody who is listed opens nothing.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "fw.example.org", "other.example.org"} {
		if err := authority.IssueIn(dir, time.Now().Add(time.Hour), name); err != nil {
			t.Fatal(err)
		}
	}
	web := filepath.Join(dir, "web.yml")
	const text = "tls_server_config:\n  cert_file: localhost.pem\n  key_file: localhost.key\n  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"
	if err := authority.WriteCertificate(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(web, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *Config) {
		c.ConfigFile = web
		c.Clients = []ClientConfig{{Name: "fw", Certificate: "fw.example.org"}}
	}, entry(1, "192.0.2.1/32", time.Hour))
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate)
	for name, status := range map[string]int{"fw.example.org": 200, "other.example.org": 403, "": 403} {
		config := &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
		if name != "" {
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
		resp, err := client.Get("https://" + r.Addr().String() + "/lists/blocked.txt")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
		if resp.StatusCode != status || resp.ProtoMajor != 1 {
			t.Errorf("%q: %s %s", name, resp.Proto, resp.Status)
		}
	}
}
