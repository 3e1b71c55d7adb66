package console

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParsePrefix reads an address or a prefix as people write it. A prefix with
// bits set behind its length is refused: which of the two was meant?
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: %q is neither an address nor a prefix", ErrInvalid, s)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%w: %s has host bits set; did you mean %s?", ErrInvalid, s, p.Masked())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%w: %s is wider than the mapped IPv4 addresses", ErrInvalid, s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// parseSearch reads what somebody types to find blocks: an address, a prefix,
// or the beginning of an address up to a dot or colon ("203.0.", "2001:db8:").
func parseSearch(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if p, ok := parseBeginning(s); ok {
		return p, nil
	}
	return ParsePrefix(s)
}

func parseBeginning(s string) (netip.Prefix, bool) {
	if parts := strings.Split(strings.TrimSuffix(s, "."), "."); len(parts) < 4 && !strings.Contains(s, ":") {
		var a [4]byte
		for i, p := range parts {
			n, err := strconv.ParseUint(p, 10, 8)
			if err != nil {
				return netip.Prefix{}, false
			}
			a[i] = byte(n)
		}
		return netip.PrefixFrom(netip.AddrFrom4(a), 8*len(parts)), true
	}
	if groups, ok := strings.CutSuffix(s, ":"); ok && groups != "" && !strings.Contains(s, "::") {
		a, err := netip.ParseAddr(groups + "::")
		return netip.PrefixFrom(a, 16*len(strings.Split(groups, ":"))), err == nil
	}
	return netip.Prefix{}, false
}
