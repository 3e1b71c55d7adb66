package receiver

import (
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/receiver/header"
)

// Reasons why a message that was read is dropped. What is wrong with a header
// is a header.Error.
const (
	dropSender  = "acl"          // not a listed sender
	dropPath    = "reverse_path" // came over another interface than answers go
	dropFraming = "framing"      // the stream ended within a frame
	// not taken at the end of Config.StopTimeout
	dropShutdown = "shutdown"
)

// Reasons why a connection is refused.
const (
	refuseSender      = "acl"
	refuseLimit       = "limit"
	refuseSenderLimit = "sender_limit"
	refuseSilent      = "silent"      // made room for another before its first message
	refuseDescriptors = "descriptors" // the process has no file descriptor left
	refuseIdle        = "idle"        // sent nothing for Config.IdleTimeout
	refuseUnread      = "unread"      // did not read its RELP answers
)

// metrics are the receiver's counters. Those of a listener kind are looked up
// once and kept in counters.
type metrics struct {
	received, bytes, truncated      *prometheus.CounterVec
	lost, withheld                  *prometheus.CounterVec
	dropped, rejected               *prometheus.CounterVec
	accepted, probes                *prometheus.CounterVec
	connections, waiting            *prometheus.GaugeVec
	framingFailures, syslogFailures prometheus.Counter
	kinds                           map[Transport]*counters
}

// counters are the metrics of one kind of listener.
type counters struct {
	received, bytes, truncated prometheus.Counter
	lost                       prometheus.Counter
	withheld                   [4]prometheus.Counter // by header.Withheld
	drops                      map[string]prometheus.Counter
	framingFailures            prometheus.Counter
	syslogFailures             prometheus.Counter
	accepted, probes           prometheus.Counter
	connections                prometheus.Gauge
	behind, owed               prometheus.Gauge // connections that are not read for now
	rejects                    map[string]prometheus.Counter
}

// newMetrics makes the metrics of r and registers them, or none of them;
// registerer may be nil.
func newMetrics(registerer prometheus.Registerer, r *Receiver) (*metrics, error) {
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
			"Syslog messages received, before any parsing.", "listener"),
		bytes: counter("uppercut_received_bytes_total",
			"Bytes of syslog payload received.", "listener"),
		truncated: counter("uppercut_messages_truncated_total",
			"Messages longer than the configured maximum that were cut.", "listener"),
		lost: counter("uppercut_messages_lost_total",
			"Messages lost before they arrived, according to gaps in syslog-ng's sequenceId.", "listener"),
		withheld: counter("uppercut_messages_withheld_total",
			"Messages containing something that was not counted; holds is header (the sender may be a relay), tag (sendmail's, after the tag of another program that may wrap it) or repeats (last message repeated, which may refer to one that was lost).", "listener", "holds"),
		dropped: counter("uppercut_messages_dropped_total",
			"Messages received by the process and then dropped; reason is acl, reverse_path, framing, shutdown, empty, priority, timestamp, header or compressed.", "listener", "reason"),
		accepted: counter("uppercut_connections_accepted_total",
			"Accepted sender connections.", "listener"),
		probes: counter("uppercut_tls_probes_total",
			"Connections to a TLS port that ended before the first byte, as port checks do.", "listener"),
		rejected: counter("uppercut_connections_rejected_total",
			"Sender connections that were refused, or closed once no longer permitted; reason is acl, limit, sender_limit, silent, descriptors, idle, unread, tls_handshake, tls_untrusted, tls_expired, tls_name or tls_revoked.", "listener", "reason"),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "uppercut_connections", Help: "Open sender connections.",
		}, []string{"listener"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "uppercut_connections_waiting",
			Help: "Connections that are currently not read; cause is judge (it is behind) or answers (a RELP client does not read its answers).",
		}, []string{"listener", "cause"}),
		framingFailures: failures("framing"),
		syslogFailures:  failures("syslog"),
		kinds:           make(map[Transport]*counters),
	}
	for _, t := range r.transports() {
		m.kinds[t] = m.of(t)
	}
	return m, register(registerer, m.received, m.bytes, m.truncated, m.lost, m.withheld, m.dropped, m.accepted, m.probes, m.rejected,
		r.refusals.forgotten, m.connections, m.waiting, m.framingFailures, m.syslogFailures, newScrape(r))
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
	var drops []string
	for _, kind := range header.Errors() {
		drops = append(drops, string(kind))
	}
	if t == UDP {
		drops = append(drops, dropSender, dropPath)
	}
	if t != RELP { // whose clients keep what was not answered
		drops = append(drops, dropShutdown)
	}
	c := &counters{
		received:        m.received.WithLabelValues(listener),
		bytes:           m.bytes.WithLabelValues(listener),
		truncated:       m.truncated.WithLabelValues(listener),
		lost:            m.lost.WithLabelValues(listener),
		framingFailures: m.framingFailures,
		syslogFailures:  m.syslogFailures,
	}
	c.withheld[header.WithheldHeader] = m.withheld.WithLabelValues(listener, "header")
	c.withheld[header.WithheldTag] = m.withheld.WithLabelValues(listener, "tag")
	c.withheld[header.WithheldRepeats] = m.withheld.WithLabelValues(listener, "repeats")
	if t == TCP || t == TLS || t == RELP {
		drops = append(drops, dropFraming)
		c.rejects = children(m.rejected, listener, []string{
			refuseSender, refuseLimit, refuseSenderLimit, refuseSilent, refuseDescriptors, refuseIdle, refuseUnread,
			refuseHandshake, refuseUntrusted, refuseExpired, refuseName, refuseRevoked,
		})
		c.accepted = m.accepted.WithLabelValues(listener)
		c.connections = m.connections.WithLabelValues(listener)
		c.behind = m.waiting.WithLabelValues(listener, "judge")
		c.owed = m.waiting.WithLabelValues(listener, "answers")
	}
	if t == TLS || t == RELP {
		c.probes = m.probes.WithLabelValues(listener)
	}
	c.drops = children(m.dropped, listener, drops)
	return c
}

// drop counts a message that was read and is not taken.
func (c *counters) drop(reason string) { c.drops[reason].Inc() }

// withhold counts a message whose text holds what does not count.
func (c *counters) withhold(kind header.Withheld) {
	if kind != header.WithheldNothing {
		c.withheld[kind].Inc()
	}
}

// reject counts a connection that is not served, or no longer.
func (c *counters) reject(reason string) { c.rejects[reason].Inc() }

func children(v *prometheus.CounterVec, listener string, reasons []string) map[string]prometheus.Counter {
	byReason := make(map[string]prometheus.Counter, len(reasons))
	for _, reason := range reasons {
		byReason[reason] = v.WithLabelValues(listener, reason)
	}
	return byReason
}
