package receiver

import (
	"net/netip"
	"time"

	"github.com/gaissmai/bart"

	"uppercut/receiver/header"
)

// policy says whom to hear and who is who. It is immutable.
type policy struct {
	senders bart.Lite
	hosts   bart.Table[string] // host names by address
	names   map[string]bool    // configured host names
	placed  map[string]bool    // those of them that have addresses
	relays  *relays
	idle    time.Duration // see Config.IdleTimeout
	tags    *header.Tags
}

func newPolicy(c Config) *policy {
	p := &policy{
		names: make(map[string]bool, len(c.Hosts)), placed: make(map[string]bool), relays: newRelays(c.Relays), idle: c.IdleTimeout,
		tags: header.NewTags(c.Tags, c.WrappingTags),
	}
	for _, network := range c.Senders {
		p.senders.Insert(network.Masked())
	}
	for _, h := range c.Hosts {
		p.names[h.Name] = true
		for _, network := range h.Addresses {
			p.senders.Insert(network.Masked())
			p.hosts.Insert(network.Masked(), h.Name)
			p.placed[h.Name] = true
		}
	}
	return p
}

// allows reports whether addr may log: it is in a network of receiver.senders,
// or that of a host in receiver.hosts.
func (p *policy) allows(addr netip.Addr) bool { return p.senders.Contains(addr) }

// host returns the name that the configuration or the certificate gives to a
// sender, "" if neither does. A relay has none: its lines name their hosts.
func (p *policy) host(from *origin) string {
	byAddress, ok := p.hosts.Lookup(from.addr)
	switch {
	case p.isRelay(from):
		return ""
	case !from.expires.IsZero(), p.names[from.sender]:
		return from.sender
	case ok:
		return byAddress
	default:
		return ""
	}
}

// claim returns the host that from may be by its own lines: not one that sends
// from other addresses, as the configuration says. What a relay passes on, or
// writes on this machine, is taken at its word.
func (p *policy) claim(from *origin, host string) string {
	if p.isRelay(from) || from.transport == Unix {
		return host
	}
	name := host
	if addr := addressOf(host); addr.IsValid() {
		name, _ = p.hosts.Lookup(addr)
	}
	if p.placed[name] {
		return ""
	}
	return host
}

// isRelay reports whether the configuration says that a sender passes on the
// lines of other hosts. A certificate is asked for its name and not for the
// address that it came from, and an address of receiver.hosts is that host.
func (p *policy) isRelay(from *origin) bool {
	if !from.expires.IsZero() || !from.addr.IsValid() {
		return p.relays.names[from.sender]
	}
	_, own := p.hosts.Lookup(from.addr)
	return !own && p.relays.networks.Contains(from.addr)
}

// originOf returns what Message.Sender tells of an origin: it is an address
// unless there is a certificate or no network.
func originOf(sender string) *origin {
	from := &origin{sender: sender}
	if addr, err := netip.ParseAddr(sender); err == nil {
		from.addr = addr
	} else if sender == Unix.String() {
		from.transport = Unix
	} else {
		from.expires = distant
	}
	return from
}

// distant stands for the end of a certificate that is not known here.
var distant = time.Unix(1<<40, 0)
