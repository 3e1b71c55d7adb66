package receiver

import (
	"cmp"
	"net/netip"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxHosts bounds the host labels that only lines name: who sends by UDP can
	// invent names.
	maxHosts = 256
	// otherHost is the label of the hosts beyond the limit and of those whose
	// name is none.
	otherHost = "other"
	// maxHost is the longest host name that RFC 5424, section 6, allows.
	maxHost = 255
)

// Hosts gives mail hosts their metric label, the same wherever they are
// counted: the name that the configuration or the certificate gives to the
// sender, else the one in its lines, of which only the first 256 get labels, and
// none that the configuration gives to other addresses. It is safe for concurrent
// use.
type Hosts struct {
	overflow prometheus.Counter

	mu     sync.RWMutex
	policy *policy
	known  map[string]struct{} // those that are not configured
	// claimed is how many of them only lines name; who shows a certificate
	// takes no place of theirs.
	claimed int
}

// NewHosts knows the hosts of c. reg takes its metric; nil keeps it
// unregistered.
func NewHosts(c Config, reg prometheus.Registerer) (*Hosts, error) {
	overflow := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "uppercut_label_overflow_total",
		Help: "Observations folded into the label value other because the limit of distinct values was reached.",
	}, []string{"label"})
	if err := register(reg, overflow); err != nil {
		return nil, err
	}
	return &Hosts{overflow: overflow.WithLabelValues("host"), policy: newPolicy(c), known: make(map[string]struct{})}, nil
}

// configure replaces the configured hosts.
func (h *Hosts) configure(p *policy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policy = p
}

// Label returns the label of a host: sender as in Message.Sender, host as in
// Message.Host.
func (h *Hosts) Label(sender, host string) string {
	from := originOf(sender)
	h.mu.RLock()
	own := h.policy.host(from)
	h.mu.RUnlock()
	return h.label(own, h.claim(from, host))
}

// claim is policy.claim of the policy in force.
func (h *Hosts) claim(from *origin, host string) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.policy.claim(from, host)
}

// Row returns under which name SenderStatus lists a host: its label, and for a
// host of which nothing but an address is known that address.
func (h *Hosts) Row(sender, host string) string { return rowOf(h.Label(sender, host), host) }

// Witness returns who a sender is, which it cannot choose: the name in its
// certificate or of its address in receiver.hosts, else Message.Sender. known
// says that a certificate or the configuration gives it that name; with relay it
// passes on the lines of other hosts.
func (h *Hosts) Witness(sender string) (name string, known, relay bool) {
	from := originOf(sender)
	h.mu.RLock()
	defer h.mu.RUnlock()
	host, relay := h.policy.host(from), h.policy.isRelay(from)
	return cmp.Or(host, sender), host != "" || relay || from.transport == Unix, relay
}

// label bounds the names that are labels: own is that of the configuration or
// the certificate, "" without either. A claimed address stands for the host to
// which the configuration gives it; no address is a label.
func (h *Hosts) label(own, claimed string) string {
	name := cmp.Or(own, claimed)
	if name == "" {
		return otherHost
	}
	h.mu.RLock()
	_, known := h.known[name]
	known = known || h.policy.names[name]
	policy := h.policy
	h.mu.RUnlock()
	if known {
		return name
	}
	if addr := addressOf(name); own == "" && addr.IsValid() {
		listed, _ := policy.hosts.Lookup(addr)
		return cmp.Or(listed, otherHost)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known = h.known[name] // by now, by another goroutine
	switch {
	case known:
		return name
	case !isHostName(name), own == "" && h.claimed >= maxHosts:
		h.overflow.Inc()
		return otherHost
	case own == "":
		h.claimed++
	}
	name = strings.Clone(name) // it may be part of a read buffer
	h.known[name] = struct{}{}
	return name
}

// addressOf reads a host that is an address, in brackets or not, in canonical
// form; it is invalid for a name.
func addressOf(host string) netip.Addr {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// isHostName reports whether name may be a label: a DNS name, and no address.
func isHostName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil && name != "" && len(name) <= maxHost
}
