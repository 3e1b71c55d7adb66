package enforcer

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ear is who hears of blocks and their ends, in words.
type ear struct {
	mu    sync.Mutex
	heard []string
	log   bytes.Buffer
}

func (e *ear) hear(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, fmt.Sprintf(format, args...))
}

// Write takes log lines.
func (e *ear) Write(line []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(line)
}

func (e *ear) said() (heard []string, log string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard), e.log.String()
}

// Each block and each end of one is told once, with who ordered it, and is a
// line in the log.
func TestBlocksAndTheirEndsAreTold(t *testing.T) {
	ns := newKernel(t)
	var e ear
	o := options(t, ns)
	o.Logger = slog.New(slog.NewTextHandler(&e, nil))
	o.OnBlock = func(b Block) { e.hear("block %v %s %s %d", b.Prefix, b.Rule, b.Author, len(b.Evidence)) }
	o.OnUnblock = func(u Unblock) { e.hear("unblock %v %s by %s: %s", u.Prefix, u.Cause, u.By, u.Why) }
	c := DefaultConfig()
	c.MaxAddresses = 4
	a := start(t, c, o)
	ctx, now := t.Context(), time.Now()

	guilty := verdict("192.0.2.1/32", time.Hour)
	guilty.Reason, guilty.Host, guilty.Evidence = "dnsbl", "mx1", []Evidence{{Time: now, Text: "reject=550"}}
	a.Block(guilty)
	a.flush() // what comes together is taken in no order
	a.Block(Block{Prefix: prefix("192.0.2.2/32"), At: now, Until: now.Add(1500 * time.Millisecond), Rule: "burst", Score: 99})
	a.flush()
	if _, err := a.BlockNow(ctx, "anna", "ticket 7", now.Add(time.Hour), prefix("192.0.2.3/32")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Unblock(ctx, "boris", "customer called", prefix("192.0.2.1/32"), prefix("192.0.2.99/32")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Allow(ctx, AllowEntry{Prefix: prefix("192.0.2.3/32"), Author: "anna", Note: "ours"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the short one has ended", func() bool {
		heard, _ := e.said()
		return slices.Contains(heard, "unblock 192.0.2.2/32 expired by : ")
	})
	for i := range 5 { // one too many for the set: the least guilty goes
		a.Block(Block{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32),
			At:     now, Until: now.Add(time.Hour), Rule: "steady", Score: float64(10 + i),
		})
		a.flush()
	}
	if err := a.Flush(ctx, "anna", "enough", time.Time{}, true); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"block 192.0.2.1/32 burst  1", "block 192.0.2.2/32 burst  0", "block 192.0.2.3/32 manual anna 0",
		"unblock 192.0.2.1/32 manual by boris: customer called", "unblock 192.0.2.3/32 allowlisted by anna: ours",
		"unblock 192.0.2.2/32 expired by : ",
		"block 198.51.100.0/32 steady  0", "block 198.51.100.1/32 steady  0", "block 198.51.100.2/32 steady  0",
		"block 198.51.100.3/32 steady  0", "unblock 198.51.100.0/32 capacity by : ", "block 198.51.100.4/32 steady  0",
	}
	for i := 1; i < 5; i++ {
		want = append(want, fmt.Sprintf("unblock 198.51.100.%d/32 flushed by anna: enough", i))
	}
	heard, log := e.said()
	slices.Sort(heard[max(0, len(heard)-4):]) // a flush lifts in no order
	if !slices.Equal(heard, want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(heard, "\n"), strings.Join(want, "\n"))
	}
	if n := strings.Count(log, "msg=block ") + strings.Count(log, "msg=unblock "); n != len(want) {
		t.Errorf("%d lines in the log, want %d:\n%s", n, len(want), log)
	}
	for _, line := range []string{
		`msg=block prefix=192.0.2.1/32 rule=burst`, `reason=dnsbl host=mx1 id=1 observed=false`,
		`msg=unblock prefix=192.0.2.1/32 cause=manual id=1 by.author=boris by.note="customer called"`,
	} {
		if !strings.Contains(log, line) {
			t.Errorf("no %q in the log:\n%s", line, log)
		}
	}
}

