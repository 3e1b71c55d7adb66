package enforcer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gaissmai/bart"

	"uppercut/enforcer/ledger"
	"uppercut/enforcer/nft"
)

const (
	chaosRounds = 4
	chaosRound  = 1500 * time.Millisecond
)

// TestChaos writes, extends and removes blocks while another process flushes,
// deletes and reloads; at each pause the kernel has what the ledger has.
func TestChaos(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	o := options(t, ns)
	o.Logger = nil
	a := start(t, DefaultConfig(), o)
	for round := range chaosRounds {
		ctx, cancel := context.WithTimeout(t.Context(), chaosRound)
		var both sync.WaitGroup
		random := func(who uint64) *rand.Rand { return rand.New(rand.NewPCG(uint64(round), who)) }
		both.Go(func() { a.writeChaos(ctx, random(1)) })
		both.Go(func() { breakChaos(ctx, ns, random(2)) })
		both.Wait()
		cancel()
		a.flush()
		eventually(t, slack*5*time.Second, "the allow entries expired", func() bool {
			return len(slices.Collect(a.Allowed())) == 0
		})
		took := eventually(t, repairWithin, "kernel and list agree", func() bool {
			r, err := a.Verify(t.Context())
			return err == nil && r.Sound()
		})
		t.Logf("round %d: %d blocks, agreed after %v", round, a.Count(), took)
		a.compareWithLedger(t, ns, filepath.Join(t.TempDir(), "copy"), filepath.Join(o.StateDir, LedgerFile))
	}
}

// writeChaos asks for blocks of all kinds, in and out of one another.
func (a *appliance) writeChaos(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		p := randomPrefix(random)
		until := time.Now().Add(time.Duration(1+random.IntN(100)) * time.Hour)
		switch random.IntN(20) {
		case 0:
			_, _ = a.Unblock(ctx, "op", "", p)
		case 1:
			_, _ = a.BlockNow(ctx, "op", "", until, p)
		case 2:
			_, _ = a.Allow(ctx, AllowEntry{Prefix: p, Until: time.Now().Add(time.Duration(random.IntN(2000)) * time.Millisecond)})
		case 3:
			_, _ = a.Disallow(ctx, "op", "", p)
		default:
			a.Block(Block{Prefix: p, At: time.Now(), Until: until, Rule: "burst", Score: float64(random.IntN(50))})
		}
	}
}

func randomPrefix(random *rand.Rand) netip.Prefix {
	var p netip.Prefix
	switch b := byte(random.IntN(256)); random.IntN(4) {
	case 0:
		p = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, b, byte(random.IntN(256))}), 22+random.IntN(10))
	case 1:
		p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, b, byte(random.IntN(16)), 1}), 64)
	case 2:
		p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 7, 0, byte(random.IntN(16)), b}), 60+random.IntN(69))
	default:
		p = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, b, byte(random.IntN(256))}), 32)
	}
	return p.Masked()
}

// breakChaos is the other process, or rather a series of them.
func breakChaos(ctx context.Context, ns *kernel, random *rand.Rand) {
	orders := []string{
		"flush ruleset",
		"delete table inet uppercut",
		"flush set inet uppercut block4",
		"flush set inet uppercut block6_net",
		"flush chain inet uppercut prerouting",
		"delete chain inet uppercut prerouting",
		"add rule inet uppercut prerouting accept",
		"add table inet firewalld; add chain inet firewalld input { type filter hook input priority 0; }",
		"delete table inet firewalld",
		"add element inet uppercut block4 { 10.1.%d.%d timeout 1h }",
		"delete element inet uppercut block4 { 10.1.%d.%d }",
		"add element inet uppercut block4_net { 172.16.%d.%d timeout 1h }",
		"flush ruleset; add table inet uppercut; add set inet uppercut block4 { type ipv4_addr; }",
	}
	for ctx.Err() == nil {
		order := orders[random.IntN(len(orders))]
		if n := len(order); n > 0 && order[n-1] == '}' && slices.Contains(orders[9:12], order) {
			order = fmt.Sprintf(order, random.IntN(256), random.IntN(256))
		}
		// Many fail: what they are about is not there just then.
		_ = ns.CommandContext(ctx, "nft", order).Run()
		pause := time.NewTimer(time.Duration(random.IntN(60)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// compareWithLedger compares what nft lists with what the ledger holds.
func (a *appliance) compareWithLedger(t *testing.T, ns *kernel, copyTo, path string) {
	t.Helper()
	snapshot, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copyTo, snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(copyTo, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now()
	var want, got bart.Table[time.Duration]
	if err := l.Blocks(func(r ledger.Block) error { want.Insert(r.Prefix, r.Until.Sub(now)); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, set := range nft.Sets {
		for p, left := range ns.elements(t, set) {
			if i == 1 {
				p = netip.PrefixFrom(p.Addr(), 64)
			}
			got.Insert(p, time.Duration(left)*time.Second)
		}
	}
	// At its ends and beside them, each network has as long as it should.
	for _, table := range []*bart.Table[time.Duration]{&want, &got} {
		for p := range table.All() {
			first, last := p.Addr(), lastOf(p)
			for _, addr := range []netip.Addr{first.Prev(), first, last, last.Next()} {
				if w, g := longest(&want, addr), longest(&got, addr); (w - g).Abs() > 4*time.Second {
					t.Errorf("%v: %v left in the kernel, %v in the ledger", addr, g, w)
				}
			}
		}
	}
}

// longest is the time of the block of a that lasts longest.
func longest(table *bart.Table[time.Duration], a netip.Addr) (d time.Duration) {
	if !a.IsValid() {
		return 0
	}
	for _, left := range table.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		d = max(d, left)
	}
	return d
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
