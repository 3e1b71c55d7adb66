package sendmail

import (
	"testing"

	"uppercut/detector/offence"
)

// BenchmarkParse reads the corpus over and over; an operation is a line.
func BenchmarkParse(b *testing.B) {
	p, _ := NewParser(nil)
	lines := readLog(b, "real", "traditional")
	var rec Record
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Parse(lines[i].text, &rec)
		if i++; i == len(lines) {
			i = 0
		}
	}
}

// BenchmarkMemory reads the corpus and joins its sessions.
func BenchmarkMemory(b *testing.B) {
	p, _ := NewParser(nil)
	lines := readLog(b, "real", "traditional")
	m := NewMemory(MemoryOptions{})
	var rec Record
	var events []offence.Event
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l := &lines[i]
		p.Parse(l.text, &rec)
		events = m.Observe(Input{Line: l.n, Time: l.time, Host: HostKeyOf("a", l.host), PID: l.pid, Record: &rec}, events[:0])
		if i++; i == len(lines) {
			i = 0
		}
	}
}
