package loggen

import (
	"fmt"
	"net/netip"
)

// client is who connects: an address and the name that its PTR gives.
type client struct {
	addr netip.Addr
	name string // "" without PTR
}

// newOffender returns the n-th offender. One in eight comes over IPv6, one in
// six of the others has no PTR.
func newOffender(n uint64) client {
	if n%8 == 7 {
		a := offenderV6(n)
		b := a.As16()
		return client{a, fmt.Sprintf("v6-%02x%02x-%x.dyn.isp.example", b[6], b[7], b[14:])}
	}
	a := offenderV4(n)
	b := a.As4()
	switch n % 6 {
	case 0:
		return client{addr: a}
	case 1:
		return client{a, fmt.Sprintf("%d.%d.%d.%d.dyn.isp.example", b[0], b[1], b[2], b[3])}
	}
	return client{a, fmt.Sprintf("h%d-%d-%d-%d.pool.isp.example", b[0], b[1], b[2], b[3])}
}

// offenderV4 strews offenders over 198.18.0.0/15, and those beyond its 131,072
// addresses over the upper half of 100.64.0.0/10. An odd multiplier permutes a
// power of two.
func offenderV4(n uint64) netip.Addr {
	if n < 1<<17 {
		return v4(198<<24 | 18<<16 | uint32(n*0x9e3b%(1<<17)))
	}
	return v4(100<<24 | 96<<16 | uint32((n-1<<17)*0x9e3b1%(1<<21)))
}

func offenderV6(n uint64) netip.Addr {
	net := n * 0x9e3779b1 % (1 << 32) // a /64 of 2001:db8::/32 each
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(net >> 24), byte(net >> 16), byte(net >> 8), byte(net)}
	a[14], a[15] = byte(n>>8)|1, byte(n)
	return netip.AddrFrom16(a)
}

// newPartner returns the n-th sender of wanted mail, in 100.64.0.0/11.
func newPartner(n uint64) client {
	a := v4(100<<24 | 64<<16 | uint32(n+10)%(1<<21))
	return client{a, fmt.Sprintf("mail%d.partner%d.example", n%4, n/4)}
}

func v4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// bracketed returns the address as sendmail prints it: IPv6 uncompressed.
func (c client) bracketed() string {
	if c.addr.Is4() {
		return "[" + c.addr.String() + "]"
	}
	b := c.addr.As16()
	s := []byte("[IPv6")
	for i := 0; i < 16; i += 2 {
		s = fmt.Appendf(s, ":%x", uint16(b[i])<<8|uint16(b[i+1]))
	}
	return string(append(s, ']'))
}

// relay returns what sendmail calls $_: name and address.
func (c client) relay() string {
	if c.name == "" {
		return c.bracketed()
	}
	return c.name + " " + c.bracketed()
}

// bare returns the address as arg2 of check_relay shows it.
func (c client) bare() string {
	b := c.bracketed()
	return b[1 : len(b)-1]
}

// host returns the name, or the address in brackets where there is none.
func (c client) host() string {
	if c.name == "" {
		return c.bracketed()
	}
	return c.name
}
