package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
)

// decodeNetwork takes a prefix or a single address where a netip.Prefix is
// wanted.
func decodeNetwork(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[netip.Prefix]() || from.Kind() != reflect.String {
		return value, nil
	}
	return ParsePrefix(value.(string))
}

// ParsePrefix reads an address or a prefix, unmapped and without host bits.
func ParsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is not an address or prefix", text)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address or prefix", text)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q covers more than the IPv4-mapped addresses", text)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has host bits set; did you mean %s?", text, p.Masked())
	}
	return p, nil
}
