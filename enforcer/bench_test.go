package enforcer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"uppercut/enforcer/ledger"
)

func init() { roles["measure"] = measure }

// measured is what a fresh process says of a ledger of some size.
type measured struct {
	Start    time.Duration // New: from the ledger to all in the kernel
	Median   time.Duration // single blocks, from Block to acknowledged and saved
	P99      time.Duration
	Resident int // kB, after it all
	Peak     int // kB
	Private  int // kB resident without the ledger's file, which the kernel may drop
}

const measuredBlocks = 1000

func measure() error {
	o, err := childOptions()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start := time.Now()
	c := DefaultConfig()
	c.MaxAddresses = 1 << 21
	e, err := New(ctx, c, o)
	if err != nil {
		return err
	}
	m := measured{Start: time.Since(start)}
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	var took []time.Duration
	for i := range measuredBlocks {
		done := make(chan struct{})
		start := time.Now()
		e.Block(Block{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{9, 9, byte(i >> 8), byte(i)}), 32),
			At:     start, Until: start.Add(time.Hour), Rule: "burst",
		})
		e.queue.command(func() { close(done) }) // runs when the kernel has it
		<-done
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	m.Median, m.P99 = took[len(took)/2], took[len(took)*99/100]
	m.Resident, m.Peak, m.Private = status("VmRSS"), status("VmHWM"), status("RssAnon")
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	return say(m)
}

// status reads a number of kB from /proc/self/status.
func status(key string) (kB int) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			_, _ = fmt.Sscan(rest, &kB)
		}
	}
	return kB
}

// manyPrefixes returns n addresses, one in ten of them IPv6 networks.
func manyPrefixes(n int) []netip.Prefix {
	ps := make([]netip.Prefix, n)
	for i := range ps {
		x := uint32(i) * 2654435761 // scattered, each once
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}
		ps[i] = netip.PrefixFrom(netip.AddrFrom16(b), 64)
		if i%10 != 0 {
			ps[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}), 32)
		}
	}
	return ps
}

func writeLedger(t testing.TB, dir string, ps []netip.Prefix) {
	t.Helper()
	l, err := ledger.Open(filepath.Join(dir, LedgerFile), ledger.Options{History: 1000, Audit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for chunk := range slices.Chunk(ps, 50_000) {
		var b ledger.Batch
		for i, p := range chunk {
			b.Put = append(b.Put, ledger.Block{
				ID: uint64(i + 1), Prefix: p, At: now, Until: now.Add(time.Hour + time.Duration(i)*time.Second),
				Rule: "burst", Score: 10,
			})
		}
		if err := l.Commit(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// nftFile measures nft -f of the same list.
func nftFile(t testing.TB, ns *kernel, ps []netip.Prefix) time.Duration {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("table inet other {\n set four { type ipv4_addr; flags timeout; }\n set six { type ipv6_addr; flags timeout; }\n}\n")
	for chunk := range slices.Chunk(ps, 10_000) {
		var four, six []string
		for _, p := range chunk {
			el := p.Addr().String() + " timeout 1h"
			if p.Addr().Is4() {
				four = append(four, el)
			} else {
				six = append(six, el)
			}
		}
		fmt.Fprintf(&b, "add element inet other four { %s }\nadd element inet other six { %s }\n", strings.Join(four, ", "), strings.Join(six, ", "))
	}
	path := filepath.Join(t.TempDir(), "list.nft")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ns.nft(t, "-f", path)
	return time.Since(start)
}

// BenchmarkEnforce prints what a restart and a single block cost at three
// sizes, beside nft -f of the same list.
func BenchmarkEnforce(b *testing.B) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "blocks\trestart to all enforced\tnft -f\tone block, median\tp99\tresident\tof it private\tpeak\t")
	for _, n := range []int{1000, 100_000, 1_000_000} {
		ns := newKernel(b)
		dir := b.TempDir()
		ps := manyPrefixes(n)
		writeLedger(b, dir, ps)
		out, err := child(b, "measure", ns, dir).Output()
		if err != nil {
			b.Fatal(err)
		}
		var m measured
		if err := json.Unmarshal(out, &m); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(w, "%d\t%v\t%v\t%v\t%v\t%d MB\t%d MB\t%d MB\t\n", n, m.Start.Round(time.Millisecond),
			nftFile(b, newKernel(b), ps).Round(time.Millisecond), m.Median.Round(time.Microsecond), m.P99.Round(time.Microsecond),
			m.Resident>>10, m.Private>>10, m.Peak>>10)
	}
	_ = w.Flush()
	b.Logf("\n%s", table.String())
	for b.Loop() {
		// The table above is the result.
	}
}

// BenchmarkUnderLoad prints how long a block takes to the kernel's
// acknowledgement while 10,000 offences a second arrive, each a new source.
func BenchmarkUnderLoad(b *testing.B) {
	ns := newKernel(b)
	o := options(b, ns)
	o.Logger = nil
	a := start(b, DefaultConfig(), o)
	const (
		perTick = 10 // a millisecond
		lasting = 3 * time.Second
	)
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
	slices.Sort(took)
	for b.Loop() {
		// The metrics below are the result.
	}
	b.ReportMetric(float64(n)/lasting.Seconds(), "blocks/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
