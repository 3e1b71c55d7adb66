package config

import (
	"net/netip"
	"slices"
	"testing"
)

// TestDefaultListenersAreOnLoopback: nothing is reachable from another machine
// before an administrator has said so.
func TestDefaultListenersAreOnLoopback(t *testing.T) {
	c := Default()
	r := c.Receiver
	addresses := slices.Concat(r.UDP, r.TCP, r.RELP, r.TLS.Listen, []string{c.Web.Listen})
	if len(addresses) < 3 {
		t.Errorf("only %q", addresses)
	}
	for _, address := range addresses {
		if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
			t.Errorf("%q: %v", address, err)
		}
	}
}
