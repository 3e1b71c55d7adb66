package main

import (
	"path/filepath"
	"time"

	"uppercut/deploy/certs"
)

// certificateName is the name in the certificate that all contestants show.
const certificateName = "bench"

func (b *bench) authorityFile() string { return filepath.Join(b.dir, "ca.pem") }
func (b *bench) certFile() string      { return filepath.Join(b.dir, certificateName+".pem") }
func (b *bench) keyFile() string       { return filepath.Join(b.dir, certificateName+".key") }

// certify makes the certificate.
func (b *bench) certify() error {
	a, err := certs.NewAuthority("uppercut bench CA")
	if err != nil {
		return err
	}
	if err := a.WriteCertificate(b.authorityFile()); err != nil {
		return err
	}
	return a.Issue(b.certFile(), b.keyFile(), time.Now().Add(24*time.Hour), certificateName)
}