// Two of one batch for one place in a full set: who has to go for the other was
// never blocked and is told nowhere, nor is it after a restart. What it was to
// replace has ended.
func TestEvictedByItsOwnBatch(t *testing.T) {
	var e ear
	o := options(t, nil)
	o.Observe = true
	o.OnBlock = func(b Block) { e.hear("block %v %g", b.Prefix, b.Score) }
	o.OnUnblock = func(u Unblock) { e.hear("unblock %v %s %g", u.Prefix, u.Cause, u.Score) }
	c := DefaultConfig()
	c.MaxAddresses = 2
	a := start(t, c, o)
	block := func(p string, score float64, lasts time.Duration) Block {
		b := verdict(p, lasts)
		b.Score = score
		return b
	}
	enforce := func(batch ...Block) (refused []Refusal) {
		err := a.do(t.Context(), func() error { refused = a.enforce(batch); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	enforce(block("192.0.2.1/32", 90, time.Hour))
	enforce(block("192.0.2.2/32", 5, time.Hour))
	refused := enforce(block("192.0.2.3/32", 10, time.Hour), block("192.0.2.4/32", 20, time.Hour))
	if want := []Refusal{{prefix("192.0.2.3/32"), causeSetFull}}; !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
	refused = enforce(block("192.0.2.4/32", 21, 2*time.Hour), block("192.0.2.5/32", 30, time.Hour))
	if want := []Refusal{{prefix("192.0.2.4/32"), causeSetFull}}; !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
	want := []string{
		"block 192.0.2.1/32 90", "block 192.0.2.2/32 5", "unblock 192.0.2.2/32 capacity 5", "block 192.0.2.4/32 20",
		"unblock 192.0.2.4/32 capacity 20", "block 192.0.2.5/32 30",
	}
	if heard, _ := e.said(); !slices.Equal(heard, want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(heard, "\n"), strings.Join(want, "\n"))
	}
	a.stop()
	b := start(t, c, o)
	for p, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "192.0.2.3": false, "192.0.2.4": false, "192.0.2.5": true} {
		if _, blocked := b.Lookup(netip.MustParseAddr(p)); blocked != want {
			t.Errorf("%s after a restart: blocked %v, want %v", p, blocked, want)
		}
	}
}

// The end of a block is never told before the block, whoever is slow: both wait
// for the ledger, and nobody who hears of them holds up who asks.
func TestEndsAreToldInOrder(t *testing.T) {
	var e ear
	slow := make(chan struct{})
	o := options(t, nil)
	o.Observe = true
	o.OnBlock = func(b Block) {
		if b.Score == 1 {
			<-slow // the first: all that follows gathers behind it
		}
		e.hear("block %v", b.Prefix)
	}
	o.OnUnblock = func(u Unblock) { e.hear("unblock %v %s", u.Prefix, u.Cause) }
	c := DefaultConfig()
	c.MaxAddresses = 2
	a := start(t, c, o)
	for i, p := range []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"} {
		b := verdict(p, time.Hour)
		b.Score = float64(i + 1)
		if i == 2 {
			b.Until = time.Now().Add(200 * time.Millisecond)
		}
		a.Block(b)
		eventually(t, 10*time.Second, "it is in the list", func() bool {
			_, blocked := a.Lookup(b.Prefix.Addr())
			return blocked
		})
	}
	eventually(t, 10*time.Second, "the last has ended", func() bool {
		_, blocked := a.Find(Query{Limit: 10})
		return blocked == 1
	})
	close(slow)
	want := []string{
		"block 192.0.2.1/32", "block 192.0.2.2/32", "unblock 192.0.2.1/32 capacity", "block 192.0.2.3/32", "unblock 192.0.2.3/32 expired",
	}
	var heard []string
	eventually(t, 10*time.Second, "all is told", func() bool {
		heard, _ = e.said()
		return len(heard) == len(want)
	})
	if !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

// What others did can be put into the audit log, and stays.
func TestRecord(t *testing.T) {
	o := options(t, nil)
	o.Observe = true
	a := start(t, DefaultConfig(), o)
	if err := a.Record(t.Context(), Audit{Action: "close_breaker", Author: "anna", Note: "mended", Host: "mx6"}); err != nil {
		t.Fatal(err)
	}
	a.stop()
	b := start(t, DefaultConfig(), o)
	for entry, err := range b.AuditLog() {
		if err != nil || entry.Action != "close_breaker" || entry.Host != "mx6" || entry.Author != "anna" || time.Since(entry.Time) > time.Minute {
			t.Errorf("%+v, %v", entry, err)
		}
		return
	}
	t.Error("the audit log is empty")
}

// HistoryOf finds what was of a prefix, and nothing else.
func TestHistoryOf(t *testing.T) {
	o := options(t, nil)
	o.Observe = true
	a := start(t, DefaultConfig(), o)
	for _, p := range []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24", "2001:db8:1::/64"} {
		b := verdict(p, time.Hour)
		b.Note = `"Prefix":"203.0.113.9/32"` // what a note says is not what it is about
		b.Evidence = []Evidence{{Text: `{"Prefix":"203.0.113.9/32"}`}}
		a.Block(b)
		a.flush()
	}
	for of, want := range map[string][]string{
		"192.0.2.1/32": {"192.0.2.0/24", "192.0.2.1/32"}, "2001:db8:1::5/128": {"2001:db8:1::/64"}, "203.0.113.9/32": nil,
		"192.0.2.2/31": {"192.0.2.0/24", "192.0.2.2/32"},
	} {
		var got []string
		for b, err := range a.HistoryOf(prefix(of)) {
			if err != nil || len(b.Evidence) != 1 {
				t.Errorf("%+v, %v", b, err)
			}
			got = append(got, b.Prefix.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("history of %s: %v, want %v", of, got, want)
		}
	}
}

// The histogram of latencies comes in both forms, with the block's number as an
// exemplar: from the graph to the block in one step.
func TestLatencyNamesTheBlock(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	o := options(t, nil)
	o.Observe, o.Registerer = true, registry
	a := start(t, DefaultConfig(), o)
	b := verdict("192.0.2.1/32", time.Hour)
	b.Received = time.Now()
	a.Block(b)
	a.flush()
	blocked, _ := a.Lookup(netip.MustParseAddr("192.0.2.1"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "uppercut_block_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 1 || len(h.GetBucket()) == 0 || h.Schema == nil || len(h.GetPositiveSpan()) == 0 {
			t.Errorf("not both forms: %v", h)
		}
		var exemplars []string
		for _, bucket := range h.GetBucket() {
			for _, l := range bucket.GetExemplar().GetLabel() {
				exemplars = append(exemplars, l.GetName()+"="+l.GetValue())
			}
		}
		if want := fmt.Sprintf("block=%d", blocked.ID); !slices.Equal(exemplars, []string{want}) {
			t.Errorf("exemplars %v, want %s", exemplars, want)
		}
		return
	}
	t.Error("no histogram of latencies")
}
