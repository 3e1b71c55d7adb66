// Package prefix is what the firewall's packages know of networks beyond
// net/netip: one form for each, the last address, and ranges as prefixes.
package prefix

import (
	"iter"
	"net/netip"
)

// mappedBits is the length of ::ffff:0:0/96, below which IPv6 holds IPv4.
const mappedBits = 96

// Single returns the prefix that holds a alone.
func Single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Canonical returns p masked, IPv4 in IPv6 as IPv4. What is no prefix stays
// none.
func Canonical(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p.Masked()
}

// Last returns the highest address of p.
func Last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Range returns the fewest prefixes that hold the addresses from first to last,
// in order: at each step the widest that begins at first and does not pass last.
func Range(first, last netip.Addr) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for first.IsValid() && first.Compare(last) <= 0 {
			bits := first.BitLen()
			for bits > 0 {
				wider := netip.PrefixFrom(first, bits-1)
				if wider.Masked().Addr() != first || Last(wider).Compare(last) > 0 {
					break
				}
				bits--
			}
			p := netip.PrefixFrom(first, bits)
			if !yield(p) {
				return
			}
			first = Last(p).Next()
		}
	}
}
