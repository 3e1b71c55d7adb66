package enforcer

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/enforcer/ledger"
)

func init() { roles["writer"] = writer }

func childContext() context.Context { return context.Background() }

// writer blocks and unblocks until it is killed. It prints a line for each
// thing that it was told is done, after it was told.
func writer() error {
	o, err := childOptions()
	if err != nil {
		return err
	}
	// What is logged as blocked survives as well.
	o.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil))
	e, err := New(childContext(), DefaultConfig(), o)
	if err != nil {
		return err
	}
	go func() { _ = e.Run(childContext()) }()
	fmt.Println("ready")
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	for {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))}), 32)
		now := time.Now()
		switch random.IntN(4) {
		case 0:
			if _, err := e.Unblock(childContext(), "op", "", p); err != nil {
				return err
			}
			fmt.Println("unblocked", p)
		case 1:
			if _, err := e.BlockNow(childContext(), "op", "", now.Add(time.Hour), p); err != nil {
				return err
			}
			fmt.Println("blocked", p)
		default:
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(random.IntN(256)), byte(random.IntN(256)), 1}), 32)
			e.Block(Block{Prefix: p, At: now, Received: now, Until: now.Add(time.Hour), Rule: "burst"})
		}
	}
}

// acknowledged follows a writer's output: what must be blocked, and what must
// not be.
type acknowledged map[netip.Prefix]bool

// wants takes a line in. An order that was given but not acknowledged may be
// in force or not, so the last line of a prefix counts, and the prefix of an
// order in flight at the end is left out by its caller.
func (k acknowledged) read(line string) {
	if rest, ok := strings.CutPrefix(line, "blocked "); ok {
		k[prefix(rest)] = true
	}
	if rest, ok := strings.CutPrefix(line, "unblocked "); ok {
		k[prefix(rest)] = false
	}
	if _, rest, ok := strings.Cut(line, "msg=block prefix="); ok {
		p, _, _ := strings.Cut(rest, " ")
		if q, err := netip.ParsePrefix(p); err == nil && q.Addr().As4()[0] == 20 {
			k[q] = true
		}
	}
}

// kills is the number of instants; on the way, the ledger grows.
const kills = 80

func TestKillAtAnyInstant(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	known := acknowledged{}
	for i := range kills {
		known.killed(t, ns, dir, time.Duration(random.IntN(60))*time.Millisecond)
		// The restart that counts is the next writer's, which reads the
		// ledger that we look at; now and then one is made for the kernel too.
		known.compareLedger(t, dir)
		if i%10 == 0 {
			known.compareKernel(t, ns, dir)
		}
		if t.Failed() {
			t.Fatalf("at instant %d", i)
		}
	}
	t.Logf("%d kills, %d prefixes acknowledged", kills, len(known))
}

// killed runs a writer and kills it some time after it is ready.
func (k acknowledged) killed(t *testing.T, ns *kernel, dir string, after time.Duration) {
	t.Helper()
	c := child(t, "writer", ns, dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			time.AfterFunc(after, func() { _ = c.Process.Kill() })
		}
		k.read(lines.Text())
	}
	_ = c.Wait() // it was killed
	if !c.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() {
		t.Fatalf("the writer ended by itself: %v", c.ProcessState)
	}
}

func (k acknowledged) compareLedger(t *testing.T, dir string) {
	t.Helper()
	l, err := ledger.Open(filepath.Join(dir, LedgerFile), ledger.Options{History: 1000, Audit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	saved := map[netip.Prefix]bool{}
	if err := l.Blocks(func(b ledger.Block) error { saved[b.Prefix] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	k.compare(t, "ledger", saved)
}

func (k acknowledged) compareKernel(t *testing.T, ns *kernel, dir string) {
	t.Helper()
	o := Options{StateDir: dir, NetNS: ns.FD()}
	e, err := New(t.Context(), DefaultConfig(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	there := map[netip.Prefix]bool{}
	for p, left := range ns.elements(t, "block4") {
		there[p] = true
		if left > 3600 {
			t.Errorf("%v lives %d s, longer than it was blocked for", p, left)
		}
	}
	k.compare(t, "kernel", there)
}

// compare looks for what was acknowledged. The one order that was under way at
// the kill may have been carried out; it shows as one prefix that differs and
// is taken as it is.
func (k acknowledged) compare(t *testing.T, where string, there map[netip.Prefix]bool) {
	t.Helper()
	var differ []netip.Prefix
	for p, want := range k {
		if p.Addr().As4()[0] == 20 && !there[p] {
			t.Errorf("%s: %v was logged as blocked and is not there", where, p)
		}
		if p.Addr().As4()[0] == 10 && there[p] != want {
			differ = append(differ, p)
		}
	}
	if len(differ) > 1 {
		t.Errorf("%s: %v are not as acknowledged", where, differ)
	}
	for _, p := range differ {
		k[p] = there[p]
	}
}
