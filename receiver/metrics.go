package receiver

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Reasons why a message that was read is dropped. What is wrong with a header
// is a HeaderError.
const (
	dropSender  = "acl"          // not a listed sender
	dropPath    = "reverse_path" // came over another interface than answers go
	dropFraming = "framing"      // the stream ended within a frame
)

// Reasons why a connection is refused.
const (
	refuseSender      = "acl"
	refuseLimit       = "limit"
	refuseSenderLimit = "sender_limit"
	refuseSilent      = "silent"      // made room for another before its first message
	refuseDescriptors = "descriptors" // the process has no file descriptor left
)

// metrics are the receiver's counters. Those of a listener kind are looked up
// once and kept in counters.
type metrics struct {
	received, bytes, truncated      *prometheus.CounterVec
	dropped, rejected               *prometheus.CounterVec
	accepted                        *prometheus.CounterVec
	connections                     *prometheus.GaugeVec
	framingFailures, syslogFailures prometheus.Counter
}

// counters are the metrics of one kind of listener.
type counters struct {
	received, bytes, truncated prometheus.Counter
	drops                      map[string]prometheus.Counter
	framingFailures            prometheus.Counter
	syslogFailures             prometheus.Counter
	accepted                   prometheus.Counter
	connections                prometheus.Gauge
	rejects                    map[string]prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	failures := func(stage string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "uppercut_parse_failures_total",
			Help:        "Messages that could not be parsed; stage is framing, syslog or sendmail.",
			ConstLabels: prometheus.Labels{"stage": stage},
		})
	}
	m := &metrics{
		received: counter("uppercut_messages_received_total",
			"Syslog messages taken off the wire, before any parsing.", "listener"),
		bytes: counter("uppercut_received_bytes_total",
			"Bytes of syslog payload received.", "listener"),
		truncated: counter("uppercut_messages_truncated_total",
			"Messages longer than the configured maximum that were cut.", "listener"),
		dropped: counter("uppercut_messages_dropped_total",
			"Messages received by the process and then dropped; reason is acl, reverse_path, framing, empty, priority, timestamp or header.", "listener", "reason"),
		accepted: counter("uppercut_connections_accepted_total",
			"Accepted sender connections.", "listener"),
		rejected: counter("uppercut_connections_rejected_total",
			"Refused sender connections; reason is acl, limit, sender_limit, silent or descriptors.", "listener", "reason"),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "uppercut_connections", Help: "Open sender connections.",
		}, []string{"listener"}),
		framingFailures: failures("framing"),
		syslogFailures:  failures("syslog"),
	}
	return m, register(r, m.received, m.bytes, m.truncated, m.dropped, m.accepted, m.rejected,
		m.connections, m.framingFailures, m.syslogFailures)
}

// register registers all of cs, or none; r may be nil.
func register(r prometheus.Registerer, cs ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for i, c := range cs {
		if err := r.Register(c); err != nil {
			for _, done := range cs[:i] {
				r.Unregister(done)
			}
			return err
		}
	}
	return nil
}

// of returns the counters of one kind of listener, each known label value set
// to 0.
func (m *metrics) of(t Transport) *counters {
	listener := t.String()
	drops := []string{string(ErrEmpty), string(ErrPriority), string(ErrTimestamp), string(ErrHeader)}
	var rejects []string
	switch t {
	case UDP:
		drops = append(drops, dropSender, dropPath)
	case TCP, TLS, RELP:
		drops = append(drops, dropFraming)
		rejects = []string{refuseSender, refuseLimit, refuseSenderLimit, refuseSilent, refuseDescriptors}
	case Unix:
	}
	c := &counters{
		received:        m.received.WithLabelValues(listener),
		bytes:           m.bytes.WithLabelValues(listener),
		truncated:       m.truncated.WithLabelValues(listener),
		drops:           children(m.dropped, listener, drops),
		rejects:         children(m.rejected, listener, rejects),
		framingFailures: m.framingFailures,
		syslogFailures:  m.syslogFailures,
	}
	if rejects != nil {
		c.accepted = m.accepted.WithLabelValues(listener)
		c.connections = m.connections.WithLabelValues(listener)
	}
	return c
}

// drop counts a message that was read and is not taken.
func (c *counters) drop(reason string) { c.drops[reason].Inc() }

// reject counts a connection that is not served, or no longer.
func (c *counters) reject(reason string) { c.rejects[reason].Inc() }

func children(v *prometheus.CounterVec, listener string, reasons []string) map[string]prometheus.Counter {
	byReason := make(map[string]prometheus.Counter, len(reasons))
	for _, reason := range reasons {
		byReason[reason] = v.WithLabelValues(listener, reason)
	}
	return byReason
}

// socketCollector exports what the kernel says of the datagram sockets, asked
// at each scrape.
type socketCollector struct {
	sockets       map[Transport][]*datagramSocket
	drops, buffer *prometheus.Desc
}

func newSocketCollector(sockets map[Transport][]*datagramSocket) *socketCollector {
	return &socketCollector{
		sockets: sockets,
		drops: prometheus.NewDesc("uppercut_udp_kernel_drops_total",
			"Datagrams the kernel dropped because the socket receive buffer was full.", []string{"listener"}, nil),
		buffer: prometheus.NewDesc("uppercut_udp_receive_buffer_bytes",
			"Effective socket receive buffer size.", []string{"listener"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *socketCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.drops
	ch <- c.buffer
}

// Collect implements prometheus.Collector.
func (c *socketCollector) Collect(ch chan<- prometheus.Metric) {
	for _, t := range slices.Sorted(maps.Keys(c.sockets)) {
		var drops, buffer uint64
		for _, s := range c.sockets[t] {
			m := s.memory()
			drops += uint64(m.drops)
			buffer += uint64(m.buffer)
		}
		ch <- prometheus.MustNewConstMetric(c.drops, prometheus.CounterValue, float64(drops), t.String())
		ch <- prometheus.MustNewConstMetric(c.buffer, prometheus.GaugeValue, float64(buffer), t.String())
	}
}
