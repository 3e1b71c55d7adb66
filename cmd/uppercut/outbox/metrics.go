package outbox

import "github.com/prometheus/client_golang/prometheus"

// Why events are dropped: the values of the label reason.
const (
	dropOverflow = "overflow" // too many waited
	dropRefused  = "refused"  // the receiver will never take them
	dropExpired  = "expired"  // not delivered in time
	dropShutdown = "shutdown" // still waiting when the process ended
	dropOff      = "off"      // still waiting when the sink was switched off
)

type metrics struct {
	delivered *prometheus.CounterVec
	dropped   *prometheus.CounterVec
	failures  *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		delivered: counter("uppercut_events_delivered_total",
			"Events that were delivered; sink is webhook or syslog.", "sink"),
		dropped: counter("uppercut_events_dropped_total",
			"Events that were dropped; reason is overflow, refused, expired, shutdown or off.", "sink", "reason"),
		failures: counter("uppercut_event_delivery_failures_total",
			"Failed attempts to deliver events.", "sink"),
	}
}

// preset makes the counters of a sink start at 0.
func (m *metrics) preset(sink string) {
	m.delivered.WithLabelValues(sink)
	m.failures.WithLabelValues(sink)
	for _, reason := range []string{dropOverflow, dropRefused, dropExpired, dropShutdown, dropOff} {
		m.dropped.WithLabelValues(sink, reason)
	}
}

func (m *metrics) drop(sink, reason string, n int) {
	m.dropped.WithLabelValues(sink, reason).Add(float64(n))
}

// collector exports the counters, and the queues as they are.
type collector struct {
	*metrics
	sinks []*sink
}

var (
	lengthDesc = prometheus.NewDesc("uppercut_event_queue_length",
		"Events waiting for delivery.", []string{"sink"}, nil)
	capacityDesc = prometheus.NewDesc("uppercut_event_queue_capacity",
		"Limit of events waiting for delivery.", []string{"sink"}, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	c.delivered.Describe(ch)
	c.dropped.Describe(ch)
	c.failures.Describe(ch)
	ch <- lengthDesc
	ch <- capacityDesc
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.delivered.Collect(ch)
	c.dropped.Collect(ch)
	c.failures.Collect(ch)
	for _, s := range c.sinks {
		ch <- prometheus.MustNewConstMetric(lengthDesc, prometheus.GaugeValue, float64(s.queue.len()), s.name)
		ch <- prometheus.MustNewConstMetric(capacityDesc, prometheus.GaugeValue, float64(s.queue.cap()), s.name)
	}
}
