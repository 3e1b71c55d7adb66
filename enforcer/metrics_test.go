package enforcer

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/enforcer/ledger"
)

// names are an API: dashboards and alerts hang on them.
var names = []string{
	"uppercut_block_duration_seconds",
	"uppercut_block_event_age_seconds",
	"uppercut_blocks_active",
	"uppercut_blocks_suppressed_total",
	"uppercut_blocks_total",
	"uppercut_firewall_bypasses",
	"uppercut_firewall_drift_elements",
	"uppercut_firewall_drift_total",
	"uppercut_firewall_dropped_bytes_total",
	"uppercut_firewall_dropped_packets_total",
	"uppercut_firewall_elements_verified_total",
	"uppercut_firewall_enforcing",
	"uppercut_firewall_last_reconcile_timestamp_seconds",
	"uppercut_firewall_operation_duration_seconds",
	"uppercut_firewall_operation_failures_total",
	"uppercut_firewall_operations_total",
	"uppercut_firewall_queue_capacity", "uppercut_firewall_queue_length", "uppercut_firewall_queue_wait_seconds_total",
	"uppercut_firewall_reconciles_total",
	"uppercut_firewall_repairs_total",
	"uppercut_firewall_set_capacity",
	"uppercut_firewall_set_elements",
	"uppercut_firewall_suspended",
	"uppercut_ledger_last_save_timestamp_seconds",
	"uppercut_ledger_queue_length",
	"uppercut_ledger_save_failures_total",
	"uppercut_ledger_saving",
	"uppercut_seen_after_block_total",
	"uppercut_unblocks_total",
}

func TestMetrics(t *testing.T) { onEachKernel(t, testMetrics) }

