package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"uppercut/deploy/loggen"
)

// The contests of growth are between sizes: the first figure is the cost of an
// item, and its ratio to that of the smallest size is 1 where cost is flat.

// smallest is what the figures of a growth are compared with.
const smallest = "the smallest"

// growth makes a contest of sizes, each at least so large; those that are equal
// when scaled are held once.
func (b *bench) growth(name, title, item string, least int, sizes []int, run func(ctx context.Context, n int) ([]measure, error)) *contest {
	c := &contest{name: name, title: title, beside: smallest, limit: 3}
	last := 0
	for _, full := range sizes {
		n := max(least, b.count(full))
		if n == last {
			continue
		}
		last = n
		c.contestants = append(c.contestants, contestant{
			name: number(float64(n), 0) + " " + item,
			run:  func(ctx context.Context) ([]measure, error) { return run(ctx, n) },
		})
	}
	return c
}

// growthLines: the log comes through a pipe, so that 100 million lines need no
// disk; they cover 100 days.
func growthLines(b *bench) (*contest, error) {
	sizes := []int{1_000_000, 10_000_000}
	if b.huge {
		sizes = append(sizes, 100_000_000)
	}
	c := b.growth("growth-lines", "How the cost of a line grows with the length of the log", "lines", 1, sizes, b.replayPipe)
	c.limit = 1
	return c, nil
}

// replayPipe makes up lines and pipes them into a replay.
func (b *bench) replayPipe(ctx context.Context, lines int) ([]measure, error) {
	cmd := exec.CommandContext(ctx, b.uppercut, "replay", "--zone", "UTC", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	writeErr := pipeLog(in, lines)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("uppercut replay: %w", err)
	}
	if writeErr != nil {
		return nil, writeErr
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return []measure{
		{"CPU ns a line", float64(cpu.Nanoseconds()) / float64(lines), 0},
		{"CPU seconds", cpu.Seconds(), 2},
		{"peak MB", float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss<<10) / 1e6, 0},
	}, nil
}

func pipeLog(in io.WriteCloser, lines int) error {
	defer in.Close()
	c := loggen.DefaultConfig()
	c.Lines = lines
	out := bufio.NewWriterSize(in, 1<<16)
	var text []byte
	for l := range loggen.Lines(c) {
		text = loggen.ISO.Append(text[:0], l)
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return out.Flush()
}

// growthSources: of a source that is known, as most are in an attack.
func growthSources(b *bench) (*contest, error) {
	return b.growth("growth-sources", "How the cost of an offence grows with the number of tracked sources", "sources",
		minSources, []int{10_000, 100_000, 1_000_000, 5_000_000}, func(ctx context.Context, n int) ([]measure, error) {
			measures, err := b.judge(ctx, n)
			if err != nil {
				return nil, err
			}
			memory, rest := measures[:2], measures[2:]
			return append(rest, memory...), nil
		}), nil
}

// growthBlocks: blocks that are put into the kernel at a start.
func growthBlocks(b *bench) (*contest, error) {
	return b.growth("growth-blocks", "How the cost of a block grows with their number, from the start to the kernel", "blocks",
		1, []int{1000, 10_000, 100_000, 1_000_000}, func(ctx context.Context, n int) ([]measure, error) {
			measures, err := b.restart(ctx, n)
			if err != nil {
				return nil, err
			}
			// what a start takes without any block is not the blocks' cost
			bare, err := b.restart(ctx, 0)
			if err != nil {
				return nil, err
			}
			each := (measures[0].value - bare[0].value) / float64(n) * 1e6
			return append([]measure{{"µs a block", max(0, each), 1}}, measures...), nil
		}), nil
}

// growthHosts: the same messages from ever more mail hosts, each over a
// connection of its own.
func growthHosts(b *bench) (*contest, error) {
	messages := b.count(500_000)
	return b.growth("growth-hosts", fmt.Sprintf("How the cost of a message grows with the number of hosts that send, %s in all",
		number(float64(messages), 0)), "hosts", 1, []int{1, 10, 100, 1000}, func(ctx context.Context, n int) ([]measure, error) {
		dir, err := os.MkdirTemp(b.dir, "")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		streams := filepath.Join(dir, "streams")
		if err := os.Mkdir(streams, 0o700); err != nil {
			return nil, err
		}
		f, err := writeFleet(streams, loggen.LastMinute(messages, n), octetCounted)
		if err != nil {
			return nil, err
		}
		measures, err := b.liveUppercut(ctx, b.uppercut, f, "tcp")
		if err != nil {
			return nil, err
		}
		each := measures[2].value / float64(messages) * 1e9
		return append([]measure{{"CPU ns a message", each, 0}}, measures...), nil
	}), nil
}
