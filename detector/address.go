package detector

import (
	"encoding/binary"
	"net/netip"
)

// address is an IPv6 address, or an IPv4 one mapped into it, in two numbers: it
// is masked, compared and hashed in registers.
type address struct{ high, low uint64 }

func addressOf(a netip.Addr) address { return addressFrom(a.As16()) }

func addressFrom(b [16]byte) address {
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// bytes returns the address as it stands on the wire.
func (a address) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
	return b
}

func (a address) isIPv4() bool { return a.high == 0 && a.low>>32 == 0xffff }

// sourceAddress returns the address and the length, of 128, of the prefix by
// which a client is counted and blocked. An IPv4 address counts alone, and so
// does one of NAT64 (RFC 6052) and of Teredo (RFC 4380), where one /64 is
// everybody.
func sourceAddress(addr netip.Addr, ipv6Bits int) (masked address, prefixBits uint8) {
	a := addressOf(addr)
	teredo, nat64 := a.high>>32 == 0x20010000, a.high == 0x0064ff9b00000000 && a.low>>32 == 0
	if a.isIPv4() || teredo || nat64 {
		return a, 128
	}
	// A shift by 64 or more leaves nothing.
	a.high &= ^uint64(0) << max(0, 64-ipv6Bits)
	a.low &= ^uint64(0) << min(64, 128-ipv6Bits)
	return a, uint8(ipv6Bits)
}

// sourcePrefix returns the prefix by which addr is counted and blocked.
func sourcePrefix(addr netip.Addr, ipv6Bits int) netip.Prefix {
	masked, prefixBits := sourceAddress(addr, ipv6Bits)
	return prefixOf(masked, prefixBits)
}

// prefixOf returns the prefix of an address with its length, of 128.
func prefixOf(a address, prefixBits uint8) netip.Prefix {
	addr := netip.AddrFrom16(a.bytes()).Unmap()
	return netip.PrefixFrom(addr, int(prefixBits)-128+addr.BitLen())
}
