package receiver

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// policy says whom to hear and who is who. It is immutable.
type policy struct {
	senders bart.Lite
	hosts   bart.Table[string] // host names by address
	names   map[string]bool    // configured host names
}

func newPolicy(c Config) *policy {
	p := &policy{names: make(map[string]bool, len(c.Hosts))}
	for _, network := range c.Senders {
		p.senders.Insert(network.Masked())
	}
	for _, h := range c.Hosts {
		p.names[h.Name] = true
		for _, network := range h.Addresses {
			p.hosts.Insert(network.Masked(), h.Name)
		}
	}
	return p
}

// allows reports whether addr is in a listed network.
func (p *policy) allows(addr netip.Addr) bool { return p.senders.Contains(addr) }

// hostOf is host for who knows no more of a sender than Message.Sender, which
// is an address unless there is a certificate.
func (p *policy) hostOf(sender string) string {
	addr, err := netip.ParseAddr(sender)
	switch {
	case sender == Unix.String():
		return ""
	case err != nil:
		return sender
	}
	name, _ := p.hosts.Lookup(addr)
	return name
}

// host returns the name that the configuration or the certificate gives to a
// sender, "" if neither does.
func (p *policy) host(from *origin) string {
	byAddress, ok := p.hosts.Lookup(from.addr)
	switch {
	case !from.expires.IsZero(), p.names[from.sender]:
		return from.sender
	case ok:
		return byAddress
	default:
		return ""
	}
}
