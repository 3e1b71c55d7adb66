package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uppercut/deploy/bench/blocklist"
	"uppercut/deploy/netns"
	"uppercut/enforcer"
	"uppercut/enforcer/nft"
)

// blocksRow is a contest of who has a list of blocks in the kernel sooner:
// uppercut when it is started again, or nft.
func blocksRow(b *bench) (*contest, error) {
	n := b.count(1_000_000)
	list := filepath.Join(b.dir, "blocks.nft")
	f, err := os.Create(list)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(blocklist.WriteNft(f, blocklist.Prefixes(n)), f.Close()); err != nil {
		return nil, err
	}
	return &contest{
		name:  "blocks",
		title: fmt.Sprintf("From the start to %s blocks in the kernel", number(float64(n), 0)),
		contestants: []contestant{
			{name: "uppercut serve, ready", run: func(ctx context.Context) ([]measure, error) { return b.restart(ctx, n) }},
			{name: "nft -f", needs: "nft", run: func(ctx context.Context) ([]measure, error) { return loadNft(ctx, list) }},
		},
	}, nil
}

// startWithBlocks starts uppercut on a ledger of n blocks and checks that all of
// them are in the kernel when it says that it is ready.
func (b *bench) startWithBlocks(ctx context.Context, n int) (a *appliance, took time.Duration, err error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, 0, err
	}
	if err := blocklist.WriteLedger(filepath.Join(dir, enforcer.LedgerFile), blocklist.Prefixes(n)); err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	if a, err = b.startUppercut(ctx, dir); err != nil {
		return nil, 0, err
	}
	took = time.Since(begin)
	kernel, err := openKernel(a.ns)
	if err == nil {
		defer kernel.Close()
		err = kernel.holds(n)
	}
	if err != nil {
		a.stop()
		return nil, 0, err
	}
	return a, took, nil
}

func (b *bench) restart(ctx context.Context, n int) ([]measure, error) {
	a, took, err := b.startWithBlocks(ctx, n)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	cpu, err := a.cpu()
	resident, err2 := a.memory("VmRSS")
	peak, err3 := a.memory("VmHWM")
	return []measure{
		{"seconds", took.Seconds(), 2},
		{"CPU seconds", cpu.Seconds(), 2},
		{"resident MB", float64(resident) / 1e6, 0},
		{"peak MB", float64(peak) / 1e6, 0},
	}, errors.Join(err, err2, err3)
}

func loadNft(ctx context.Context, list string) ([]measure, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	u, err := timed(ctx, "ip", "netns", "exec", ns.Name(), "nft", "-f", list)
	return []measure{
		{"seconds", u.wall.Seconds(), 2},
		{"CPU seconds", u.cpu.Seconds(), 2},
		{"peak MB", float64(u.peak) / 1e6, 0},
	}, err
}

// kernel is what the kernel says of uppercut's sets in a namespace.
type kernel struct{ *nft.Firewall }

func openKernel(ns *netns.Namespace) (*kernel, error) {
	c := enforcer.DefaultConfig()
	f, err := nft.Open(nft.Config{NetNS: ns.FD(), IPv6Bits: 64, HashSize: uint32(c.MaxAddresses), NetSize: uint32(c.MaxNetworks)})
	if err != nil {
		return nil, err
	}
	return &kernel{f}, nil
}

// count is how many elements are in force.
func (k *kernel) count() (int, error) {
	sets, err := k.Elements()
	total := 0
	for _, n := range sets {
		total += max(0, n)
	}
	return total, err
}

func (k *kernel) holds(want int) error {
	got, err := k.count()
	if err == nil && got != want {
		err = fmt.Errorf("%d of %d blocks are in the kernel", got, want)
	}
	return err
}

// driftRow measures how soon uppercut has put right what others did to its
// table. There is no rival: fail2ban does not notice.
func driftRow(b *bench) (*contest, error) {
	n := b.count(100_000)
	c := &contest{
		name:  "drift",
		title: fmt.Sprintf("From the damage to all of %s blocks in the kernel again", number(float64(n), 0)),
	}
	for _, damage := range [][]string{
		{"flush", "ruleset"}, // restarting nftables.service does that
		{"delete", "table", "inet", "uppercut"},
		{"flush", "set", "inet", "uppercut", "block4"},
	} {
		c.contestants = append(c.contestants, contestant{
			name: "after nft " + strings.Join(damage, " "), needs: "nft",
			run: func(ctx context.Context) ([]measure, error) { return b.repair(ctx, n, damage) },
		})
	}
	return c, nil
}

// repair does the damage and polls the kernel until all is there again. The time
// that nft takes to do it is part of the figure.
func (b *bench) repair(ctx context.Context, n int, damage []string) ([]measure, error) {
	a, _, err := b.startWithBlocks(ctx, n)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	k, err := openKernel(a.ns)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	before, err := a.cpu()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if _, err := timed(ctx, append([]string{"ip", "netns", "exec", a.ns.Name(), "nft"}, damage...)...); err != nil {
		return nil, err
	}
	if err := a.await(ctx, 2*time.Millisecond, func() (bool, error) {
		if got, err := k.count(); got != n || err != nil {
			return false, err
		}
		figures, err := a.figures()
		return figures.sum("uppercut_firewall_drift_total") > 0, err
	}); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	after, err := a.cpu()
	return []measure{
		{"seconds", took.Seconds(), 3},
		{"CPU seconds", (after - before).Seconds(), 2},
	}, err
}
