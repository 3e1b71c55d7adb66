package enforcer

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"uppercut/deploy/bench/blocklist"
)

// sizes are how many blocks are in force in a benchmark.
func sizes() []int {
	if testing.Short() {
		return []int{1000}
	}
	return []int{1000, 100_000, 1_000_000}
}

// BenchmarkOneBlock measures one more block, from Block until it is in the
// kernel and saved.
func BenchmarkOneBlock(b *testing.B) {
	for _, n := range sizes() {
		b.Run("blocks="+strconv.Itoa(n), func(b *testing.B) {
			o := options(b, newKernel(b))
			o.Logger = nil
			if err := blocklist.WriteLedger(filepath.Join(o.StateDir, LedgerFile), blocklist.Prefixes(n)); err != nil {
				b.Fatal(err)
			}
			c := DefaultConfig()
			c.MaxAddresses = 1 << 21
			a := start(b, c, o)
			var took []time.Duration
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				done := make(chan struct{})
				start := time.Now()
				a.Block(Block{
					Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{9, byte(i >> 16), byte(i >> 8), byte(i)}), 32),
					At:     start, Until: start.Add(time.Hour), Rule: "burst",
				})
				a.queue.command(func() { close(done) }) // runs when the kernel has it
				<-done
				took = append(took, time.Since(start))
			}
			reportPercentiles(b, took)
		})
	}
}

func reportPercentiles(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkUnderLoad reports how long a block takes to the kernel's
// acknowledgement while 10,000 offences a second arrive, each a new source.
func BenchmarkUnderLoad(b *testing.B) {
	ns := newKernel(b)
	o := options(b, ns)
	o.Logger = nil
	a := start(b, DefaultConfig(), o)
	const perTick = 10 // a millisecond
	lasting := 3 * time.Second
	if testing.Short() {
		lasting = 100 * time.Millisecond
	}
	var took []time.Duration
	n := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < lasting; <-tick.C {
		// What the ticker left out is made up for.
		for due := int(time.Since(began)/time.Millisecond) * perTick; n < due; n++ {
			start := time.Now()
			a.Block(Block{
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{60, byte(n >> 16), byte(n >> 8), byte(n)}), 32),
				At:     start, Received: start, Until: start.Add(time.Hour), Rule: "burst",
			})
			if n%100 == 0 {
				a.queue.command(func() { took = append(took, time.Since(start)) })
			}
		}
	}
	a.flush()
	for b.Loop() {
		// The metrics below are the result.
	}
	b.ReportMetric(float64(n)/lasting.Seconds(), "blocks/s")
	reportPercentiles(b, took)
}