func testMetrics(t *testing.T, _ *kernel, o Options) {
	registry := prometheus.NewPedanticRegistry()
	o.Registerer, o.Rules = registry, []string{"burst", "steady"}
	a := start(t, DefaultConfig(), o)
	old := verdict("192.0.2.1/32", time.Hour)
	old.At = old.At.Add(-time.Minute)
	a.Block(old)
	a.Block(verdict("2001:db8::/48", time.Hour))
	a.flush()
	a.Block(verdict("192.0.2.1/32", time.Minute))
	a.Block(verdict("192.0.2.9/32", -time.Minute))
	a.flush()

	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		got = append(got, f.GetName())
	}
	slices.Sort(got)
	if diff := cmp.Diff(names, got); diff != "" {
		t.Error(diff)
	}
	want := `
# HELP uppercut_blocks_active Blocks in force; kind is address or network.
# TYPE uppercut_blocks_active gauge
uppercut_blocks_active{family="ipv4",kind="address"} 1
uppercut_blocks_active{family="ipv4",kind="network"} 0
uppercut_blocks_active{family="ipv6",kind="address"} 0
uppercut_blocks_active{family="ipv6",kind="network"} 1
# HELP uppercut_blocks_suppressed_total Blocks that were decided and not made, by cause.
# TYPE uppercut_blocks_suppressed_total counter
uppercut_blocks_suppressed_total{cause="allowlist"} 0
uppercut_blocks_suppressed_total{cause="already_blocked"} 1
uppercut_blocks_suppressed_total{cause="dry_run"} 0
uppercut_blocks_suppressed_total{cause="error"} 0
uppercut_blocks_suppressed_total{cause="own_address"} 0
uppercut_blocks_suppressed_total{cause="run_out"} 1
uppercut_blocks_suppressed_total{cause="set_full"} 0
# HELP uppercut_blocks_total Addresses blocked; rule is manual for operator blocks.
# TYPE uppercut_blocks_total counter
uppercut_blocks_total{family="ipv4",rule="burst"} 1
uppercut_blocks_total{family="ipv4",rule="manual"} 0
uppercut_blocks_total{family="ipv4",rule="steady"} 0
uppercut_blocks_total{family="ipv6",rule="burst"} 1
uppercut_blocks_total{family="ipv6",rule="manual"} 0
uppercut_blocks_total{family="ipv6",rule="steady"} 0
# HELP uppercut_firewall_enforcing 1 when table, sets and the rules that use them were all found at the last check.
# TYPE uppercut_firewall_enforcing gauge
uppercut_firewall_enforcing{family="ipv4"} 1
uppercut_firewall_enforcing{family="ipv6"} 1
# HELP uppercut_firewall_set_elements Elements in the nftables set. The kernel counts expired ones until it collects them; before Linux 6.16, which does not count, the number on the list.
# TYPE uppercut_firewall_set_elements gauge
uppercut_firewall_set_elements{set="block4"} 1
uppercut_firewall_set_elements{set="block4_net"} 0
uppercut_firewall_set_elements{set="block6"} 0
uppercut_firewall_set_elements{set="block6_net"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"uppercut_blocks_active", "uppercut_blocks_suppressed_total", "uppercut_blocks_total",
		"uppercut_firewall_enforcing", "uppercut_firewall_set_elements"); err != nil {
		t.Error(err)
	}
	for _, f := range families {
		switch h := f.GetMetric()[0].GetHistogram(); f.GetName() {
		case "uppercut_block_duration_seconds":
			if h.GetSampleCount() != 2 || h.GetSampleSum() > slack || len(h.GetPositiveSpan()) == 0 {
				t.Errorf("latency: %v", h)
			}
		case "uppercut_block_event_age_seconds":
			if h.GetSampleSum() < 60 {
				t.Errorf("age of a minute-old offence: %v", h.GetSampleSum())
			}
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestImpossibleValues(t *testing.T) {
	for _, tt := range []struct {
		alter func(*Config)
		want  string
	}{
		{func(c *Config) { c.IPv6PrefixLength = 129 }, "ipv6_prefix_length: 129 is not in 1 to 128"},
		{func(c *Config) { c.MaxAddresses = 0 }, "max_addresses: 0 is not in 1 to 16777216"},
		{func(c *Config) { c.MaxNetworks = 1<<20 + 1 }, "max_networks: 1048577 is not in 1 to 1048576"},
		{func(c *Config) { c.Scope = "web" }, `scope: "web" is neither "all" nor "mail"`},
		{func(c *Config) { c.MailPorts = nil }, "mail_ports: 0 is not in 1 to 64"},
		{func(c *Config) { c.Counters = -1 }, "counters: -1 is not in 0 to 16777216"},
		{func(c *Config) { c.Extend = -time.Second }, "extend: -1s is not in 0s to 24h0m0s"},
		{func(c *Config) { c.ExtendLimit = time.Second }, "extend_limit: 1s is not in 1m0s to 8760h0m0s"},
		{func(c *Config) { c.Foreign = "ignore" }, `foreign: "ignore" is neither "remove" nor "adopt"`},
		{func(c *Config) { c.CheckInterval = 0 }, "check_interval: 0s is not in 50ms to 1m0s"},
		{func(c *Config) { c.VerifyRate = 1e6 }, "verify_rate: 1000000 is not in 0 to 100000"},
		{func(c *Config) { c.SeenGrace = 0 }, "seen_grace: 0s is not in 1s to 24h0m0s"},
		{func(c *Config) { c.History = -1 }, "history: -1 is not in 0 to 1000000"},
		{func(c *Config) { c.Audit = 0 }, "audit: 0 is not in 100 to 1000000"},
		{func(c *Config) { c.Audit, c.History = 0, -1 }, "history: -1 is not in 0 to 1000000\naudit: 0 is not in 100 to 1000000"},
	} {
		c := DefaultConfig()
		tt.alter(&c)
		if err := c.Validate(); err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
		if _, err := New(t.Context(), c, Options{StateDir: t.TempDir()}); err == nil {
			t.Errorf("New takes %s", tt.want)
		}
	}
}

func TestQueueMergesAndKeepsOrder(t *testing.T) {
	q := newQueue()
	at := func(minutes int, rule string) Block {
		return Block{Prefix: prefix("192.0.2.1/32"), Until: epoch.Add(time.Duration(minutes) * time.Minute), Rule: rule}
	}
	q.block(at(5, "a"))
	q.block(at(9, "b"))
	q.block(at(7, "c"))
	q.command(func() {})
	q.block(at(3, "d"))
	q.block(at(1, Manual))
	q.block(at(8, "e"))
	if q.len() != 3 {
		t.Errorf("%d wait, want 3", q.len())
	}
	if got := q.take().blocks[prefix("192.0.2.1/32")].Rule; got != "b" {
		t.Errorf("of verdicts %q stays, want the longest", got)
	}
	if q.take().command == nil {
		t.Error("the order was overtaken")
	}
	if got := q.take().blocks[prefix("192.0.2.1/32")].Rule; got != Manual {
		t.Errorf("%q stays, want what was said by hand", got)
	}
	if q.take() != nil {
		t.Error("something is left")
	}
}

func TestFlushedWaitsForWhatCameBefore(t *testing.T) {
	q := newQueue()
	called := 0
	done := func() { called++ }
	q.flushed(done)
	if called != 1 {
		t.Fatal("nothing waits, and it was not called at once")
	}
	q.block(Block{Prefix: prefix("192.0.2.1/32")})
	q.flushed(done)
	first := q.take()
	q.flushed(done)
	if called != 1 {
		t.Fatal("called while a block is on its way")
	}
	q.settle(first)
	if called != 2 {
		t.Fatal("not called when the block was settled")
	}
	q.settle(q.take())
	if called != 3 {
		t.Fatal("not called when nothing was left")
	}
	q.close()
	q.flushed(done)
	if called != 4 || q.block(Block{}) || q.command(done) {
		t.Error("a closed queue takes more, or makes wait")
	}
}

// TestGroupsCommit: what arrives while the disk writes goes with the next
// commit, and what is settled is on the disk.
func TestGroupsCommit(t *testing.T) {
	l, err := ledger.Open(t.TempDir()+"/ledger.db", ledger.Options{History: 10, Audit: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j := newJournal(l, nil, newMetrics(nil))
	settled := 0
	for i := range 100 {
		j.put(Block{ID: uint64(i + 1), Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32), At: epoch, Until: epoch, Rule: "r"})
		j.settle(func(err error) {
			if err != nil {
				t.Error(err)
			}
			settled++
		})
	}
	j.refused(prefix("192.0.2.7/32"))
	if err := j.commit(); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := l.Blocks(func(ledger.Block) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if settled != 100 || n != 99 || j.pending() {
		t.Errorf("%d settled, %d blocks on the disk, pending: %v", settled, n, j.pending())
	}
}

func TestUnwritableLedgerIsTriedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(t.TempDir()+"/ledger.db", ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // every commit fails
		var log strings.Builder
		j := newJournal(l, slog.New(slog.NewTextHandler(&log, nil)), newMetrics(nil))
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { j.run(ctx); close(done) }()
		j.put(Block{Prefix: prefix("192.0.2.1/32"), At: epoch, Until: epoch})
		var refused error
		j.settle(func(err error) { refused = err })
		for i := range 10 {
			synctest.Wait()
			if refused == nil || !j.pending() {
				t.Fatalf("after try %d: %v, pending %v", i, refused, j.pending())
			}
			time.Sleep(lastRetry) //nolint:forbidigo // in the bubble, this is not time
		}
		cancel()
		<-done
		if n := testutil.ToFloat64(j.metrics.saveFailures); n < 8 || n > 20 {
			t.Errorf("%v tries in 5 minutes", n)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("said %d times: %s", n, log.String())
		}
	})
}
