package enforcer

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"uppercut/enforcer/nft"
)

// The values of the cause label of the unblocks and the suppressed blocks.
const (
	causeExpired   = "expired"
	causeManual    = "manual"
	causeAllowed   = "allowlisted"
	causeReplaced  = "replaced"
	causeFlushed   = "flushed"
	causeCapacity  = "capacity"
	causeExempt    = "exempt"
	causeBreaker   = "breaker"
	causeAllowlist = "allowlist"
	causeOwn       = "own_address"
	causeBlocked   = "already_blocked"
	causeDryRun    = "dry_run"
	causeSetFull   = "set_full"
	causeRunOut    = "run_out"
	causeError     = "error"
)

var (
	suppressions = []string{causeAllowlist, causeOwn, causeBlocked, causeDryRun, causeSetFull, causeRunOut, causeError}
	ends         = []string{causeExpired, causeManual, causeAllowed, causeReplaced, causeFlushed, causeCapacity, causeExempt, causeBreaker}

	families   = [2]string{"ipv4", "ipv6"}
	kinds      = [2]string{"address", "network"}
	driftKinds = []string{"table", "chain", "rules", "set", "counter", "missing", "unexpected", "timeout"}
	operations = []string{"add", "delete", "list", "flush", "setup"}
)

// metrics are what the package counts. State that lives elsewhere is read at
// scrape, see collector.
type metrics struct {
	blocks        *prometheus.CounterVec
	unblocks      *prometheus.CounterVec
	suppressed    *prometheus.CounterVec
	blockDuration prometheus.Histogram
	eventAge      prometheus.Histogram
	operations    *prometheus.CounterVec
	failures      *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	drift         *prometheus.CounterVec
	driftElements *prometheus.GaugeVec
	repairs       prometheus.Counter
	reconciles    prometheus.Counter
	reconciled    prometheus.Gauge
	verified      prometheus.Counter
	suspended     prometheus.Gauge
	seen          prometheus.Counter
	saved         prometheus.Gauge
	saveFailures  prometheus.Counter
	ledgerOK      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := factory{r}
	m := &metrics{
		blocks:        f.counters("blocks_total", "Addresses blocked; rule is manual for operator blocks.", "rule", "family"),
		unblocks:      f.counters("unblocks_total", "Blocks removed; cause is expired, manual, allowlisted, replaced, flushed, capacity, breaker (it depended on the evidence of a mail host that refuses innocent clients), or exempt: one of the gateway's own reasons, such as an ssh peer or a sender.", "cause"),
		suppressed:    f.counters("blocks_suppressed_total", "Blocks that were decided and not made, by cause.", "cause"),
		blockDuration: f.histogram("block_duration_seconds", "Time from receipt of the deciding log line to the kernel's acknowledgement of the block."),
		eventAge:      f.histogram("block_event_age_seconds", "Time from the deciding log line's own timestamp to the kernel's acknowledgement."),
		operations:    f.counters("firewall_operations_total", "Netlink operations: add, delete, list, flush or setup.", "operation"),
		failures:      f.counters("firewall_operation_failures_total", "Netlink operations that failed.", "operation"),
		duration:      f.histograms("firewall_operation_duration_seconds", "Duration of netlink operations.", "operation"),
		drift:         f.counters("firewall_drift_total", "Differences found between the firewall and what it should be: objects changed or removed by others, elements missing, unexpected or with a different timeout.", "kind"),
		driftElements: f.gauges("firewall_drift_elements", "Differences found by the last comparison, which is made twice a second and repairs them; kind is missing or unexpected.", "kind"),
		repairs:       f.counter("firewall_repairs_total", "Times that the firewall was repaired after others had changed it."),
		reconciles:    f.counter("firewall_reconciles_total", "Completed reconcile runs."),
		reconciled:    f.gauge("firewall_last_reconcile_timestamp_seconds", "Time of the last completed reconcile."),
		verified:      f.counter("firewall_elements_verified_total", "Elements that were verified in the kernel one by one."),
		suspended:     f.gauge("firewall_suspended", "1 while blocking is suspended by uppercut flush."),
		seen:          f.counter("seen_after_block_total", "Blocked sources that still appeared in the logs after the grace period: their packets bypass the gateway."),
		saved:         f.gauge("ledger_last_save_timestamp_seconds", "Time of the last successful save of blocks."),
		saveFailures:  f.counter("ledger_save_failures_total", "Failed saves of blocks."),
		ledgerOK:      f.gauge("ledger_saving", "1 when blocks are saved; 0 when they are enforced but would not survive a restart."),
	}
	m.preset()
	return m
}

// ended counts n blocks that ended for a cause. Those of Options.Exempt other
// than the allow list are one in metrics.
func (m *metrics) ended(cause string, n int) {
	if !slices.Contains(ends, cause) {
		cause = causeExempt
	}
	m.unblocks.WithLabelValues(cause).Add(float64(n))
}

// differ sets what the last look at the kernel found, by kind.
func (m *metrics) differ(found map[string]int) {
	for _, kind := range []string{"missing", "unexpected"} {
		m.driftElements.WithLabelValues(kind).Set(float64(found[kind]))
	}
}

// preset makes the known label values start at 0.
func (m *metrics) preset() {
	for _, c := range ends {
		m.unblocks.WithLabelValues(c)
	}
	for _, c := range suppressions {
		m.suppressed.WithLabelValues(c)
	}
	for _, o := range operations {
		m.operations.WithLabelValues(o)
		m.failures.WithLabelValues(o)
		m.duration.WithLabelValues(o)
	}
	for _, k := range driftKinds {
		m.drift.WithLabelValues(k)
	}
	for _, k := range []string{"missing", "unexpected"} {
		m.driftElements.WithLabelValues(k)
	}
	m.presetRules([]string{Manual})
}

