package detector

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// tracked is how many sources a benchmark tracks; CI takes a million, the
// figure to reach is for five.
var tracked = flag.Int("tracked", 1_000_000, "sources tracked by the benchmarks")

// crowd is a Detector with many sources and a line to observe.
type crowd struct {
	d      *Detector
	parser *sendmail.Parser
	line   Line
	event  offence.Event
	n      uint64
}

// newCrowd tracks sources that have each done so many offences of 1 point,
// half of them IPv4 and half IPv6.
func newCrowd(b *testing.B, sources, offences int) *crowd {
	b.Helper()
	c := DefaultConfig()
	c.MaxSources = 2 * sources
	c.Rules[0].Score, c.Rules[1].Score = 1000, 10_000
	d, err := New(c, Options{Local: time.UTC})
	if err != nil {
		b.Fatal(err)
	}
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		b.Fatal(err)
	}
	cr := &crowd{d: d, parser: parser, line: Line{Sender: "192.0.2.1", Host: "mx1", Tag: "sm-mta", Transport: "tcp", Stamp: StampFull}}
	cr.line.Digest()
	for range offences {
		for i := range sources {
			cr.n++
			cr.offend(client(i), offence.SenderDomain)
		}
	}
	return cr
}

// client returns a client's address by number.
func client(i int) netip.Addr {
	n := uint32(i) * 2654435761 // spread, as clients are
	if i%2 == 0 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n&0x0fffffff|0x40000000)))
	}
	var b [16]byte
	b[0], b[1] = 0x20, 0x01
	b[2] = 0x0d
	binary.BigEndian.PutUint32(b[4:], n)
	return netip.AddrFrom16(b)
}

// useMemory gives every source more offences than it holds itself and takes them
// away, so that what the benchmark takes was in use before, as on a machine that
// has run for a day.
// The first use of a page costs a page fault, which is not the judge's.
func (cr *crowd) useMemory() {
	t := cr.d.sources
	for n := uint32(1); n < t.bound; n++ {
		s := t.at(n)
		first := t.offences(s)[0]
		t.setOffences(s, []mark{first, first, first})
	}
	for n := uint32(1); n < t.bound; n++ {
		s := t.at(n)
		t.setOffences(s, t.offences(s)[:1])
	}
}

// offend judges an event past the session memory.
func (cr *crowd) offend(a netip.Addr, r offence.Reason) {
	at := noon.Add(time.Duration(cr.n) * time.Microsecond)
	cr.event = offence.Event{Line: cr.n, Time: at, Addr: a, Session: cr.n, Count: 1, Reason: r, Raw: "x"}
	cr.line.Received = at
	cr.d.begin(at)
	cr.d.event(&cr.line, &cr.event, cr.d.hosts.of(&cr.line), false)
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpu returns the time that the process has spent on processors. Unlike the
// wall's it says the same on a busy machine.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// loop measures f in wall and processor time.
func loop(b *testing.B, f func(i int)) {
	before := cpu()
	for i := 0; b.Loop(); i++ {
		f(i)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkMemoryLatency measures one read from anywhere among the sources where
// the next depends on it: what each table that is not in the processor's cache
// costs on this machine, to compare the others with. 80 ns are usual, virtual
// machines with busy neighbours need 400.
func BenchmarkMemoryLatency(b *testing.B) {
	memory := make([]source, *tracked)
	for i := range memory {
		memory[i].seen = uint32(i) // and so every page is in use
	}
	next := uint64(1)
	for b.Loop() {
		next = next*6364136223846793005 + 1442695040888963407
		next += uint64(memory[next>>32%uint64(len(memory))].seen)
	}
}

// BenchmarkJudge measures what an event costs once it is read: of a source
// never seen, one that is known, and one that is blocked.
func BenchmarkJudge(b *testing.B) {
	before := heapBytes()
	cr := newCrowd(b, *tracked, 1)
	each := float64(heapBytes()-before) / float64(cr.d.sources.count)
	cr.useMemory()
	lines := make([]Line, MaxAhead)
	// the lines come in batches, as the pipeline gives them
	judge := func(number func(i int) int) func(int) {
		return func(i int) {
			if i%MaxAhead == 0 {
				for j := range lines {
					lines[j].Record.Addr, lines[j].Record.Kind = client(number(i+j)), offence.LineReject
				}
				cr.d.Ahead(lines)
			}
			cr.n++
			cr.offend(lines[i%MaxAhead].Record.Addr, offence.SenderDomain)
		}
	}
	among := func(i int) int { return i * 7919 % *tracked }
	b.Run("known", func(b *testing.B) {
		loop(b, judge(among))
		b.ReportMetric(each, "B/source")
	})
	b.Run("new", func(b *testing.B) {
		loop(b, judge(func(i int) int { return *tracked + i }))
	})
	for n := uint32(1); n < cr.d.sources.bound; n++ {
		cr.d.sources.at(n).until = 1 << 31
	}
	b.Run("blocked", func(b *testing.B) {
		loop(b, judge(among))
	})
}

// BenchmarkObserve measures whole lines: duplicates, time, session memory and
// judgement; they are parsed elsewhere. An offence is one of a known source,
// info a line that proves nothing, as most are.
func BenchmarkObserve(b *testing.B) {
	for name, text := range map[string]string{
		"offence": ": ruleset=check_relay, arg1=x, arg2=127.0.0.2, relay=[%s], reject=550 5.7.1 Rejected: listed at zen.dnsbl.example",
		"info":    ": to=<u@a.example>, delay=00:00:01, xdelay=00:00:00, mailer=local, pri=30000, dsn=4.0.0, stat=Deferred (%s)",
	} {
		b.Run(name, func(b *testing.B) {
			cr := newCrowd(b, *tracked, 1)
			lines := cr.lines(b, text)
			b.ReportAllocs()
			loop(b, func(i int) {
				l := &lines[i%len(lines)]
				if i%MaxAhead == 0 {
					cr.d.Ahead(lines[i%len(lines):][:MaxAhead])
				}
				cr.n++
				l.Number = cr.n
				l.Received = noon.Add(time.Duration(cr.n) * time.Microsecond)
				l.Time = l.Received
				cr.d.Observe(l)
			})
		})
	}
}

// lines makes lines of many processes and clients.
func (cr *crowd) lines(b *testing.B, text string) []Line {
	b.Helper()
	lines := make([]Line, 1<<16)
	for i := range lines {
		lines[i] = cr.line
		l := &lines[i]
		l.PID = uint32(100_000 + i)
		cr.parser.Parse(fmt.Sprintf("6ANCjTxx%d"+text, l.PID, client(2*(i*7919%(*tracked/2)))), &l.Record)
		l.Digest()
	}
	return lines
}

// BenchmarkMemory fills every source with 20 offences of different seconds, as
// an attacker could, and prints what a source takes then.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		before := heapBytes()
		c := DefaultConfig()
		c.MaxSources = *tracked
		c.EvidenceBytes = 64 << 10 // of fixed size, whatever the sources
		c.Rules[0].Score, c.Rules[1].Score = 1000, 10_000
		d, err := New(c, Options{})
		if err != nil {
			b.Fatal(err)
		}
		cr := &crowd{d: d, line: Line{Sender: "192.0.2.1", Host: "mx1", Tag: "sm-mta"}}
		for range 20 {
			for i := range c.MaxSources {
				cr.n += 5
				cr.offend(client(i), offence.SenderDomain)
			}
		}
		b.ReportMetric(float64(heapBytes()-before)/float64(d.sources.count), "B/source")
		b.ReportMetric(float64(d.sources.count), "sources")
		runtime.KeepAlive(d)
	}
}
