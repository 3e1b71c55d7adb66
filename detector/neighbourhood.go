package detector

import "net/netip"

// neighbourhoodRule is the rule that the verdicts on whole networks name.
const neighbourhoodRule = "neighbourhood"

// network is what is known of a network with blocked sources.
type network struct {
	blocked map[netip.Prefix]uint32 // until when
	until   uint32                  // the network itself
}

// Networks are counted by these lengths.
const (
	network4 = 24
	network6 = 48
)

// neighbours counts a new block for its network, and blocks the network when
// enough of it is blocked.
func (d *Detector) neighbours(p *pending, until uint32) {
	c := d.judgement.neighbourhood
	if !c.Enabled {
		return
	}
	least := c.IPv6
	if p.prefix.Addr().Is4() {
		least = c.IPv4
	}
	around, ok := networkOf(p.prefix)
	if !ok {
		return
	}
	n := d.network(around)
	n.blocked[p.prefix] = until
	n.expire(p.end)
	if len(n.blocked) < least || n.until > p.end {
		return
	}
	if n.until = p.end + seconds(c.Block); n.until > unixSecond(d.now) {
		d.blockNetwork(around, p, n)
	}
}

// networkOf returns the network that a source is counted for; false if the source
// is as large.
func networkOf(source netip.Prefix) (around netip.Prefix, ok bool) {
	length := network6
	if source.Addr().Is4() {
		length = network4
	}
	around, err := source.Addr().Prefix(length)
	return around, err == nil && source.Bits() > length
}

func (d *Detector) network(around netip.Prefix) *network {
	n := d.networks[around]
	if n == nil {
		n = &network{blocked: map[netip.Prefix]uint32{}}
		d.networks[around] = n
	}
	return n
}

func (n *network) expire(now uint32) {
	for prefix, until := range n.blocked {
		if until <= now {
			delete(n.blocked, prefix)
		}
	}
}

// blockNetwork gives the verdicts on a network, with holes for what is exempt
// or left alone in it.
func (d *Detector) blockNetwork(around netip.Prefix, p *pending, n *network) {
	holes, cause := d.holes(around)
	if cause != "" {
		d.metrics.suppress(cause)
		return
	}
	for prefix := range d.pardons.of(around) {
		holes = append(holes, prefix)
	}
	parts := without(around, holes, nil)
	if len(parts) == 0 {
		return
	}
	for _, part := range parts {
		d.verdicts = append(d.verdicts, Verdict{
			Prefix: part, At: p.at, Received: p.received, Until: fromSecond(n.until),
			Rule: neighbourhoodRule, Score: float64(len(n.blocked)), Hosts: p.hosts,
		})
	}
	d.metrics.verdicts[neighbourhoodRule].Inc()
}

// holes asks what a block of a network must leave out.
func (d *Detector) holes(around netip.Prefix) (holes []netip.Prefix, cause string) {
	if d.options.Holes != nil {
		return d.options.Holes(around)
	}
	if d.options.Exempt != nil {
		return nil, d.options.Exempt(around)
	}
	return nil, ""
}

// without appends the fewest prefixes that make up p without the holes.
func without(p netip.Prefix, holes, parts []netip.Prefix) []netip.Prefix {
	whole := true
	for _, hole := range holes {
		if hole.Bits() <= p.Bits() && hole.Contains(p.Addr()) {
			return parts
		}
		whole = whole && !p.Overlaps(hole)
	}
	if whole {
		return append(parts, p)
	}
	low, high := halves(p)
	return without(high, holes, without(low, holes, parts))
}

func halves(p netip.Prefix) (low, high netip.Prefix) {
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	middle, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(middle, p.Bits()+1)
}

// forgetNetworks drops networks in which nothing is blocked any more.
func (d *Detector) forgetNetworks(now uint32) {
	for around, n := range d.networks {
		n.expire(now)
		if len(n.blocked) == 0 && n.until <= now {
			delete(d.networks, around)
		}
	}
}
