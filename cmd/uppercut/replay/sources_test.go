package replay

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestSourceTableModel: the table is the same as a map, and tells IPv4 from the
// same address mapped into IPv6.
func TestSourceTableModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table, model := newSourceTable(), map[netip.Addr]uint64{}
	for range 50_000 {
		n := random.IntN(4000)
		addr := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
		if random.IntN(2) == 0 {
			addr = netip.AddrFrom16(addr.As16())
		}
		model[addr]++
		if s := table.of(addr); s.Addr != addr {
			t.Fatalf("%v is %v", addr, s.Addr)
		} else if s.Offences++; s.Offences != model[addr] {
			t.Fatalf("%v: %d times, want %d", addr, s.Offences, model[addr])
		}
	}
	found := 0
	for s := range table.all() {
		if found++; s.Offences != model[s.Addr] {
			t.Errorf("%v: %d times, want %d", s.Addr, s.Offences, model[s.Addr])
		}
	}
	if found != len(model) {
		t.Errorf("%d addresses, want %d", found, len(model))
	}
}
