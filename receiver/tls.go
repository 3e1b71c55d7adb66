package receiver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// TLSConfig says how to listen with TLS and whom to trust.
type TLSConfig struct {
	// Listen lists addresses "host:port" for syslog over TLS, framed as over
	// TCP: by octet count (RFC 5425), or by LF as rsyslog does. Default: none.
	Listen []string `mapstructure:"listen"`
	// RELPListen lists addresses "host:port" for RELP over TLS. Default: none.
	RELPListen []string `mapstructure:"relp_listen"`
	// CertFile is the file with this host's certificate and its chain, in PEM.
	// It is read again when it changes, as are the three files below. Default:
	// none.
	CertFile string `mapstructure:"cert_file"`
	// KeyFile is the file with the key of the certificate, in PEM. Default:
	// none.
	KeyFile string `mapstructure:"key_file"`
	// ClientCAFile is the file with the authorities that sign the senders'
	// certificates, in PEM. With it a sender is identified by the name in its
	// certificate, whatever its address; without it no certificate is requested,
	// and receiver.senders decides. Default: none.
	ClientCAFile string `mapstructure:"client_ca_file"`
	// ClientCRLFile is the file with the revocation lists (CRL) of these
	// authorities, in PEM, or a single one in DER. Each authority, intermediate
	// ones included, must have a list. A list past its next update stays in
	// force. Default: none.
	ClientCRLFile string `mapstructure:"client_crl_file"`
	// ClientNames lists the certificate names that may send logs; *.example.org
	// matches one label in front. If empty, every name that the authorities
	// signed may. Default: none.
	ClientNames []string `mapstructure:"client_names"`
	// MaxVersion is the highest TLS version offered, 1.2 or 1.3. With 1.3 an
	// rsyslog whose certificate is refused believes that it is connected, and
	// its messages are lost. Default: 1.2.
	MaxVersion string `mapstructure:"max_version"`
	// HandshakeTimeout is how long a handshake may take, 1s to 1m. Default: 10s.
	HandshakeTimeout time.Duration `mapstructure:"handshake_timeout"`
	// MaxHandshakes limits the handshakes in progress, 2 to 10000; half of them
	// are reserved for addresses in receiver.senders. Above the limit the oldest
	// is abandoned. Default: 128.
	MaxHandshakes int `mapstructure:"max_handshakes"`
}

func (c TLSConfig) enabled() bool { return len(c.Listen)+len(c.RELPListen) > 0 }

func (c TLSConfig) validate() error {
	errs := []error{
		checkAddresses("tls.listen", c.Listen),
		checkAddresses("tls.relp_listen", c.RELPListen),
		between("tls.handshake_timeout", c.HandshakeTimeout, time.Second, time.Minute),
		between("tls.max_handshakes", c.MaxHandshakes, 2, 10_000),
	}
	if c.MaxVersion != "1.2" && c.MaxVersion != "1.3" {
		errs = append(errs, fmt.Errorf(`tls.max_version: %q is neither "1.2" nor "1.3"`, c.MaxVersion))
	}
	if c.enabled() && c.CertFile == "" {
		errs = append(errs, errors.New("tls.cert_file: missing: name the file with this host's certificate"))
	}
	if c.enabled() && c.KeyFile == "" {
		errs = append(errs, errors.New("tls.key_file: missing: name the file with the certificate's key"))
	}
	if len(c.ClientNames) > 0 && c.ClientCAFile == "" {
		errs = append(errs, errors.New("tls.client_ca_file: missing: client_names needs the authority that signed these certificates"))
	}
	if c.ClientCRLFile != "" && c.ClientCAFile == "" {
		errs = append(errs, errors.New("tls.client_ca_file: missing: client_crl_file needs the authority that signed it"))
	}
	return errors.Join(errs...)
}

// Reasons why a handshake fails.
const (
	refuseHandshake = "tls_handshake"
	refuseUntrusted = "tls_untrusted"
	refuseExpired   = "tls_expired"
	refuseName      = "tls_name"
	refuseRevoked   = "tls_revoked"
)

