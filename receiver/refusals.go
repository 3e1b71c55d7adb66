package receiver

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

const (
	// maxRefusals bounds the addresses that are remembered because they are
	// refused: everybody can be, and by UDP under any name.
	maxRefusals = 1024
	// refusalSample is of how many remembered addresses the least is forgotten
	// for a new one.
	refusalSample = 8
	// RefusalMemory is for how long a refused address is remembered after its
	// last attempt.
	RefusalMemory = 24 * time.Hour
	// refusalPause is how long an address that is refused again and again is not
	// warned about, and maxRefusalWarnings how many warnings there are in that
	// time.
	refusalPause       = time.Hour
	maxRefusalWarnings = 60
	// persistent is after how many attempts an address counts as a sender that
	// should be heard, or should be told to stop, and not as somebody who looks
	// which ports are open.
	persistent = 3
)

// Refusal is an address that tries to send and is not heard.
type Refusal struct {
	Addr      netip.Addr
	Transport Transport // of the last attempt
	// Reason is the label of the last attempt in the metrics: acl,
	// reverse_path, tls_handshake, tls_untrusted, tls_expired, tls_name or
	// tls_revoked.
	Reason string
	// Name is that in the certificate that was refused, "" without one: a claim.
	Name string
	// First and Last are when it tried, Attempts how often: connections and
	// datagrams.
	First, Last time.Time
	Attempts    uint64
}

// refusalWords say what is wrong, refusalRemedies what to do about it.
var (
	refusalWords = map[string]string{
		refuseSender:    "not in receiver.senders",
		dropPath:        "came in over an interface that does not lead back to it",
		refuseHandshake: "no TLS handshake",
		refuseUntrusted: "no certificate that receiver.tls.client_ca_file has signed",
		refuseExpired:   "certificate has expired",
		refuseName:      "name of the certificate not in receiver.tls.client_names",
		refuseRevoked:   "certificate is revoked",
	}
	refusalRemedies = map[string]string{
		refuseSender:    "if it is a mail host, list its address in receiver.hosts or receiver.senders and reload",
		dropPath:        "if it is a mail host, mend the route to it, or set receiver.reverse_path to false",
		refuseHandshake: "if it is a mail host, have it speak TLS to this port",
		refuseUntrusted: "if it is a mail host, give it a certificate of that authority",
		refuseExpired:   "renew the certificate on the mail host",
		refuseName:      "if it is a mail host, list that name in receiver.tls.client_names and reload",
		refuseRevoked:   "if it is a mail host, give it a new certificate",
	}
)

// Words say in a few words what is wrong.
func (r Refusal) Words() string { return refusalWords[r.Reason] }

// refusals remembers who is refused, and warns of it. It is safe for concurrent
// use.
type refusals struct {
	log       *slog.Logger
	forgotten prometheus.Counter

	mu    sync.Mutex
	known map[netip.Addr]*refused
	// The hour in which warnings are counted: how many there were, and how many
	// there would have been above the limit.
	hour           time.Time
	warned, unsaid int
}

// refused is what is remembered of one address.
type refused struct {
	Refusal
	warned time.Time
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{
		log: log, known: make(map[netip.Addr]*refused),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uppercut_refused_senders_forgotten_total",
			Help: "Refused addresses that were dropped from the list early because there are too many.",
		}),
	}
}

// add remembers an attempt; of r it reads Addr, Transport, Reason, Name and
// Last.
func (r *refusals) add(attempt Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.known[attempt.Addr]
	if !ok {
		r.makeRoom()
		known = &refused{Refusal: Refusal{Addr: attempt.Addr, First: attempt.Last}}
		r.known[attempt.Addr] = known
	}
	again := attempt.Last.Sub(known.warned) < refusalPause
	known.Transport, known.Reason, known.Name, known.Last = attempt.Transport, attempt.Reason, attempt.Name, attempt.Last
	known.Attempts++
	if !again {
		known.warned = attempt.Last
		r.warn(known.Refusal)
	}
}

// makeRoom forgets one of a few addresses that are looked at: the one that tried
// least often, of these the one that has not tried for longest. So nobody can
// fill the table for good, and who tries again and again stays in it.
func (r *refusals) makeRoom() {
	if len(r.known) < maxRefusals {
		return
	}
	var least *refused
	looked := 0
	for _, known := range r.known { // begins anywhere
		if least == nil || cmp.Or(cmp.Compare(known.Attempts, least.Attempts), known.Last.Compare(least.Last)) < 0 {
			least = known
		}
		if looked++; looked == refusalSample {
			break
		}
	}
	delete(r.known, least.Addr)
	r.forgotten.Inc()
}

// warn says that an address is refused, unless too much was said in this hour.
func (r *refusals) warn(a Refusal) {
	if a.Last.Sub(r.hour) >= refusalPause {
		if r.unsaid > 0 {
			r.log.Warn("refusing more senders", "warnings", r.unsaid)
		}
		r.hour, r.warned, r.unsaid = a.Last, 0, 0
	}
	if r.warned >= maxRefusalWarnings {
		r.unsaid++
		return
	}
	r.warned++
	log := r.log
	if a.Name != "" {
		log = log.With("certificate", a.Name)
	}
	log.Warn("refusing a sender", "sender", a.Addr.String(), "listener", a.Transport.String(), "reason", a.Words(), "remedy", refusalRemedies[a.Reason])
}

// heard forgets an address that is heard now.
func (r *refusals) heard(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, addr)
}

// listed forgets the addresses that were refused for their address and are on
// the list now.
func (r *refusals) listed(p *policy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for addr, known := range r.known {
		if known.Reason == refuseSender && p.allows(addr) {
			delete(r.known, addr)
		}
	}
}

// list returns the addresses that tried within RefusalMemory, the last first.
func (r *refusals) list(now time.Time) []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Refusal
	for addr, known := range r.known {
		if now.Sub(known.Last) > RefusalMemory {
			delete(r.known, addr)
			continue
		}
		all = append(all, known.Refusal)
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Addr.Compare(b.Addr))
	})
	return all
}

// persist counts, by reason, the addresses that tried several times, the last
// time within the last hour.
func (r *refusals) persist(now time.Time) map[string]int {
	count := make(map[string]int)
	for _, known := range r.list(now) {
		if known.Attempts >= persistent && now.Sub(known.Last) < time.Hour {
			count[known.Reason]++
		}
	}
	return count
}

// certificateName is the name in the certificate that a handshake has refused,
// "" if there was none.
func certificateName(err error) string {
	if wrong, ok := errors.AsType[*nameError](err); ok {
		return wrong.name
	}
	unverified, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(unverified.UnverifiedCertificates) == 0 {
		return ""
	}
	return nameIn(unverified.UnverifiedCertificates[0])
}

// nameIn is the first name in a certificate.
func nameIn(leaf *x509.Certificate) string {
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	return strings.Clone(name[:min(len(name), maxHost)])
}

// nameError says that a certificate has none of the names that may log.
type nameError struct{ name string }

func (e *nameError) Error() string { return errName.Error() }

func (e *nameError) Unwrap() error { return errName }

// knock is a connection of which it is known whether a byte has come.
type knock struct {
	net.Conn
	spoke bool
}

// Read implements net.Conn.
func (k *knock) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	k.spoke = k.spoke || n > 0
	return n, err
}

// isProbe reports whether a handshake failed because the other end went away
// without a byte, as what looks only whether the port is open does.
func (k *knock) isProbe(err error) bool {
	return !k.spoke && (errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET))
}
