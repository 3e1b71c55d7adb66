package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/deploy/netns"
)

// offencesToBlock is how often a source must offend for both to block it:
// talking before the greeting weighs 6 of the 10 points of uppercut's rule
// burst, and fail2ban is told so.
const offencesToBlock = 2

// storm is offences that arrive at a rate, each of another source. In between
// come probes: sources that go on until they are blocked.
type storm struct {
	offences, rate int // in all and a second; a rate of 0: probes only
	probes         int
	every          time.Duration // between probes
}

// shot is a probe that has been sent.
type shot struct {
	addr netip.Addr
	sent time.Time // its deciding line
}

// offence is the line of a client that talked before it was greeted.
func offence(number int, addr netip.Addr, now time.Time) *loggen.Line {
	pid := uint32(1000 + number%30_000)
	return &loggen.Line{
		Time: now, Host: "mx1", Tag: "sm-mta", PID: pid, Severity: 5,
		Text: fmt.Sprintf("6AN%05d%06d: rejecting commands from [%v] [%v] due to pre-greeting traffic after 0 seconds",
			number%100_000, pid, addr, addr),
	}
}

// stormer writes a storm.
type stormer struct {
	to      io.Writer
	encode  func([]byte, *loggen.Line) []byte
	written int
	buffer  []byte
}

// line puts a line into the buffer.
func (s *stormer) line(addr netip.Addr, now time.Time) {
	s.written++
	s.buffer = s.encode(s.buffer, offence(s.written, addr, now))
}

func (s *stormer) flush() error {
	_, err := s.to.Write(s.buffer)
	s.buffer = s.buffer[:0]
	return err
}

// blow sends the storm and returns its probes.
func (w storm) blow(ctx context.Context, s *stormer) ([]shot, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var shots []shot
	begin := time.Now()
	for sent := 0; sent < w.offences || len(shots) < w.probes; {
		now := time.Now()
		passed := now.Sub(begin)
		for due := min(w.offences, int(passed.Seconds()*float64(w.rate))); sent < due; sent++ {
			s.line(numbered(100, sent), now)
		}
		if len(shots) < w.probes && passed >= time.Duration(len(shots))*w.every {
			shots = append(shots, shot{numbered(60, len(shots)), now})
			for range offencesToBlock {
				s.line(shots[len(shots)-1].addr, now)
			}
		}
		if err := s.flush(); err != nil {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return shots, nil
}

// numbered is the n-th address of a network of 8 bits.
func numbered(network byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{network, byte(n >> 16), byte(n >> 8), byte(n)})
}

// patienceForBlock is for how long a probe may be without a block before it counts as
// never blocked.
const patienceForBlock = time.Minute

// hit waits for the blocks and returns how long each took, in order. Those that
// are missing were never blocked.
func hit(ctx context.Context, p *process, w *watch, shots []shot) ([]time.Duration, error) {
	var took []time.Duration
	latest := time.Now()
	for _, s := range shots {
		err := p.await(ctx, time.Millisecond, func() (bool, error) {
			return !w.when(s.addr).IsZero() || time.Since(latest) > patienceForBlock, nil
		})
		if err != nil {
			return nil, err
		}
		if at := w.when(s.addr); !at.IsZero() {
			took = append(took, at.Sub(s.sent))
			latest = time.Now()
		}
	}
	slices.Sort(took)
	return took, nil
}

// latencyRow is a contest of who blocks sooner.
func latencyRow(name, title string, w storm) func(*bench) (*contest, error) {
	return func(b *bench) (*contest, error) {
		w.offences, w.probes = b.count(w.offences), b.count(w.probes)
		return &contest{name: name, title: title, limit: 3, contestants: []contestant{
			{name: "uppercut serve, over TCP", run: func(ctx context.Context) ([]measure, error) { return b.latencyUppercut(ctx, w) }},
			{name: "fail2ban, reading the log", needs: "fail2ban-server", run: func(ctx context.Context) ([]measure, error) {
				return b.latencyFail2ban(ctx, w)
			}},
		}}, nil
	}
}

func (b *bench) latencyUppercut(ctx context.Context, w storm) ([]measure, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	a, err := b.startUppercut(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	conn, err := dial(ctx, a.ns, syslogAddress)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	measures, err := w.measure(ctx, a.process, a.ns, &stormer{to: conn, encode: func(buf []byte, l *loggen.Line) []byte {
		return loggen.AppendFrame(buf, loggen.RFC5424Message.Append(nil, l))
	}})
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", a.ns.Name(),
		b.uppercut, "status", "--json", "--config", filepath.Join(dir, "uppercut.yaml")).Output()
	if err != nil {
		return nil, fmt.Errorf("uppercut status: %w", err)
	}
	p50, p99, err := ownLatency(out)
	if err != nil {
		return nil, fmt.Errorf("uppercut status: %w", err)
	}
	return append(measures,
		measure{"p50 by its own histogram, ms", milliseconds(p50), 2},
		measure{"p99", milliseconds(p99), 2}), nil
}

// ownLatency reads two durations of uppercut status --json.
func ownLatency(status []byte) (p50, p99 time.Duration, err error) {
	var s struct {
		P50 string `json:"block_latency_p50"`
		P99 string `json:"block_latency_p99"`
	}
	if err := json.Unmarshal(status, &s); err != nil {
		return 0, 0, err
	}
	if p50, err = time.ParseDuration(s.P50); err != nil {
		return 0, 0, err
	}
	p99, err = time.ParseDuration(s.P99)
	return p50, p99, err
}

// fail2banShare is the part of the storm that fail2ban gets, at the same rate:
// the fifth part. It would read the whole for minutes.
const fail2banShare = 5

func (b *bench) latencyFail2ban(ctx context.Context, w storm) ([]measure, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := b.startFail2ban(ctx, dir, offencesToBlock)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	w.offences /= fail2banShare
	w.probes = max(1, w.probes/fail2banShare)
	log, err := os.OpenFile(f.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return w.measure(ctx, f.process, f.ns, &stormer{to: log, encode: loggen.Traditional.Append})
}

// measure sends the storm to p and watches the kernel.
func (w storm) measure(ctx context.Context, p *process, ns *netns.Namespace, s *stormer) (_ []measure, err error) {
	kernel, err := newWatch(ns)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kernel.close()) }()
	shots, err := w.blow(ctx, s)
	if err != nil {
		return nil, err
	}
	took, err := hit(ctx, p, kernel, shots)
	if err != nil {
		return nil, err
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("none of %d sources was blocked: %s", len(shots), p.said())
	}
	return []measure{
		{"p50, ms", milliseconds(took[len(took)/2]), 2},
		{"p99, ms", milliseconds(took[len(took)*99/100]), 2},
		{"blocked", float64(len(took)), 0},
		{"never blocked", float64(len(shots) - len(took)), 0},
	}, nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
