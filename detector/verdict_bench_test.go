package detector

import (
	"testing"
	"time"

	"uppercut/detector/offence"
)

// BenchmarkVerdict measures an offence that decides: sources never seen, each
// of which does at once what blocks it, with its line as evidence.
func BenchmarkVerdict(b *testing.B) {
	c := DefaultConfig()
	c.Ceiling.PerMinute = 1_000_000
	d, err := New(c, Options{Local: time.UTC})
	if err != nil {
		b.Fatal(err)
	}
	l := Line{Sender: "192.0.2.1", Host: "mx1", Tag: "sm-mta", Transport: "tcp", Stamp: StampFull}
	verdicts := 0
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		at := noon.Add(time.Duration(n) * time.Millisecond)
		l.Received = at
		e := offence.Event{
			Line: uint64(n), Time: at, Addr: client(n), Session: uint64(n), Count: 1,
			Reason: offence.OpenProxy,
		}
		d.begin(at)
		d.event(&l, &e, d.hosts.named(l.Sender, l.Host), false)
		e.Session, e.Line = e.Session+1<<40, e.Line+1<<40
		d.event(&l, &e, d.hosts.named(l.Sender, l.Host), false)
		verdicts += len(d.verdicts)
	}
	if verdicts != n {
		b.Errorf("%d verdicts for %d sources", verdicts, n)
	}
}
