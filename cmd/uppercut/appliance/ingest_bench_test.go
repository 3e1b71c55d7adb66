package appliance

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"uppercut/deploy/loggen"
	"uppercut/detector"
	"uppercut/receiver"
)

// ingestLines is how many messages one round of BenchmarkIngest sends.
const ingestLines = 1_000_000

// ingestHosts is how many mail hosts send them, each over a connection of its
// own.
const ingestHosts = 4

// BenchmarkIngest sends messages over TCP to receiver, parser and judge, from
// frame to verdict. Senders, receiver and judge share the machine. The messages
// are those of a minute, which has many a second and no end to any session, and
// those of a day, in which sessions, scores and favour grow old.
func BenchmarkIngest(b *testing.B) {
	b.Run("minute", func(b *testing.B) { benchmarkIngest(b, time.Minute) })
	b.Run("day", func(b *testing.B) { benchmarkIngest(b, 24*time.Hour) })
}

func benchmarkIngest(b *testing.B, span time.Duration) {
	streams := ingestStreams(span)
	var rates, allocs []float64
	for b.Loop() {
		rate, perMessage := ingest(b, streams)
		rates, allocs = append(rates, rate), append(allocs, perMessage)
	}
	b.ReportMetric(median(rates), "messages/s")
	b.ReportMetric(median(allocs), "allocs/message")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// ingestStreams are octet-counted frames of a fleet's log of the time that has
// just gone by, one stream a host.
func ingestStreams(span time.Duration) [][]byte {
	byHost := map[string][]byte{}
	var message []byte
	for line := range loggen.Lines(loggen.Last(span, ingestLines, ingestHosts)) {
		message = loggen.RFC5424Message.Append(message[:0], line)
		byHost[line.Host] = loggen.AppendFrame(byHost[line.Host], message)
	}
	return slices.Collect(maps.Values(byHost))
}

// ingest runs receiver, parser and judge for one round.
func ingest(b *testing.B, streams [][]byte) (messagesPerSecond, allocsPerMessage float64) {
	pl := testPipeline(b, func(detector.Verdict) {})
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
