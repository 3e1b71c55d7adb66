package certs

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestIssue verifies what was issued as a peer would.
func TestIssue(t *testing.T) {
	a, err := NewAuthority("an authority")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewAuthority("an authority")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	until := time.Now().Add(time.Hour)
	if err := a.IssueIn(dir, until, "mx1.example.org", "localhost"); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "mx1.example.org.pem"), filepath.Join(dir, "mx1.example.org.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		by   *Authority
		name string
		at   time.Time
		want string
	}{
		{a, "mx1.example.org", until.Add(-time.Minute), ""},
		{a, "localhost", until.Add(-time.Minute), ""},
		{a, "mx2.example.org", until.Add(-time.Minute), "not mx2.example.org"},
		{a, "mx1.example.org", until.Add(time.Minute), "expired"},
		{stranger, "mx1.example.org", until.Add(-time.Minute), "unknown authority"},
	} {
		roots := x509.NewCertPool()
		roots.AddCert(test.by.Certificate)
		_, err := pair.Leaf.Verify(x509.VerifyOptions{
			Roots: roots, DNSName: test.name, CurrentTime: test.at,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s at %v: %v, want %q", test.name, test.at, err, test.want)
		}
	}
	if pair.Leaf.Subject.CommonName != "mx1.example.org" {
		t.Errorf("common name %q", pair.Leaf.Subject.CommonName)
	}
	if err := a.IssueIn(filepath.Join(dir, "nosuch"), until, "mx1"); err == nil {
		t.Error("a directory that is not there: no error")
	}
}
