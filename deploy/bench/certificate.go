package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

func (b *bench) certFile() string { return filepath.Join(b.dir, "cert.pem") }
func (b *bench) keyFile() string  { return filepath.Join(b.dir, "key.pem") }

// certify makes the certificate that all contestants show.
func (b *bench) certify() error {
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-nodes", "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench",
		"-keyout", b.keyFile(), "-out", b.certFile()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("openssl req: %w: %s", err, out)
	}
	return nil
}
