package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/senders"
	"uppercut/receiver"
)

func certificates(t *testing.T, args ...string) (said string, code int) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), append([]string{"certificates"}, args...), nil, nil, &out, &out)
	return out.String(), code
}

// TestCertificates: an authority and a pair for each name, each of which proves
// who it is to the other; what is there stays, and is signed by the same.
func TestCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	if said, code := certificates(t, "--dir", dir, "log.example.org", "mx1.example.org"); code != exitOK || !strings.Contains(said, "new certificate authority") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	first := readFile(t, filepath.Join(dir, "mx1.example.org.pem"))
	said, code := certificates(t, "--dir", dir, "--for", "10d", "mx1.example.org", "mx2.example.org")
	if code != exitOK || !strings.Contains(said, "mx1.example.org.pem already exists and is kept") || !strings.Contains(said, "mx2.example.org.pem: valid for 10d") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if first != readFile(t, filepath.Join(dir, "mx1.example.org.pem")) {
		t.Error("a certificate that was there is another one")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, filepath.Join(dir, "ca.pem"))))
	for _, name := range []string{"log.example.org", "mx1.example.org", "mx2.example.org"} {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key: %v, %v", info.Mode(), err)
	}
}

// What cannot be is refused, and nothing is overwritten.
func TestCertificatesRefuses(t *testing.T) {
	for _, name := range []string{"", "192.0.2.1", "2001:db8::1", "a/b", "../x", "ca", "-x.example", "mx 1", "x..y"} {
		if said, code := certificates(t, "--dir", t.TempDir(), "--", name); code != exitUsage {
			t.Errorf("%q: exit code %d: %s", name, code, said)
		}
	}
	dir := t.TempDir()
	if said, code := certificates(t, "--dir", dir, "mx1.example.org"); code != exitOK {
		t.Fatal(said)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if said, code := certificates(t, "--dir", dir, "mx2.example.org"); code != exitError || !strings.Contains(said, "only one of") {
		t.Errorf("without the key: exit code %d: %s", code, said)
	}
	writeFile(t, filepath.Join(dir, "ca.key"), "nonsense")
	if said, code := certificates(t, "--dir", dir, "mx2.example.org"); code != exitError || !strings.Contains(said, "read the authority") {
		t.Errorf("with a broken key: exit code %d: %s", code, said)
	}
}

// TestCertificatesForAFleet: a receiver and a real rsyslogd, configured by what
// sender-config prints, trust each other with these certificates.
func TestCertificatesForAFleet(t *testing.T) {
	dir := t.TempDir()
	if said, code := certificates(t, "--dir", dir, "log.example.org", "mx1.example.org"); code != exitOK {
		t.Fatal(said)
	}
	config := receiver.DefaultConfig()
	config.UDP, config.TCP = nil, nil
	config.TLS.Listen = []string{"127.0.0.1:0"}
	config.TLS.CertFile, config.TLS.KeyFile = filepath.Join(dir, "log.example.org.pem"), filepath.Join(dir, "log.example.org.key")
	config.TLS.ClientCAFile, config.TLS.ClientNames = filepath.Join(dir, "ca.pem"), []string{"mx1.example.org"}
	r, got := sendmailLines(t, config)
	_, port, _ := net.SplitHostPort(r.Addrs(receiver.TLS)[0].String())
	text, err := senders.Config(senders.Options{Host: "mx1.example.org", Collector: "log.example.org", Port: port, Transport: "tls"})
	if err != nil {
		t.Fatal(err)
	}
	log := startReadmeRsyslog(t, strings.NewReplacer(`target="log.example.org"`, `target="127.0.0.1"`, "/etc/rsyslog.d/tls", dir).Replace(text))
	if _, err := log.Write([]byte("<22>" + time.Now().Format(time.Stamp) + " sm-mta[4711]: hello")); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-got:
		if m.Text != "hello" {
			t.Errorf("received %+v", m)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came over TLS")
	}
}
