// Package certs issues certificates: for the fleet (uppercut certificates), for
// tests and for the lab.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Authority signs certificates.
type Authority struct {
	// Certificate is the authority's own.
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority of that name that is valid for two days.
func NewAuthority(name string) (*Authority, error) {
	return NewAuthorityUntil(name, time.Now().Add(48*time.Hour))
}

// NewAuthorityUntil makes an authority of that name.
func NewAuthorityUntil(name string, until time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template, err := newTemplate(name, until)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{Certificate: cert, key: key}, err
}

// newTemplate is a certificate that began two hours ago.
func newTemplate(name string, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-2 * time.Hour),
		NotAfter:     until,
	}, nil
}

// LoadAuthority reads what WriteCertificate and WriteKey have written.
func LoadAuthority(certFile, keyFile string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the authority: the key in %s is no ECDSA key", keyFile)
	}
	if !pair.Leaf.IsCA {
		return nil, fmt.Errorf("read the authority: the certificate in %s may not sign others", certFile)
	}
	return &Authority{Certificate: pair.Leaf, key: key}, nil
}

// WriteKey writes the authority's key to a file, in PEM, for its owner alone.
func (a *Authority) WriteKey(file string) error {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return fmt.Errorf("encode the authority's key: %w", err)
	}
	return writePEM(file, "PRIVATE KEY", der)
}

// WriteCertificate writes the authority's certificate to a file, in PEM.
func (a *Authority) WriteCertificate(file string) error {
	return writePEM(file, "CERTIFICATE", a.Certificate.Raw)
}

// Issue writes a certificate for clients and servers, and its key, in PEM. The
// first name is the common name; all of them are DNS names.
func (a *Authority) Issue(certFile, keyFile string, until time.Time, names ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	template, err := newTemplate(names[0], until)
	if err != nil {
		return err
	}
	template.DNSNames = names
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, &key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("sign the certificate of %s: %w", names[0], err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key of %s: %w", names[0], err)
	}
	return errors.Join(writePEM(certFile, "CERTIFICATE", der), writePEM(keyFile, "PRIVATE KEY", keyDER))
}

// IssueIn is Issue to NAME.pem and NAME.key in a directory, NAME being the
// first name.
func (a *Authority) IssueIn(dir string, until time.Time, names ...string) error {
	return a.Issue(filepath.Join(dir, names[0]+".pem"), filepath.Join(dir, names[0]+".key"), until, names...)
}

// WriteRevocations writes a revocation list (CRL) of the certificates in
// certFiles, in PEM, that is due to be replaced at nextUpdate. It may revoke
// nothing.
func (a *Authority) WriteRevocations(file string, nextUpdate time.Time, certFiles ...string) error {
	der, err := a.Revocations(nextUpdate, certFiles...)
	if err != nil {
		return err
	}
	return writePEM(file, "X509 CRL", der)
}

// Revocations is what WriteRevocations writes, in DER.
func (a *Authority) Revocations(nextUpdate time.Time, certFiles ...string) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: nextUpdate.Add(-24 * time.Hour), NextUpdate: nextUpdate}
	for _, name := range certFiles {
		serial, err := serialIn(name)
		if err != nil {
			return nil, err
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: time.Now(),
		})
	}
	return x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.key)
}

// serialIn returns the serial number of the certificate in a file.
func serialIn(name string) (*big.Int, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cert.SerialNumber, nil
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
