package detector

import "net/netip"

// neighbourhoodRule is the rule that the verdicts on whole networks name.
const neighbourhoodRule = "neighbourhood"

// network is what is known of a network with blocked sources.
type network struct {
	blocked map[netip.Prefix]member
	until   uint32         // the network itself
	parts   []netip.Prefix // as which it was blocked; not known after a restart
}

// member is a blocked source of a network.
type member struct {
	until uint32
	alone *witness // who alone vouches for it, nil if several do or nobody knows
}

// alone returns who alone vouches for a network: the witness without which the
// fewest of it would be blocked, if those are too few. nil if there is none.
func (n *network) alone(least int) (alone *witness) {
	counts, most := map[*witness]int{}, 0
	for _, m := range n.blocked {
		if m.alone == nil {
			continue
		}
		if counts[m.alone]++; counts[m.alone] > most {
			alone, most = m.alone, counts[m.alone]
		}
	}
	if len(n.blocked)-most >= least {
		return nil
	}
	return alone
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
	least := c.least(p.prefix)
	around, ok := networkOf(p.prefix)
	if !ok {
		return
	}
	n := d.network(around)
	n.blocked[p.prefix] = member{until, p.alone}
	n.expire(p.end)
	if len(n.blocked) < least || n.until > p.end {
		return
	}
	if n.until = p.end + seconds(c.Block); n.until > unixSecond(d.now) {
		d.blockNetwork(around, p, n, least)
	}
}

// least is how many sources of the network of one block it.
func (c Neighbourhood) least(source netip.Prefix) int {
	if source.Addr().Is4() {
		return c.IPv4
	}
	return c.IPv6
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
		n = &network{blocked: map[netip.Prefix]member{}}
		d.networks[around] = n
	}
	return n
}

func (n *network) expire(now uint32) {
	for prefix, m := range n.blocked {
		if m.until <= now {
			delete(n.blocked, prefix)
		}
	}
}

// blockNetwork gives the verdicts on a network, with holes for what is exempt
// or left alone in it.
func (d *Detector) blockNetwork(around netip.Prefix, p *pending, n *network, least int) {
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
	n.parts = parts
	vouches := pending{alone: n.alone(least)}
	for _, part := range parts {
		d.verdicts = append(d.verdicts, Verdict{
			Prefix: part, At: p.at, Received: p.received, Until: fromSecond(n.until),
			Rule: neighbourhoodRule, Score: float64(len(n.blocked)), Hosts: p.hosts, Witness: vouches.witness(),
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
