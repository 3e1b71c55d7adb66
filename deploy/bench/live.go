package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/deploy/netns"
)

// liveHosts is how many mail hosts send at once, each over a connection of its
// own.
const liveHosts = 4

// fleet is what a fleet of mail hosts sends, ready to be sent: a file for each
// host, so that the kernel can send it (sendfile) and the sender is not what is
// measured.
type fleet struct {
	files    []string
	messages int
	bytes    int64 // of all messages, without frames
}

// framing appends a message to a stream, by its number in the stream.
type framing func(b []byte, number int, message []byte) []byte

func octetCounted(b []byte, _ int, message []byte) []byte { return loggen.AppendFrame(b, message) }

// hostStream is the file of one host while it is written.
type hostStream struct {
	file   *os.File
	out    *bufio.Writer
	number int
}

// writeFleet writes a file for each host.
func writeFleet(dir string, c loggen.Config, frame framing) (*fleet, error) {
	f := &fleet{messages: c.Lines}
	streams := map[string]*hostStream{}
	for i := range c.Hosts {
		host := fmt.Sprintf("mx%d", i+1)
		file, err := os.Create(filepath.Join(dir, host+".stream"))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		f.files = append(f.files, file.Name())
		streams[host] = &hostStream{file: file, out: bufio.NewWriterSize(file, 64<<10)}
	}
	var message, framed []byte
	for l := range loggen.Lines(c) {
		s := streams[l.Host]
		s.number++
		message = loggen.RFC5424Message.Append(message[:0], l)
		framed = frame(framed[:0], s.number, message)
		f.bytes += int64(len(message))
		_, _ = s.out.Write(framed) // Flush returns the error
	}
	var err error
	for _, s := range streams {
		err = errors.Join(err, s.out.Flush())
	}
	return f, err
}

// send sends every file over a connection of its own, all at once.
func (f *fleet) send(ctx context.Context, ns *netns.Namespace, transport string) error {
	sent := make(chan error)
	for _, path := range f.files {
		go func() {
			file, err := os.Open(path)
			if err != nil {
				sent <- err
				return
			}
			defer file.Close()
			sent <- transports[transport](ctx, ns, file)
		}()
	}
	var err error
	for range f.files {
		err = errors.Join(err, <-sent)
	}
	return err
}

// liveRow is a contest of who takes the messages of a fleet faster: uppercut,
// which judges them, or rsyslogd, which writes them to a file.
func liveRow(transport string, messages int) func(*bench) (*contest, error) {
	return func(b *bench) (*contest, error) {
		dir := filepath.Join(b.dir, "live-"+transport)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		frame := octetCounted
		if transport == "relp" {
			frame = appendRELP
		}
		f, err := writeFleet(dir, loggen.LastMinute(b.count(messages), liveHosts), frame)
		if err != nil {
			return nil, err
		}
		rival := map[string]string{"tcp": "imptcp", "tls": "imtcp with gtls", "relp": "imrelp"}[transport]
		judging := func(uppercut string) func(context.Context) ([]measure, error) {
			return func(ctx context.Context) ([]measure, error) { return b.liveUppercut(ctx, uppercut, f, transport) }
		}
		return &contest{
			name: transport, with: judging,
			title: fmt.Sprintf("Live over %s: %s messages of %d hosts, from frame to verdict",
				strings.ToUpper(transport), number(float64(f.messages), 0), liveHosts),
			contestants: []contestant{
				{name: "uppercut serve", run: judging(b.uppercut)},
				{name: "rsyslogd, " + rival + ", to a file", needs: "rsyslogd", run: func(ctx context.Context) ([]measure, error) {
					return b.liveRsyslogd(ctx, f, transport, outputs["flushed"])
				}},
				{name: "the same, two workers, buffered", needs: "rsyslogd", run: func(ctx context.Context) ([]measure, error) {
					return b.liveRsyslogd(ctx, f, transport, outputs["buffered"])
				}},
			},
		}, nil
	}
}

// liveUppercut measures from the first byte sent to the last verdict.
func (b *bench) liveUppercut(ctx context.Context, uppercut string, f *fleet, transport string) ([]measure, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	a, err := b.startBuild(ctx, uppercut, dir)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	return live(ctx, a.process, a.ns, f, transport, func() (bool, error) {
		figures, err := a.figures()
		return figures.sum("uppercut_messages_judged_total") >= float64(f.messages), err
	})
}

// liveRsyslogd measures from the first byte sent to the last line in the file.
func (b *bench) liveRsyslogd(ctx context.Context, f *fleet, transport string, o output) ([]measure, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r, err := b.startRsyslogd(ctx, dir, transport, o)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	want := f.bytes + int64(f.messages) // an LF behind each
	return live(ctx, r.process, r.ns, f, transport, func() (bool, error) { return r.wrote(want) })
}

// live sends the fleet's messages to p and waits until it has done with them.
func live(ctx context.Context, p *process, ns *netns.Namespace, f *fleet, transport string, done func() (bool, error)) ([]measure, error) {
	before, err := p.cpu()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	begin := time.Now()
	if err := f.send(ctx, ns, transport); err != nil {
		return nil, err
	}
	if err := p.await(ctx, 10*time.Millisecond, done); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	after, err := p.cpu()
	if err != nil {
		return nil, err
	}
	peak, err := p.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	return []measure{
		{"messages/s", float64(f.messages) / took.Seconds(), 0},
		{"seconds", took.Seconds(), 2},
		{"CPU seconds", (after - before).Seconds(), 2},
		{"peak MB", float64(peak) / 1e6, 0},
	}, nil
}
