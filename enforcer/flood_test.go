package enforcer

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var epoch = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// flooded is the i-th address of a witness.
func flooded(witness byte, i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{witness, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

func said(witness string, p netip.Prefix, score float64, until time.Time) Block {
	return Block{Prefix: p, At: time.Now(), Until: until, Rule: "burst", Score: score, Witness: witness, Host: witness}
}

// TestOneLiarEvictsNobodyElse: whatever one witness says, as often and as loud as
// he likes, a full set keeps what others said, what two said, and blocks by hand.
func TestOneLiarEvictsNobodyElse(t *testing.T) {
	for _, test := range []struct {
		name  string
		score float64
		until time.Duration
		liars int
	}{
		{"as guilty and for longer", 12, 2 * time.Hour, 1},
		{"much guiltier", 1000, 24 * time.Hour, 1},
		{"less guilty", 1, time.Minute, 1},
		{"three keys", 1000, 24 * time.Hour, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options(t, nil)
			o.Observe, o.Logger = true, nil
			c := DefaultConfig()
			c.MaxAddresses = 4000
			a := start(t, c, o)
			now := time.Now()
			const genuine = 600
			for i := range genuine {
				a.Block(said("mx1", flooded(1, i), 12, now.Add(time.Hour)))
				a.Block(said("", flooded(2, i), 3, now.Add(time.Minute)))
			}
			if _, err := a.BlockNow(t.Context(), "op", "", now.Add(time.Hour), flooded(3, 0), flooded(3, 1)); err != nil {
				t.Fatal(err)
			}
			for i := range 4 * c.MaxAddresses {
				liar := i % test.liars
				a.Block(said(fmt.Sprint("stolen", liar), flooded(byte(100+liar), i), test.score, now.Add(test.until)))
			}
			a.flush()
			kept := map[string]int{}
			for b := range a.Blocks() {
				kept[fmt.Sprint(b.Prefix.Addr().As4()[0])]++
			}
			if kept["1"] != genuine || kept["2"] != genuine || kept["3"] != 2 || a.Count() != c.MaxAddresses {
				t.Errorf("of %d blocks: one other witness %d, two %d, by hand %d", a.Count(), kept["1"], kept["2"], kept["3"])
			}
			for i := range 100 {
				a.Block(said("mx2", flooded(4, i), 0.5, now.Add(time.Minute)))
				a.Block(said("", flooded(5, i), 0.5, now.Add(time.Minute)))
			}
			a.flush()
			for _, first := range []byte{4, 5} {
				if _, ok := a.Lookup(flooded(first, 99).Addr()); !ok {
					t.Errorf("no room for what is said beside the liar: %d", first)
				}
			}
		})
	}
}

// TestSharesOfNetworks: the same for networks, and what two say goes after what one
// says.
func TestSharesOfNetworks(t *testing.T) {
	o := options(t, nil)
	o.Observe, o.Logger = true, nil
	c := DefaultConfig()
	c.MaxNetworks = 20
	a := start(t, c, o)
	now := time.Now()
	net := func(a, b int) netip.Prefix { return prefix(fmt.Sprintf("100.%d.%d.0/24", a, b)) }
	for i := range 5 {
		a.Block(said("mx1", net(1, i), 1, now.Add(time.Hour)))
		a.Block(said("", net(2, i), 1, now.Add(time.Hour)))
	}
	for i := range 100 {
		a.Block(said("stolen", net(3, i), 99, now.Add(time.Hour)))
	}
	a.flush()
	for i := range 5 {
		for _, p := range []netip.Prefix{net(1, i), net(2, i)} {
			if _, ok := a.Current(p); !ok {
				t.Errorf("%v is gone", p)
			}
		}
	}
}

// TestTheJudgeWaitsForTheEnforcer: blocks wait when the queue is full; orders do
// not, and nobody waits for what has ended.
func TestTheJudgeWaitsForTheEnforcer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range queueBlocks {
			q.block(said("mx1", flooded(1, i), 1, epoch))
		}
		if n := q.len(); n != queueBlocks {
			t.Fatalf("%d wait", n)
		}
		results := make(chan bool, 2)
		go func() { results <- q.block(said("mx1", flooded(2, 0), 1, epoch)) }()
		synctest.Wait()
		if len(results) > 0 {
			t.Fatal("one more than the queue holds did not wait")
		}
		if !q.command(func() {}) {
			t.Error("an order is turned away")
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		if it := q.take(); len(it.blocks) != queueBlocks {
			t.Errorf("%d taken", len(it.blocks))
		}
		if !<-results || q.waiting() != time.Minute {
			t.Errorf("waited %v", q.waiting())
		}
		for i := range queueBlocks - 1 {
			q.block(said("mx1", flooded(3, i), 1, epoch))
		}
		go func() { results <- q.block(said("mx1", flooded(4, 0), 1, epoch)) }()
		synctest.Wait()
		q.close()
		if <-results {
			t.Error("a queue that has ended takes a block")
		}
	})
}

