package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/ipv4"

	"uppercut/deploy/loggen"
	"uppercut/deploy/netns"
)

// datagramPool is how many different datagrams are sent, over and over. A
// message that comes again after so many is not taken for a duplicate.
const datagramPool = 50_000

// barrage is datagrams to be sent at a rate.
type barrage struct {
	datagrams []ipv4.Message
	total     int
	rate      int // a second; 0: as fast as the sender can
}

func newBarrage(total, rate int) *barrage {
	s := &barrage{total: total, rate: rate}
	for l := range loggen.Lines(loggen.LastMinute(min(total, datagramPool), liveHosts)) {
		s.datagrams = append(s.datagrams, ipv4.Message{Buffers: [][]byte{loggen.RFC5424Message.Append(nil, l)}})
	}
	return s
}

// datagramsPerWrite is how many datagrams one sendmmsg takes.
const datagramsPerWrite = 64

// send sends the barrage from one socket, without a look at what becomes of it.
func (s *barrage) send(ctx context.Context, ns *netns.Namespace) error {
	conn, err := ns.Dial(ctx, new(net.Dialer), "udp", syslogAddress)
	if err != nil {
		return err
	}
	defer conn.Close()
	packets := ipv4.NewPacketConn(conn.(net.PacketConn))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for sent := 0; sent < s.total; {
		due := s.total
		if s.rate > 0 {
			due = min(due, int(time.Since(begin).Seconds()*float64(s.rate)))
		}
		for sent < due {
			at := sent % len(s.datagrams)
			n, err := packets.WriteBatch(s.datagrams[at:min(at+datagramsPerWrite, at+due-sent, len(s.datagrams))], 0)
			if err != nil {
				return err
			}
			sent += n
		}
		if sent == s.total {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// kernelDrops is how many datagrams the kernel dropped at the syslog port of
// p's namespace because nobody took them off in time.
func kernelDrops(p *process) (int, error) {
	drops := 0
	for _, table := range []string{"udp", "udp6"} {
		sockets, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, table))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(sockets)) {
			fields := strings.Fields(line)
			if len(fields) < 2 || !strings.HasSuffix(fields[1], strings.TrimSpace(ports["udp"].port)) {
				continue
			}
			n, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				return 0, err
			}
			drops += n
		}
	}
	return drops, nil
}

// udpRow is a contest of who loses fewer datagrams.
func udpRow(name, title string, total, rate int) func(*bench) (*contest, error) {
	return func(b *bench) (*contest, error) {
		s := newBarrage(b.count(total), rate)
		return &contest{name: name, title: fmt.Sprintf(title, number(float64(s.total), 0)), contestants: []contestant{
			{name: "uppercut serve", run: func(ctx context.Context) ([]measure, error) { return b.udpUppercut(ctx, s) }},
			{name: "rsyslogd, imudp, to a file", needs: "rsyslogd", run: func(ctx context.Context) ([]measure, error) {
				return b.udpRsyslogd(ctx, s)
			}},
		}}, nil
	}
}

func (b *bench) udpUppercut(ctx context.Context, s *barrage) ([]measure, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	a, err := b.startUppercut(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	var last figures
	o, err := s.deliver(ctx, a.process, a.ns, func() (n int, err error) {
		last, err = a.figures()
		return int(last.sum("uppercut_messages_judged_total")), err
	})
	if err != nil {
		return nil, err
	}
	if counted := int(last.sum("uppercut_udp_kernel_drops_total")); counted != o.dropped {
		return nil, fmt.Errorf("the kernel dropped %d datagrams, uppercut counts %d", o.dropped, counted)
	}
	refused := int(last.sum("uppercut_messages_dropped_total", "listener", "udp"))
	if nowhere := o.nowhere(refused); nowhere != 0 {
		return nil, fmt.Errorf("%d of %d datagrams are lost and counted nowhere", nowhere, o.sent)
	}
	return o.measures(refused), nil
}

func (b *bench) udpRsyslogd(ctx context.Context, s *barrage) ([]measure, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r, err := b.startRsyslogd(ctx, dir, "udp", outputs["flushed"])
	if err != nil {
		return nil, err
	}
	defer r.stop()
	lines := lineCounter{path: r.file}
	o, err := s.deliver(ctx, r.process, r.ns, lines.count)
	if err != nil {
		return nil, err
	}
	return o.measures(0), nil
}

// lineCounter counts the lines of a file that grows.
type lineCounter struct {
	path   string
	lines  int
	offset int64
}

func (c *lineCounter) count() (int, error) {
	f, err := os.Open(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := f.ReadAt(buf, c.offset)
		c.offset += int64(n)
		c.lines += bytes.Count(buf[:n], []byte{'\n'})
		if err == io.EOF { //nolint:errorlint // ReadAt does not wrap it
			return c.lines, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// delivery is what became of a barrage.
type delivery struct {
	sent, taken, dropped  int // dropped by the kernel
	sending, taking, busy time.Duration
}

// settled is for how long nothing more must arrive before it is taken as lost.
const settled = time.Second

// deliver sends the barrage to p and waits until all of it has been taken, or
// dropped by the kernel, or nothing has happened for a while.
func (s *barrage) deliver(ctx context.Context, p *process, ns *netns.Namespace, taken func() (int, error)) (*delivery, error) {
	before, err := p.cpu()
	if err != nil {
		return nil, err
	}
	o := &delivery{sent: s.total}
	begin := time.Now()
	if err := s.send(ctx, ns); err != nil {
		return nil, err
	}
	o.sending = time.Since(begin)
	changed := time.Now()
	err = p.await(ctx, 10*time.Millisecond, func() (bool, error) {
		n, err := taken()
		if err != nil {
			return false, err
		}
		if n != o.taken {
			o.taken, changed = n, time.Now()
		}
		o.dropped, err = kernelDrops(p)
		return o.taken+o.dropped >= o.sent || time.Since(changed) > settled, err
	})
	o.taking = changed.Sub(begin)
	after, cpuErr := p.cpu()
	o.busy = after - before
	return o, errors.Join(err, cpuErr)
}

// nowhere is how many datagrams are lost that neither the kernel counted nor the
// program, which dropped so many itself.
func (o *delivery) nowhere(refused int) int { return o.sent - o.taken - o.dropped - refused }

// measures are those of a delivery, of which the program itself dropped so many
// and counted them.
func (o *delivery) measures(refused int) []measure {
	lost := o.sent - o.taken
	return []measure{
		{"lost", float64(lost), 0},
		{"of it counted by the kernel", float64(o.dropped), 0},
		{"by the program", float64(refused), 0},
		{"nowhere", float64(o.nowhere(refused)), 0},
		{"sent/s", float64(o.sent) / o.sending.Seconds(), 0},
		{"taken/s", float64(o.taken) / o.taking.Seconds(), 0},
		{"CPU seconds", o.busy.Seconds(), 2},
	}
}
