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
// until: what is reported about them before then does not count.
func (d *Detector) Pardon(until time.Time, prefixes ...netip.Prefix) {
	for _, p := range prefixes {
		d.pardons.add(canonical(p), until)
	}
	d.Forget(prefixes...)
}

// Forget forgets the sources in the prefixes, and that they are blocked.
// Networks cost a look at every source, once for all that are given.
func (d *Detector) Forget(prefixes ...netip.Prefix) {
	var all, networks bart.Lite
	for _, p := range prefixes {
		p = canonical(p)
		all.Insert(p)
		if !p.IsSingleIP() && (p.Addr().Is4() || p.Bits() < d.judgement.ipv6Prefix) {
			networks.Insert(p)
			continue
		}
		key := d.sources.keyFor(p.Addr(), d.judgement.ipv6Prefix)
		if number := d.sources.find(&key); number != 0 {
			d.absolve(number)
		}
	}
	if networks.Size() > 0 {
		for number := uint32(1); number < d.sources.bound; number++ {
			if s := d.sources.at(number); s.flags&inUse != 0 && networks.OverlapsPrefix(s.prefix()) {
				d.absolve(number)
			}
		}
	}
	for around, n := range d.networks {
		if all.OverlapsPrefix(around) {
			n.until = 0
			clear(n.blocked)
		}
	}
	d.metrics.track(d.sources)
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
