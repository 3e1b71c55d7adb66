package detector

import (
	"bytes"
	"net/netip"
	"testing"

	"uppercut/detector/offence"
)

// Ahead finds what Observe will look at, and changes nothing.
func TestAhead(t *testing.T) {
	b := newBench(t, nil)
	for i := range 3000 {
		for range 1 + i%3 {
			b.offend(noon, client(i).String(), offence.SenderDomain)
		}
	}
	found := 0
	for i := range 3000 {
		key := b.d.sources.keyFor(client(i), 64)
		number := b.d.sources.find(&key)
		if number == 0 {
			t.Fatalf("source %d is unknown", i)
		}
		if b.d.sources.likely(key.hash) == number {
			found++
		}
	}
	if found < 2900 { // others share the bits that the index holds
		t.Errorf("%d of 3000 sources would be fetched", found)
	}
	before := snapshotBytes(t, b.d)
	lines := make([]Line, 3*MaxAhead)
	for i := range lines {
		lines[i].Record.Kind, lines[i].Record.Addr = offence.LineReject, client(20*i)
		lines[i].Sender, lines[i].Host, lines[i].PID = "192.0.2.1", "mx1", uint32(i)
	}
	lines[1].Record.Addr = netip.Addr{}
	fetched := b.d.fetchedSources
	for i := range len(lines) - MaxAhead {
		b.d.Ahead(lines[i : i+MaxAhead])
	}
	b.d.Ahead(lines) // more than it looks at
	b.d.Ahead(nil)
	if b.d.fetchedSources == fetched {
		t.Error("nothing was fetched")
	}
	if !bytes.Equal(before, snapshotBytes(t, b.d)) {
		t.Error("the detector has changed")
	}
}

// snapshotBytes leaves out what a snapshot has in no order: nothing here.
func snapshotBytes(t *testing.T, d *Detector) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := d.Snapshot(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