var (
	errNoCertificate = errors.New("the sender presented no certificate")
	errName          = errors.New("the name in the sender's certificate is not in tls.client_names")
	errNotListed     = errors.New("the address is not in receiver.senders")
	errRevoked       = errors.New("the sender's certificate is revoked, or its authority has no list in tls.client_crl_file")
)

// certificateCheck is how often at most the files are looked at.
const certificateCheck = time.Second

// certificates holds what the files of a TLSConfig said last and reads them
// again when they change. A change that cannot be read is logged, and what was
// true before stays in force. It is safe for concurrent use.
type certificates struct {
	config TLSConfig
	log    *slog.Logger

	mu      sync.Mutex
	state   certificateState
	files   fileMarks
	checked time.Time
}

// certificateState is one reading of the files.
type certificateState struct {
	config                  TLSConfig
	tls                     *tls.Config
	serverExpiry, authority time.Time // authority: when the first of them expires
	revoked                 *revocations
	reading                 uint64 // counts the readings
}

// fileMarks are those of the files that a TLSConfig names.
type fileMarks [4]fileMark

// fileMark tells one version of a file from another.
type fileMark struct {
	modified time.Time
	size     int64
}

func loadCertificates(c TLSConfig, log *slog.Logger) (*certificates, error) {
	k := &certificates{config: c, log: log, checked: time.Now()}
	k.files = k.marks()
	state, err := readCertificates(c)
	k.state = state
	return k, err
}

// mutual reports whether senders must show a certificate.
func (k *certificates) mutual() bool { return k.current().config.ClientCAFile != "" }

// marks looks at the files; one that is missing has the zero mark.
func (k *certificates) marks() (marks fileMarks) {
	for i, name := range []string{k.config.CertFile, k.config.KeyFile, k.config.ClientCAFile, k.config.ClientCRLFile} {
		if info, err := os.Stat(name); err == nil {
			marks[i] = fileMark{modified: info.ModTime(), size: info.Size()}
		}
	}
	return marks
}

// current returns what is in force, after a look at the files.
func (k *certificates) current() certificateState {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.checked) >= certificateCheck {
		k.checked = now
		if marks := k.marks(); marks != k.files {
			k.files = marks
			k.reload()
		}
	}
	return k.state
}

// reconfigure puts other files and names in force, if they can be read.
func (k *certificates) reconfigure(c TLSConfig) error {
	state, err := readCertificates(c)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.config = c
	k.use(state)
	k.files = k.marks()
	return nil
}

func (k *certificates) reload() {
	state, err := readCertificates(k.config)
	if err != nil {
		k.log.Error("cannot reload the certificates; keeping the old ones", "error", err)
		return
	}
	k.use(state)
	k.log.Info("certificates reloaded", "expires", state.serverExpiry)
}

func (k *certificates) use(state certificateState) {
	state.reading = k.state.reading + 1
	k.state = state
}

// readCertificates reads the files into a configuration for handshakes.
func readCertificates(c TLSConfig) (certificateState, error) {
	pair, err := readPair(c)
	if err != nil {
		return certificateState{}, err
	}
	state := certificateState{
		config:       c,
		serverExpiry: pair.Leaf.NotAfter,
		tls: &tls.Config{
			Certificates: []tls.Certificate{pair},
			MinVersion:   tls.VersionTLS12,
			MaxVersion:   tls.VersionTLS12,
			// rsyslog never reads a ticket: its close becomes a reset, and
			// what is in flight dies.
			SessionTicketsDisabled: true,
		},
	}
	if c.MaxVersion == "1.3" {
		state.tls.MaxVersion = tls.VersionTLS13
	}
	if c.ClientCAFile == "" {
		return state, nil
	}
	if err := state.trust(c); err != nil {
		return certificateState{}, err
	}
	return state, nil
}

