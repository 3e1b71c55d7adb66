package lab

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// The neighbourhoods of the lab's Internet. What the DNS says of an address
// follows from where it lives.
var (
	dialup   = netip.MustParsePrefix("198.18.0.0/16")      // a name that resolves back
	nameless = netip.MustParsePrefix("198.19.0.0/16")      // no name
	listed   = netip.MustParsePrefix("203.0.113.0/24")     // a name, and on the DNSBL
	hostile  = netip.MustParsePrefix("198.51.100.0/24")    // a name that was made to mislead
	banned   = netip.MustParsePrefix("100.127.0.0/16")     // a name under banned.example
	dialup6  = netip.MustParsePrefix("2001:db8:bad::/48")  // a name that resolves back
	honest   = netip.MustParsePrefix("100.64.0.0/16")      // mail servers of good.example
	honest6  = netip.MustParsePrefix("2001:db8:600d::/48") // the same
)

// publicNetworks are routed to the Internet namespace.
var publicNetworks = []netip.Prefix{
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("2001:db8::/32"),
}

// pool deals out addresses of a neighbourhood: IPv4 one by one, IPv6 a /64
// each. When all are dealt it begins again.
type pool struct {
	prefix netip.Prefix
	dealt  int
}

func (p *pool) next() netip.Addr {
	p.dealt++
	if p.prefix.Addr().Is6() {
		a := p.prefix.Addr().As16()
		a[6], a[7], a[15] = byte(p.dealt>>8), byte(p.dealt), 0x25
		return netip.AddrFrom16(a)
	}
	n := p.dealt % (1<<(32-p.prefix.Bits()) - 1) // never the last, a broadcast
	a := p.prefix.Addr().As4()
	a[2] |= byte(n >> 8)
	a[3] |= byte(n)
	return netip.AddrFrom4(a)
}

// reverseName is the name that the DNS gives addr, "" for none.
func reverseName(addr netip.Addr) string {
	switch {
	case dialup.Contains(addr), listed.Contains(addr), dialup6.Contains(addr):
		return labelOf(addr) + ".isp.example"
	case honest.Contains(addr), honest6.Contains(addr):
		return labelOf(addr) + ".good.example"
	case banned.Contains(addr):
		return labelOf(addr) + ".banned.example"
	case hostile.Contains(addr):
		return misleadingName(addr)
	default:
		return ""
	}
}

// misleadingName starts like the address of the victim, or is so long that
// sendmail cuts the address behind it out of some lines.
func misleadingName(addr netip.Addr) string {
	if addr.As4()[3]%2 == 0 {
		return victim.String() + "." + labelOf(addr) + ".evil.example"
	}
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60)
	return long + "." + labelOf(addr) + ".evil.example"
}

// labelOf writes an address as a DNS label: h198-18-0-7, or x and 32 digits.
func labelOf(addr netip.Addr) string {
	if addr.Is4() {
		return "h" + strings.ReplaceAll(addr.String(), ".", "-")
	}
	b := addr.As16()
	return "x" + hex.EncodeToString(b[:])
}

// addressIn finds the address that labelOf wrote into a name.
func addressIn(name string) (netip.Addr, bool) {
	for label := range strings.SplitSeq(name, ".") {
		if addr, err := parseLabel(label); err == nil {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func parseLabel(label string) (netip.Addr, error) {
	if digits, ok := strings.CutPrefix(label, "x"); ok && len(digits) == 32 {
		raw, err := hex.DecodeString(digits)
		if err != nil {
			return netip.Addr{}, err
		}
		return netip.AddrFrom16([16]byte(raw)), nil
	}
	if quad, ok := strings.CutPrefix(label, "h"); ok {
		return netip.ParseAddr(strings.ReplaceAll(quad, "-", "."))
	}
	return netip.Addr{}, fmt.Errorf("no address in label %q", label)
}
