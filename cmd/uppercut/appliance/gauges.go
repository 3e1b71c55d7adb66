package appliance

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges reads at scrape what is known where the packages meet.
type gauges struct{ a *Appliance }

var (
	ruleBlockDesc = prometheus.NewDesc("uppercut_rule_block_duration_seconds",
		"Configured block duration of the rule.", []string{"rule"}, nil)
	queueLengthDesc = prometheus.NewDesc("uppercut_queue_length",
		"Items waiting; queue is ingest, where an item is a batch of messages from one read of a socket.", []string{"queue"}, nil)
	queueCapacityDesc = prometheus.NewDesc("uppercut_queue_capacity",
		"Configured capacity of the queue; while it is full, readers and senders wait.", []string{"queue"}, nil)
	notUnderstoodDesc = prometheus.NewDesc("uppercut_senders_not_understood",
		"Senders none of whose lines are understood; a relay counts once for each of its hosts.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- ruleBlockDesc
	ch <- queueLengthDesc
	ch <- queueCapacityDesc
	ch <- notUnderstoodDesc
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, label string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label)
	}
	for _, rule := range g.a.config.Load().Detector.Rules {
		gauge(ruleBlockDesc, rule.Block.Seconds(), rule.Name)
	}
	gauge(queueLengthDesc, float64(len(g.a.pipeline.queue)), "ingest")
	gauge(queueCapacityDesc, float64(cap(g.a.pipeline.queue)), "ingest")
	_, nothing := g.a.understood()
	ch <- prometheus.MustNewConstMetric(notUnderstoodDesc, prometheus.GaugeValue, float64(nothing))
}

// heartbeats reads at scrape how long ago the parts came around that must not
// stand still.
type heartbeats struct{ a *Appliance }

var heartbeatDesc = prometheus.NewDesc("uppercut_heartbeat_age_seconds",
	"Time since the last sign of life of a part: judge, enforcer, or ledger (duration of the current write).", []string{"part"}, nil)

// Describe implements prometheus.Collector.
func (h heartbeats) Describe(ch chan<- *prometheus.Desc) { ch <- heartbeatDesc }

// Collect implements prometheus.Collector.
func (h heartbeats) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	enforcer := h.a.enforcer.Heartbeats(now)
	for part, age := range map[string]time.Duration{
		"judge": h.a.pipeline.age(now), "enforcer": enforcer.Writer, "ledger": enforcer.Ledger,
	} {
		ch <- prometheus.MustNewConstMetric(heartbeatDesc, prometheus.GaugeValue, age.Seconds(), part)
	}
}
