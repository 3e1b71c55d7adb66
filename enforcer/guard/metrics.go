package guard

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The sources of exemptions, as metric labels.
const (
	sourceRoutes    = "routes"
	sourceSSH       = "ssh"
	sourceFiles     = "files"
	sourceResolvers = "resolvers"
	sourceDNS       = "dns"
	sourceNamesFile = "names_file"
)

// sourceName is the source of one DNS name's addresses.
func sourceName(name string) string { return sourceDNS + " " + name }

// label returns the metric label of a source.
func label(source string) string {
	kind, _, _ := strings.Cut(source, " ")
	return kind
}

type counters struct {
	refreshFailures *prometheus.CounterVec
}

// newCounters makes the metrics. The gauges are read off the Guard at scrape.
func newCounters(r prometheus.Registerer, g *Guard) *counters {
	auto := promauto.With(r)
	c := &counters{
		refreshFailures: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "uppercut_guard_refresh_failures_total",
			Help: "Failed attempts to read who must not be blocked; source is routes, ssh, files, resolvers, dns or names_file. The last known addresses stay exempt.",
		}, []string{"source"}),
	}
	for _, s := range []string{sourceRoutes, sourceSSH, sourceFiles, sourceResolvers, sourceDNS, sourceNamesFile} {
		c.refreshFailures.WithLabelValues(s)
	}
	for family, size := range map[string]func() int{"ipv4": g.allowed4, "ipv6": g.allowed6} {
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "uppercut_allowlist_entries",
			Help:        "Entries in the allow list.",
			ConstLabels: prometheus.Labels{"family": family},
		}, func() float64 { return float64(size()) })
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "uppercut_allowlist_unresolved_names",
		Help: "DNS names in the allow list for which no address is known.",
	}, func() float64 { return float64(g.unresolved()) })
	return c
}

// allowed4 and allowed6 return the number of prefixes that the operator allows.
func (g *Guard) allowed4() (n int) {
	for _, t := range g.current.Load().layers[allowConfigured : allowTimed+1] {
		n += t.Size4()
	}
	return n
}

func (g *Guard) allowed6() (n int) {
	for _, t := range g.current.Load().layers[allowConfigured : allowTimed+1] {
		n += t.Size6()
	}
	return n
}

// unresolved returns the number of names without an address.
func (g *Guard) unresolved() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range g.names {
		if len(name.addrs4)+len(name.addrs6) == 0 {
			n++
		}
	}
	return n
}
