package detector

import (
	"iter"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// pardons are the prefixes that are left alone for a while.
type pardons struct {
	until bart.Table[time.Time]
	next  time.Time // when the first ends
}

// add leaves a canonical prefix alone until until.
func (p *pardons) add(prefix netip.Prefix, until time.Time) {
	if p.until.Size() == 0 || until.Before(p.next) {
		p.next = until
	}
	p.until.Insert(prefix, until)
}

// end forgets the pardons that are over.
func (p *pardons) end(now time.Time) {
	if p.until.Size() == 0 || p.next.After(now) {
		return
	}
	var over []netip.Prefix
	p.next = time.Time{}
	for prefix, until := range p.until.All() {
		switch {
		case !until.After(now):
			over = append(over, prefix)
		case p.next.IsZero() || until.Before(p.next):
			p.next = until
		}
	}
	for _, prefix := range over {
		p.until.Delete(prefix)
	}
}

// of yields when the pardons that overlap a prefix end.
func (p *pardons) of(source netip.Prefix) iter.Seq2[netip.Prefix, time.Time] {
	return func(yield func(netip.Prefix, time.Time) bool) {
		for prefix, until := range p.until.Supernets(source) {
			if !yield(prefix, until) {
				return
			}
		}
		for prefix, until := range p.until.Subnets(source) {
			if !yield(prefix, until) {
				return
			}
		}
	}
}

// Pardon forgets what is held against the prefixes and leaves them alone until
// until: what is reported about them before then does not count. Networks cost a
// look at every source, once for all that are given.
func (d *Detector) Pardon(until time.Time, prefixes ...netip.Prefix) {
	var all, networks bart.Lite
	for _, p := range prefixes {
		p = canonical(p)
		d.pardons.add(p, until)
		all.Insert(p)
		if d.single(p) {
			if number := d.sourceAt(p); number != 0 {
				d.absolve(number)
			}
			continue
		}
		networks.Insert(p)
	}
	if networks.Size() > 0 {
		for number := uint32(1); number < d.sources.bound; number++ {
			if s := d.sources.at(number); s.flags&inUse != 0 && networks.OverlapsPrefix(s.prefix()) {
				d.absolve(number)
			}
		}
	}
	d.openNetworks(&all)
	d.metrics.track(d.sources)
}

// Lifted hears that blocks of exactly these prefixes have ended before their
// time. What is held against their sources stays.
func (d *Detector) Lifted(prefixes ...netip.Prefix) {
	var all bart.Lite
	now := unixSecond(d.now)
	for _, p := range prefixes {
		p = canonical(p)
		all.Insert(p)
		if !d.single(p) {
			continue
		}
		if number := d.sourceAt(p); number != 0 {
			s := d.sources.at(number)
			s.until = min(s.until, now)
		}
	}
	d.openNetworks(&all)
}

// openNetworks forgets that the networks which overlap some prefixes are blocked.
func (d *Detector) openNetworks(lifted *bart.Lite) {
	for around, n := range d.networks {
		if lifted.OverlapsPrefix(around) {
			n.until = 0
			clear(n.blocked)
		}
	}
}

// single tells whether a canonical prefix is of one source.
func (d *Detector) single(p netip.Prefix) bool {
	return p.IsSingleIP() || p.Addr().Is6() && p.Bits() >= d.judgement.ipv6Prefix
}

// sourceAt returns the number of the source that a single prefix is of, 0 if
// nothing is known of it.
func (d *Detector) sourceAt(p netip.Prefix) uint32 {
	key := d.sources.keyFor(p.Addr(), d.judgement.ipv6Prefix)
	return d.sources.find(&key)
}

// canonical masks p and takes the IPv4 out of an IPv4-mapped prefix.
func canonical(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96))
	}
	return p.Masked()
}

// absolve forgets a source.
func (d *Detector) absolve(number uint32) {
	d.ceiling.drop(d.sources.at(number).prefix())
	d.sources.remove(number)
}

// pardoned tells whether a source is left alone.
func (d *Detector) pardoned(source netip.Prefix) bool {
	if d.pardons.until.Size() == 0 {
		return false
	}
	d.pardons.end(d.now)
	return d.pardons.until.OverlapsPrefix(source)
}
