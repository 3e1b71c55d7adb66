package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapeTimeout ends a scrape that a stuck collector would hold for ever. It is
// a little under Prometheus' own default of 10 s.
const scrapeTimeout = 9 * time.Second

// NewRegistry returns a registry that holds the metrics of the Go runtime, of
// the process and of the build, and nothing else.
func NewRegistry(b Build) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		b.collector(),
	)
	return r
}

// Handler serves what g gathers in the classic text format, or in OpenMetrics
// to who asks for it, since only that carries exemplars. Its own metrics go to
// reg; nil keeps them unregistered. What a failing collector leaves out is
// missing from the answer and counted, the rest is served.
func Handler(g prometheus.Gatherer, reg prometheus.Registerer) http.Handler {
	h := promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 8,
		Registry:            reg,
		Timeout:             scrapeTimeout,
	})
	if reg == nil {
		return h
	}
	return promhttp.InstrumentMetricHandler(reg, h)
}

// register adds cs to reg unless reg is nil.
func register(reg prometheus.Registerer, cs ...prometheus.Collector) {
	if reg != nil {
		reg.MustRegister(cs...)
	}
}