// TestTheQueueIsBoundedInBytes: evidence may be long.
func TestTheQueueIsBoundedInBytes(t *testing.T) {
	q := newQueue()
	for i := 0; !q.full(); i++ {
		b := said("mx1", flooded(1, i), 1, epoch)
		b.Evidence = slices.Repeat([]Evidence{{Text: strings.Repeat("x", 1000)}}, 20)
		q.block(b)
	}
	if q.bytes > queueBytes+1<<20 || q.len() > 2000 {
		t.Errorf("%d bytes in %d blocks", q.bytes, q.len())
	}
	q.take()
	if q.bytes != 0 || q.blocks != 0 || q.full() {
		t.Errorf("empty, it holds %d bytes in %d blocks", q.bytes, q.blocks)
	}
}

// TestNoneWaitsForAllThatAnotherSays: a batch has something of everybody.
func TestNoneWaitsForAllThatAnotherSays(t *testing.T) {
	blocks := map[netip.Prefix]Block{}
	for i := range 5000 {
		b := said("loud", flooded(1, i), 1, epoch)
		blocks[b.Prefix] = b
	}
	for i := range 20 {
		for w, name := range []string{"quiet", "", "other"} {
			b := said(name, flooded(byte(2+w), i), 1, epoch)
			blocks[b.Prefix] = b
		}
	}
	first := map[string]int{}
	for _, b := range inTurn(blocks)[:1000] {
		first[b.Witness]++
	}
	if first["quiet"] != 20 || first["other"] != 20 || first[""] != 20 {
		t.Errorf("the first thousand: %v", first)
	}
}

// TestAFullSetIsToldNowAndThen: it costs no line for each block.
func TestAFullSetIsToldNowAndThen(t *testing.T) {
	var log bytes.Buffer
	o := options(t, nil)
	o.Observe, o.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
	c := DefaultConfig()
	c.MaxAddresses = 100
	a := start(t, c, o)
	for i := range 5000 {
		a.Block(said("mx1", flooded(1, i), float64(i), time.Now().Add(time.Hour)))
	}
	a.flush()
	a.stop()
	if n := strings.Count(log.String(), "set is full"); n == 0 || n > 2 {
		t.Errorf("told %d times", n)
	}
	if n := strings.Count(log.String(), "msg=unblock"); n > 3*crowdingLines {
		t.Errorf("%d lines of blocks that made room", n)
	}
	if testutil.ToFloat64(a.metrics.unblocks.WithLabelValues("capacity")) == 0 {
		t.Error("not counted")
	}
}

// BenchmarkFullSet is what a block costs when each has to make room for itself.
func BenchmarkFullSet(b *testing.B) {
	ns := newKernel(b)
	o := options(b, ns)
	o.Logger = nil
	c := DefaultConfig()
	c.MaxAddresses = 200_000
	a := start(b, c, o)
	until := time.Now().Add(time.Hour)
	for i := range c.MaxAddresses {
		a.Block(said("mx1", flooded(1, i), 12, until))
	}
	a.flush()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for range 10_000 {
			a.Block(said("mx1", flooded(2, n), 12, until.Add(time.Hour)))
			n++
		}
		a.flush()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "blocks/s")
}
