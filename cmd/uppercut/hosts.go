package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxHosts limits the values of the label host: whoever sends by UDP can
// invent names.
const maxHosts = 256

// otherHost stands for the hosts beyond the limit.
const otherHost = "other"

// hostLabels gives mail hosts their metric label: the name in their log lines,
// the first maxHosts of them.
type hostLabels struct {
	overflow prometheus.Counter

	mu    sync.RWMutex
	known map[string]struct{}
}

func newHostLabels(reg prometheus.Registerer) *hostLabels {
	overflow := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "uppercut_label_overflow_total",
		Help: "Observations folded into the label value other because the limit of distinct values was reached.",
	}, []string{"label"})
	reg.MustRegister(overflow)
	return &hostLabels{overflow: overflow.WithLabelValues("host"), known: make(map[string]struct{})}
}

// label returns the label of the host that a sender names in its lines.
func (h *hostLabels) label(_, host string) string {
	if host == "" {
		return otherHost
	}
	h.mu.RLock()
	_, ok := h.known[host]
	h.mu.RUnlock()
	if ok {
		return host
	}
	return h.learn(host)
}

func (h *hostLabels) learn(host string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= maxHosts || !isHostName(host) {
		h.overflow.Inc()
		return otherHost
	}
	name := string([]byte(host)) // the caller's may pin a read buffer
	h.known[name] = struct{}{}
	return name
}

// isHostName keeps other text, an address for instance, out of labels.
func isHostName(host string) bool {
	letters := false
	for _, c := range []byte(host) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			letters = true
		case c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return letters && len(host) <= 255
}
