package receiver

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// policy says whom to hear. It is immutable.
type policy struct {
	senders bart.Lite
}

func newPolicy(c Config) *policy {
	p := new(policy)
	for _, network := range c.Senders {
		p.senders.Insert(network.Masked())
	}
	return p
}

// allows reports whether addr is in a listed network.
func (p *policy) allows(addr netip.Addr) bool { return p.senders.Contains(addr) }
