package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/detector"
	"uppercut/detector/sendmail"
	"uppercut/receiver"
)

// ingestLines is how many messages one round of BenchmarkIngest sends.
const ingestLines = 300_000

// ingestConns is how many senders send them at once.
const ingestConns = 4

// BenchmarkIngest sends the same messages over TCP to us, from frame to
// verdict, and to an rsyslogd that writes them to a file (imptcp), in turns,
// and reports the medians in messages a second. Senders, receiver and judge
// share the machine.
func BenchmarkIngest(b *testing.B) {
	streams := ingestStreams()
	var ours, theirs []float64
	var allocs float64
	rsyslogd := startSyslogd(b)
	for b.Loop() {
		rate, perMessage := ingestUppercut(b, streams)
		ours = append(ours, rate)
		allocs = perMessage
		theirs = append(theirs, rsyslogd.ingest(b, streams))
	}
	b.ReportMetric(median(ours), "uppercut-messages/s")
	b.ReportMetric(median(theirs), "rsyslogd_imptcp-messages/s")
	b.ReportMetric(allocs, "uppercut-allocs/message")
	b.ReportMetric(0, "ns/op") // of both together: says nothing
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// ingestStreams are octet-counted frames of a fleet's log, one stream a sender.
func ingestStreams() [][]byte {
	streams := make([][]byte, ingestConns)
	config := loggen.DefaultConfig()
	config.Lines = ingestLines
	var message []byte
	n := 0
	for line := range loggen.Lines(config) {
		message = loggen.RFC5424Message.Append(message[:0], line)
		streams[n%ingestConns] = loggen.AppendFrame(streams[n%ingestConns], message)
		n++
	}
	return streams
}

// ingestUppercut runs receiver, parser and judge for one round.
func ingestUppercut(b *testing.B, streams [][]byte) (messagesPerSecond, allocsPerMessage float64) {
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		b.Fatal(err)
	}
	d, err := detector.New(detector.DefaultConfig(), detector.Options{})
	if err != nil {
		b.Fatal(err)
	}
	pl := newPipeline(parser, d, func(detector.Verdict) {}, func(done func()) { done() })
	config := receiver.DefaultConfig()
	config.UDP, config.TCP = nil, []string{"127.0.0.1:0"}
	r, err := receiver.New(config, receiver.Options{Handle: pl.handle})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	received := make(chan error)
	go func() { received <- r.Run(ctx) }()
	judged := make(chan struct{})
	go func() { pl.run(); close(judged) }()

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	sendStreams(b, r.Addrs(receiver.TCP)[0].String(), streams)
	stop() // the receiver reads the streams to their end
	if err := <-received; err != nil {
		b.Fatal(err)
	}
	pl.close()
	<-judged
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	if pl.lines != ingestLines {
		b.Fatalf("%d of %d messages were judged", pl.lines, ingestLines)
	}
	return ingestLines / took.Seconds(), float64(after.Mallocs-before.Mallocs) / ingestLines
}

// sendStreams sends all streams at once and returns when the receiver has
// closed every connection or taken every byte.
func sendStreams(b *testing.B, address string, streams [][]byte) {
	b.Helper()
	sent := make(chan error)
	for _, stream := range streams {
		go func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				sent <- err
				return
			}
			defer c.Close()
			_, err = io.Copy(c, bytes.NewReader(stream))
			sent <- err
		}()
	}
	for range streams {
		if err := <-sent; err != nil {
			b.Fatal(err)
		}
	}
}

// syslogd is a real rsyslogd that writes what comes by TCP to a file.
type syslogd struct {
	address, file string
	written       int64 // bytes in the file so far
}

func startSyslogd(b *testing.B) *syslogd {
	b.Helper()
	dir := b.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	s := &syslogd{address: address, file: filepath.Join(dir, "out")}
	config := fmt.Sprintf(`global(workDirectory=%q)
module(load="imptcp")
template(name="raw" type="string" string="%%rawmsg%%\n")
input(type="imptcp" address="127.0.0.1" port=%q ruleset="in")
ruleset(name="in" queue.type="FixedArray" queue.size="100000") { action(type="omfile" file=%q template="raw") }
`, dir, port, s.file)
	path := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("rsyslogd", "-n", "-f", path, "-i", filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return s
		}
		if time.Now().After(deadline) {
			b.Fatal("rsyslogd does not listen")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// ingest sends one round and waits until the file has grown no more for a
// quarter of a second, which is not counted.
func (s *syslogd) ingest(b *testing.B, streams [][]byte) (messagesPerSecond float64) {
	b.Helper()
	const settled = 250 * time.Millisecond
	begin := time.Now()
	sendStreams(b, s.address, streams)
	grown := time.Now()
	for time.Since(grown) < settled {
		if info, err := os.Stat(s.file); err == nil && info.Size() != s.written {
			s.written, grown = info.Size(), time.Now()
		}
		<-time.After(5 * time.Millisecond)
	}
	return ingestLines / grown.Sub(begin).Seconds()
}
