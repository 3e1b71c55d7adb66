package detector

import (
	"net/netip"
	"slices"
	"time"
)

// pardon leaves a prefix alone for a while.
type pardon struct {
	prefix netip.Prefix
	until  time.Time
}

// Pardon clears what is held against p and leaves it alone until until: what
// is reported about it before then does not count.
func (d *Detector) Pardon(p netip.Prefix, until time.Time) {
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96))
	}
	p = p.Masked()
	d.pardons = slices.DeleteFunc(d.pardons, func(o pardon) bool { return o.prefix == p })
	d.pardons = append(d.pardons, pardon{p, until})
	for _, number := range d.within(p) {
		s := d.sources.at(number)
		d.ceiling.drop(s.prefix())
		d.sources.remove(number)
	}
	for around, n := range d.networks {
		if around.Overlaps(p) {
			n.until = 0
			clear(n.blocked)
		}
	}
	d.metrics.track(d.sources)
}

// within returns the sources that overlap a prefix.
func (d *Detector) within(p netip.Prefix) (numbers []uint32) {
	if p.IsSingleIP() {
		key := d.sources.keyFor(p.Addr(), d.judgement.ipv6Prefix)
		if number := d.sources.find(&key); number != 0 {
			numbers = append(numbers, number)
		}
		return numbers
	}
	for number := uint32(1); number < d.sources.bound; number++ {
		if s := d.sources.at(number); s.flags&inUse != 0 && s.prefix().Overlaps(p) {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// pardoned tells whether a source is left alone.
func (d *Detector) pardoned(source netip.Prefix) bool {
	for _, p := range d.pardons {
		if p.until.After(d.now) && p.prefix.Overlaps(source) {
			return true
		}
	}
	return false
}

func (d *Detector) endPardons() {
	d.pardons = slices.DeleteFunc(d.pardons, func(p pardon) bool { return !p.until.After(d.now) })
}
