package feed

import "github.com/prometheus/client_golang/prometheus"

// How requests end: the values of the label outcome.
const (
	outcomeAnswered = "answered"
	outcomeDenied   = "denied"  // nobody's key, or a client from another address
	outcomeLimited  = "limited" // it asks too often
	outcomeRefused  = "refused" // a mistake in the query
	outcomeFailed   = "failed"  // the client did not take the answer
)

// nobody is the label of requests of which no client is known.
const nobody = "none"

type metrics struct {
	requests   *prometheus.CounterVec
	whole      *prometheus.CounterVec
	lastPull   *prometheus.GaugeVec
	open       prometheus.Gauge
	turnedAway prometheus.Counter
	updated    prometheus.Gauge

	zonesWritten prometheus.Gauge
	zoneFailures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, m *mirror) *metrics {
	out := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uppercut_feed_requests_total",
			Help: "Requests for the block list; client is none if it is unknown, outcome is answered, denied, limited, refused or failed.",
		}, []string{"client", "outcome"}),
		whole: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uppercut_feed_whole_answers_total",
			Help: "Answers to bouncers that held the whole block list and not the changes only.",
		}, []string{"client"}),
		lastPull: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "uppercut_feed_last_pull_timestamp_seconds",
			Help: "Time of the last answer that a bouncer took; only of clients that have asked for changes since the start.",
		}, []string{"client"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_feed_connections",
			Help: "Open connections of clients that get the block list.",
		}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uppercut_feed_connections_closed_total",
			Help: "Connections of clients that were closed because of the limit.",
		}),
		updated: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_feed_last_update_timestamp_seconds",
			Help: "Time when the copy of the block list that clients get was last compared with the enforcer's.",
		}),
	}
	out.zonesWritten = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "uppercut_feed_zones_last_write_timestamp_seconds",
		Help: "Time when the files for rbldnsd were last written.",
	})
	out.zoneFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "uppercut_feed_zone_write_failures_total",
		Help: "Failed attempts to write the files for rbldnsd; the old ones stay.",
	})
	if reg != nil {
		entries := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "uppercut_feed_entries",
			Help: "Addresses and networks in the copy of the block list that clients get.",
		}, func() float64 { return float64(m.len()) })
		reg.MustRegister(out.requests, out.whole, out.lastPull, out.open, out.turnedAway, out.updated, entries, out.zonesWritten, out.zoneFailures)
	}
	out.requests.WithLabelValues(nobody, outcomeDenied)
	return out
}

// preset makes the counters of clients start at 0.
func (m *metrics) preset(c *clients) {
	for _, one := range c.all {
		m.whole.WithLabelValues(one.name)
		for _, outcome := range []string{outcomeAnswered, outcomeLimited, outcomeRefused, outcomeFailed} {
			m.requests.WithLabelValues(one.name, outcome)
		}
	}
}
