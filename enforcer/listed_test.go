package enforcer

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestSetListed(t *testing.T) {
	ns := newKernel(t)
	o := options(t, ns)
	exempt := prefix("192.0.2.9/32")
	o.Exempt = func(p netip.Prefix) string {
		if p == exempt {
			return "ssh_peer"
		}
		return ""
	}
	o.OnBlock = func(b Block) {
		if b.Rule == Listed {
			t.Errorf("an event for %v, of which there may be a million", b.Prefix)
		}
	}
	o.Listed = []netip.Prefix{prefix("192.0.2.1/32"), prefix("198.51.100.0/24"), exempt}
	a := start(t, DefaultConfig(), o)
	ctx := t.Context()
	if found := inKernel(t, ns); !slices.Equal(found, []string{"192.0.2.1/32", "198.51.100.0/24"}) {
		t.Errorf("at the start the kernel has %v", found)
	}

	// A verdict about who is listed changes nothing, a block by hand does.
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.Block(verdict("192.0.2.2/32", time.Hour))
	a.flush()
	if b, _ := a.Current(prefix("192.0.2.1/32")); b.Rule != Listed || !b.Permanent() {
		t.Errorf("%+v", b)
	}
	l, err := a.SetListed(ctx, []netip.Prefix{prefix("192.0.2.1/32"), prefix("192.0.2.2/32"), prefix("2001:db8::/64"), exempt})
	if err != nil || l.Blocked != 3 || l.Exempt != 1 || l.NoRoom != 0 || !slices.Equal(l.Removed, []netip.Prefix{prefix("198.51.100.0/24")}) {
		t.Errorf("%+v, %v", l, err)
	}
	if b, _ := a.Current(prefix("192.0.2.2/32")); b.Rule != "burst" {
		t.Errorf("a block for an offence is now %+v", b)
	}
	if found := inKernel(t, ns); !slices.Equal(found, []string{"192.0.2.1/32", "192.0.2.2/32", "2001:db8::/64"}) {
		t.Errorf("the kernel has %v", found)
	}
	if r, err := a.Verify(ctx); err != nil || len(r.Found) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	a.stop()

	// The list is not in the ledger: what it does not have any more is gone.
	o.Listed = []netip.Prefix{prefix("203.0.113.1/32")}
	a = start(t, DefaultConfig(), o)
	if found := inKernel(t, ns); !slices.Equal(found, []string{"192.0.2.2/32", "203.0.113.1/32"}) {
		t.Errorf("after a restart the kernel has %v", found)
	}
	if l, err = a.SetListed(ctx, nil); err != nil || len(l.Removed) != 1 || a.Count() != 1 {
		t.Errorf("%+v, %v; %d blocks", l, err, a.Count())
	}
}

// A list that is too long takes nobody's place.
func TestListedMakeNoRoom(t *testing.T) {
	o := options(t, nil)
	o.Observe = true
	c := DefaultConfig()
	c.MaxAddresses = 3
	a := start(t, c, o)
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.Block(verdict("192.0.2.2/32", time.Hour))
	a.flush()
	var ps []netip.Prefix
	for i := range 10 {
		ps = append(ps, netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32))
	}
	l, err := a.SetListed(t.Context(), ps)
	if err != nil || l.Blocked != 1 || l.NoRoom != 9 || a.Count() != 3 {
		t.Errorf("%+v, %v; %d blocks", l, err, a.Count())
	}
	for _, p := range []string{"192.0.2.1/32", "192.0.2.2/32"} {
		if _, ok := a.Current(prefix(p)); !ok {
			t.Errorf("%s had to go", p)
		}
	}
}