// trust reads who signs the certificates of senders and what they have revoked.
func (s *certificateState) trust(c TLSConfig) error {
	authorities, err := readAuthorities(c.ClientCAFile)
	if err != nil {
		return err
	}
	s.tls.ClientCAs = x509.NewCertPool()
	for _, a := range authorities {
		s.tls.ClientCAs.AddCert(a)
		if s.authority.IsZero() || a.NotAfter.Before(s.authority) {
			s.authority = a.NotAfter
		}
	}
	if c.ClientCRLFile != "" {
		if s.revoked, err = readRevocations(c.ClientCRLFile, authorities); err != nil {
			return err
		}
	}
	s.tls.ClientAuth = tls.VerifyClientCertIfGiven
	revoked := s.revoked
	s.tls.VerifyConnection = func(shown tls.ConnectionState) error {
		_, err := c.clientName(shown)
		if err == nil && revoked != nil && !revoked.permits(shown.VerifiedChains) {
			return errRevoked
		}
		return err
	}
	return nil
}

// verify asks again what the handshake asked: who was a sender then may be none
// now. It returns the sender's name.
func (s *certificateState) verify(shown tls.ConnectionState, now time.Time) (name string, err error) {
	if len(shown.PeerCertificates) == 0 {
		return "", errNoCertificate
	}
	between := x509.NewCertPool()
	for _, cert := range shown.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	shown.VerifiedChains, err = shown.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: s.tls.ClientCAs, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return "", err
	}
	if err := s.tls.VerifyConnection(shown); err != nil {
		return "", err
	}
	return s.config.clientName(shown)
}

func readPair(c TLSConfig) (tls.Certificate, error) {
	cert, err := readFile("tls.cert_file", c.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readFile("tls.key_file", c.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tls.key_file: %s does not match the certificate in %s (%w): use the key of this certificate, both in PEM", c.KeyFile, c.CertFile, err)
	}
	return pair, nil
}

// readAuthorities returns the certificates in a file.
func readAuthorities(name string) (all []*x509.Certificate, err error) {
	data, err := readFile("tls.client_ca_file", name)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca_file: %s: %w", name, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("tls.client_ca_file: %s contains no certificate: use the certificate of the authority that signed the senders' certificates, in PEM", name)
	}
	return all, nil
}

// readFile says in one sentence what to do about a file that cannot be read.
func readFile(key, name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w: create the file or correct the path", key, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w: give the user that runs uppercut read access", key, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return data, nil
}

// clientName returns the name by which the sender is known: the first DNS name
// in its certificate that may log, the common name if there is no DNS name
// (RFC 5425, section 5.1).
func (c TLSConfig) clientName(s tls.ConnectionState) (string, error) {
	if len(s.PeerCertificates) == 0 {
		return "", errNoCertificate
	}
	leaf := s.PeerCertificates[0]
	names := leaf.DNSNames
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	for _, name := range names {
		if c.mayLog(name) {
			return strings.ToLower(name), nil
		}
	}
	return "", &nameError{nameIn(leaf)}
}

func (c TLSConfig) mayLog(name string) bool {
	if len(c.ClientNames) == 0 {
		return true
	}
	_, parent, _ := strings.Cut(name, ".")
	for _, allowed := range c.ClientNames {
		if suffix, ok := strings.CutPrefix(allowed, "*."); ok && strings.EqualFold(parent, suffix) || strings.EqualFold(name, allowed) {
			return true
		}
	}
	return false
}

// handshake makes a TLS connection of conn and, with mutual TLS, puts the name
// of the certificate into from. The other end learns of a refusal within the
// handshake.
func (k *certificates) handshake(ctx context.Context, conn net.Conn, from *origin) (*tls.Conn, error) {
	now := k.current()
	ctx, cancel := context.WithTimeout(ctx, now.config.HandshakeTimeout)
	defer cancel()
	secure := tls.Server(conn, now.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if now.config.ClientCAFile == "" {
		return secure, nil
	}
	shown := secure.ConnectionState()
	name, err := now.config.clientName(shown)
	if err != nil {
		return nil, err
	}
	from.sender, from.expires = name, shown.PeerCertificates[0].NotAfter
	return secure, nil
}

// handshakeFailure returns the metric label of an error of handshake or mayLog.
func handshakeFailure(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return refuseExpired
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || errors.Is(err, errNoCertificate) {
		return refuseUntrusted
	}
	switch {
	case errors.Is(err, errName):
		return refuseName
	case errors.Is(err, errRevoked):
		return refuseRevoked
	case errors.Is(err, errNotListed):
		return refuseSender
	}
	return refuseHandshake
}
