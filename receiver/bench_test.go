package receiver

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"uppercut/receiver/header"
)

// mix is a stream of the headers that rsyslog sends, with texts as long as
// sendmail's are on average.
func mix(t testing.TB) (stream string, messages int) {
	t.Helper()
	text := " 4ANJUBRC017608: from=<alice@example.org>, size=1234, class=0, nrcpts=1, msgid=<x@y.example>, proto=ESMTPS, daemon=MTA, relay=host.example.net [192.0.2.10]\n"
	var b strings.Builder
	for range 500 {
		b.WriteString("<22>Nov 23 07:33:23 mx1 sm-mta[17608]:" + text)
		b.WriteString("<22>2026-11-23T07:33:23.586845+00:00 mx1 sm-mta[17608]:" + text)
		b.WriteString("<22>1 2026-11-23T07:33:23.217365+00:00 mx1 sm-mta 17608 - - " + text)
		messages += 3
	}
	return b.String(), messages
}

// BenchmarkFrame cuts a stream into frames, by LF and by octet count.
func BenchmarkFrame(b *testing.B) {
	lines, messages := mix(b)
	var counted []byte
	for line := range strings.Lines(lines) {
		counted = fmt.Appendf(counted, "%d %s", len(line), line)
	}
	for name, stream := range map[string][]byte{"LF": []byte(lines), "octets": counted} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s := splitter{max: 64 << 10}
			var spans []span
			for b.Loop() {
				frames := 0
				for rest := stream; len(rest) > 0; {
					var used int
					spans, used = s.split(rest, spans[:0])
					frames, rest = frames+len(spans), rest[used:]
				}
				if frames != messages {
					b.Fatalf("%d frames of %d messages", frames, messages)
				}
			}
			perMessage(b, messages)
		})
	}
}

// BenchmarkFrameAndHeader is what one core does of a stream, sockets apart.
func BenchmarkFrameAndHeader(b *testing.B) {
	text, messages := mix(b)
	stream := []byte(text)
	b.ReportAllocs()
	s := splitter{max: 64 << 10}
	var p header.Parser
	var m header.Header
	var spans []span
	for b.Loop() {
		for rest := stream; len(rest) > 0; {
			var used int
			spans, used = s.split(rest, spans[:0])
			whole := string(rest[:used])
			for _, f := range spans {
				if err := p.Parse(whole[f.start:f.end], false, &m); err != nil {
					b.Fatal(err)
				}
			}
			rest = rest[used:]
		}
	}
	perMessage(b, messages)
}

// BenchmarkTCP is live: a client writes over loopback, a handler counts.
func BenchmarkTCP(b *testing.B) {
	stream, messages := mix(b)
	var count atomic.Int64
	done := make(chan struct{})
	want := int64(0)
	r := openBench(b, func(batch []Message, _, _ func()) {
		if count.Add(int64(len(batch))) == want {
			close(done)
		}
	})
	conn, err := net.Dial("tcp", r.address(TCP))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	want = int64(b.N) * int64(messages)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := conn.Write([]byte(stream)); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	perMessage(b, messages)
}

// BenchmarkUDP is live: one client writes datagrams as fast as it can. What the
// kernel drops is reported.
func BenchmarkUDP(b *testing.B) {
	var count atomic.Int64
	r := openBench(b, func(batch []Message, _, _ func()) { count.Add(int64(len(batch))) })
	conn, err := net.Dial("udp", r.address(UDP))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	datagram := []byte("<22>Nov 23 07:33:23 mx1 sm-mta[17608]: 4ANJUBRC017608: from=<alice@example.org>, size=1234")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := conn.Write(datagram); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, "every datagram is received or counted", func() bool {
		return int(count.Load())+int(r.metric(b, "uppercut_udp_kernel_drops_total")) == b.N
	})
	perMessage(b, 1)
	b.ReportMetric(100*(1-float64(count.Load())/float64(b.N)), "%lost")
}

// perMessage reports time per message and messages per second, where each
// iteration had so many messages.
func perMessage(b *testing.B, messages int) {
	b.Helper()
	total := float64(b.N * messages)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/total, "ns/message")
	b.ReportMetric(total/b.Elapsed().Seconds(), "messages/s")
}

func openBench(b *testing.B, handle Handler) *house {
	b.Helper()
	return openWith(b, testConfig(), handle)
}
