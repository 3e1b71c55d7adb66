package receiver

import (
	"net/netip"
	"testing"
)

// guests lets n connections of one address in; closed counts those that had to
// go again.
func guests(d *door, addr string, n int, closed *[]int) (in []*guest, refusals int) {
	for i := range n {
		g := &guest{addr: netip.MustParseAddr(addr), evict: func() { *closed = append(*closed, i) }}
		if _, refusal := d.enter(g); refusal != "" {
			refusals++
			continue
		}
		in = append(in, g)
	}
	return in, refusals
}

func smallDoor() *door {
	c := DefaultConfig()
	c.MaxConnections, c.MaxConnectionsPerSender, c.MaxSilentConnections = 20, 8, 12
	c.TLS.MaxHandshakes = 4
	return newDoor(c)
}

func TestDoorPerSender(t *testing.T) {
	d := smallDoor()
	var closed, others []int
	guests(d, "192.0.2.9", 1, &others) // silent for longest, and another's
	in, refusals := guests(d, "192.0.2.1", 10, &closed)
	if refusals != 0 || len(closed) != 2 || closed[0] != 0 || closed[1] != 1 {
		t.Fatalf("closed %v, %d refused; want the two oldest closed", closed, refusals)
	}
	for _, g := range in[2:] {
		d.spoke(g)
	}
	if _, refusals := guests(d, "192.0.2.1", 1, &closed); refusals != 1 || len(closed) != 2 {
		t.Errorf("closed %v, %d refused; who has spoken is not closed", closed, refusals)
	}
	if _, refusals := guests(d, "192.0.2.2", 1, &closed); refusals != 0 || len(others) != 0 {
		t.Error("another sender is refused or closed")
	}
	d.leave(in[9])
	d.leave(in[9])
	if _, refusals := guests(d, "192.0.2.1", 1, &closed); refusals != 0 {
		t.Error("refused although one has left")
	}
}

func TestDoorSilent(t *testing.T) {
	d := smallDoor()
	var closed []int
	spoken, _ := guests(d, "192.0.2.1", 8, &closed)
	for _, g := range spoken {
		d.spoke(g)
	}
	guests(d, "192.0.2.2", 8, &closed)
	guests(d, "192.0.2.3", 8, &closed)
	if len(closed) != 4 || closed[0] != 0 || closed[3] != 3 {
		t.Errorf("closed %v; want the four silent for longest", closed)
	}
	if d.open != 20 {
		t.Errorf("%d open", d.open)
	}
}

func TestDoorFull(t *testing.T) {
	d := smallDoor()
	var closed []int
	for addr, n := range map[string]int{"192.0.2.1": 8, "192.0.2.2": 8, "192.0.2.3": 4} {
		in, _ := guests(d, addr, n, &closed)
		for _, g := range in {
			d.spoke(g)
		}
	}
	if _, refusals := guests(d, "192.0.2.4", 1, &closed); refusals != 1 || d.open != 20 || len(closed) != 0 {
		t.Errorf("%d open, %d refused, closed %v", d.open, refusals, closed)
	}
	if d.makeRoom() {
		t.Error("room made by closing one that has spoken")
	}
}

func TestDoorHandshakes(t *testing.T) {
	d := smallDoor()
	var closed []int
	strangers, _ := guests(d, "192.0.2.1", 6, &closed)
	for _, g := range strangers {
		d.beginHandshake(g)
	}
	if len(closed) != 4 || closed[0] != 0 {
		t.Errorf("closed %v; strangers may use half of the handshakes", closed)
	}
	listed := &guest{addr: netip.MustParseAddr("192.0.2.2"), listed: true, evict: func() { t.Error("a listed sender is closed") }}
	d.enter(listed)
	d.beginHandshake(listed)
	d.endHandshake(listed)
	d.beginHandshake(strangers[0]) // evicted before: counts for nothing
	if len(d.senders) != 2 || d.strangers.guests.Len() > 2 || d.listed.guests.Len() != 0 {
		t.Errorf("%d senders, %d and %d handshakes", len(d.senders), d.strangers.guests.Len(), d.listed.guests.Len())
	}
}