func (m *metrics) presetRules(rules []string) {
	for _, rule := range rules {
		for _, family := range families {
			m.blocks.WithLabelValues(rule, family)
		}
	}
}

// repaired is what repairs has counted.
func (m *metrics) repaired() uint64 {
	var written dto.Metric
	if err := m.repairs.Write(&written); err != nil {
		return 0 // a counter of ours cannot fail
	}
	return uint64(written.GetCounter().GetValue())
}

// observe counts a netlink operation that began at start.
func (m *metrics) observe(operation string, start time.Time, err error) {
	m.operations.WithLabelValues(operation).Inc()
	m.duration.WithLabelValues(operation).Observe(time.Since(start).Seconds())
	if err != nil {
		m.failures.WithLabelValues(operation).Inc()
	}
}

// factory makes registered metrics; with a nil registerer they only count.
type factory struct{ r prometheus.Registerer }

func register[C prometheus.Collector](f factory, c C) C {
	if f.r != nil {
		f.r.MustRegister(c)
	}
	return c
}

const namespace = "uppercut"

func (f factory) counter(name, help string) prometheus.Counter {
	return register(f, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(f, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return register(f, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}))
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(f, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (f factory) histogram(name, help string) prometheus.Histogram {
	return register(f, prometheus.NewHistogram(histogramOpts(name, help)))
}

func (f factory) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return register(f, prometheus.NewHistogramVec(histogramOpts(name, help), labels))
}

// histogramOpts asks for both forms: buckets from 0.1 ms to a day, a factor of
// about 4 apart, and native ones.
func histogramOpts(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                         []float64{.0001, .0005, .001, .0025, .005, .01, .05, .25, 1, 5, 30, 300, 3600, 86400},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// collector reads at scrape what has an owner elsewhere: the list, and the
// kernel's counters and element counts, a few dozen bytes however many
// elements there are.
type collector struct {
	e *Enforcer

	active, firing, packets, bytes, elements, capacity, around, waiting, room, waited, unsaved *prometheus.Desc
}

func newCollector(e *Enforcer) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &collector{
		e:        e,
		active:   desc("blocks_active", "Blocks in force; kind is address or network.", "family", "kind"),
		firing:   desc("firewall_enforcing", "1 when table, sets and the rules that use them were all found at the last check.", "family"),
		packets:  desc("firewall_dropped_packets_total", "Packets dropped by the block rules (nftables counters), also by tables that others have removed and counters that they have reset.", "family"),
		bytes:    desc("firewall_dropped_bytes_total", "Bytes dropped by the block rules, likewise.", "family"),
		elements: desc("firewall_set_elements", "Elements in the nftables set. The kernel counts expired ones until it collects them; before Linux 6.16, which does not count, the number on the list.", "set"),
		around:   desc("firewall_bypasses", "Ways on which packets of blocked sources pass the block rules; kind is flowtable, offload or bridge.", "kind"),
		capacity: desc("firewall_set_capacity", "Size limit of the nftables set.", "set"),
		waiting:  desc("firewall_queue_length", "Blocks and commands waiting to be written to the firewall."),
		unsaved:  desc("ledger_queue_length", "Blocks whose latest change is not yet on disk."),
		room:     desc("firewall_queue_capacity", "Limit of blocks waiting to be written to the firewall; when it is reached, the judge waits."),
		waited:   desc("firewall_queue_wait_seconds_total", "Time that the judge has waited for room in the firewall's queue."),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.active, c.firing, c.packets, c.bytes, c.elements, c.capacity, c.around, c.waiting, c.room, c.waited, c.unsaved} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	active := c.e.active()
	enforcing := 0.0
	if c.e.Enforcing() {
		enforcing = 1
	}
	for f, family := range families {
		for k, kind := range kinds {
			gauge(c.active, float64(active[f][k]), family, kind)
		}
		gauge(c.firing, enforcing, family)
	}
	gauge(c.waiting, float64(c.e.queue.len()))
	gauge(c.room, queueBlocks)
	gauge(c.unsaved, float64(c.e.journal.waiting()))
	ch <- prometheus.MustNewConstMetric(c.waited, prometheus.CounterValue, c.e.queue.waiting().Seconds())
	if c.e.firewall == nil {
		return
	}
	for _, s := range c.e.Show().Sets {
		switch {
		case s.Elements >= 0:
			gauge(c.elements, float64(s.Elements), s.Name)
		case s.Elements == nft.Uncounted:
			gauge(c.elements, float64(s.Listed), s.Name)
		}
		gauge(c.capacity, float64(s.Capacity), s.Name)
	}
	ways := map[string]int{}
	for _, w := range c.e.around.current().Ways {
		ways[w.Kind]++
	}
	for _, kind := range aroundKinds {
		gauge(c.around, float64(ways[kind]), kind)
	}
	drops := c.e.drops()
	for f, family := range families {
		ch <- prometheus.MustNewConstMetric(c.packets, prometheus.CounterValue, float64(drops[f].Packets), family)
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.CounterValue, float64(drops[f].Bytes), family)
	}
}

// seconds is d in seconds, 0 at least.
func seconds(d time.Duration) float64 { return math.Max(0, d.Seconds()) }
