package sendmail

import (
	"net/netip"
	"strings"
)

// Character classes of what sendmail and the resolver let through.
const (
	hostChar  = 1 << iota // a host name that glibc's res_hnok passes: [A-Za-z0-9._-]
	identChar             // an IDENT answer after cleanstrcpy (daemon.c): an RFC 822 atom
	alnumChar             // a queue id
	hexChar               // an IPv6 address without its prefix
	plainChar             // means nothing in the syntax of an address
)

var charClass = func() (t [256]uint8) {
	mark := func(set string, bit uint8) {
		for i := range len(set) {
			t[set[i]] |= bit
		}
	}
	const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mark(alnum, hostChar|identChar|alnumChar)
	mark("._-", hostChar)
	mark("!#$%&'*+-./^_`{|}~", identChar)
	mark("0123456789abcdefABCDEF:.", hexChar)
	for c := range t {
		if strings.IndexByte(`\"()<> `, byte(c)) < 0 {
			t[c] |= plainChar
		}
	}
	return t
}()

const (
	forged     = " (may be forged)"
	maxHost    = 255
	maxBracket = len("[IPv6:0000:0000:0000:0000:0000:0000:255.255.255.255]")
)

// readRelay reads a complete client, sendmail's macro $_ as getauthinfo
// (daemon.c) writes it, at the start of s:
//
//	[ident"@"] (HOST " [" ADDR "]" | "[" ADDR "]") [" (may be forged)"]
//
// It returns the address and the length read, 0 if there is no such thing.
// Only what stands in the brackets is ever used: names are the client's text.
func readRelay(s string) (netip.Addr, int) {
	open := relayBracket(s)
	if open < 0 {
		return netip.Addr{}, 0
	}
	addr, n := readBracket(s[open:])
	if n == 0 {
		return netip.Addr{}, 0
	}
	end := open + n
	if strings.HasPrefix(s[end:], forged) {
		end += len(forged)
	}
	return addr, end
}

// wholeRelay reads s as nothing but a client; invalid if it is not.
func wholeRelay(s string) netip.Addr {
	addr, n := readRelay(s)
	if n != len(s) {
		return netip.Addr{}
	}
	return addr
}

// relayBracket returns where the client's address opens, -1 if what stands
// before it is not the beginning of a client.
func relayBracket(s string) int {
	const ident = "IDENT:"
	if rest, ok := strings.CutPrefix(s, ident); ok {
		i := relayBracket(rest)
		if i < 0 || strings.IndexByte(rest[:i], '@') < 0 {
			return -1
		}
		return len(ident) + i
	}
	host, odd := 0, -1 // where the host begins; the last byte that no host may have
	for i := 0; i < len(s) && i < 3*maxHost; i++ {
		switch c := s[i]; {
		case charClass[c]&hostChar != 0:
		case c == ' ':
			if n := i - host; n == 0 || n > maxHost || odd >= host || i+1 == len(s) || s[i+1] != '[' {
				return -1
			}
			return i + 1
		case c == '[':
			if i != host {
				return -1
			}
			return i
		case c == '@':
			if host != 0 || i == 0 {
				return -1
			}
			host = i + 1
		case charClass[c]&identChar != 0:
			odd = i
		default:
			return -1
		}
	}
	return -1
}

// readBracket reads "[ADDR]" at the start of s and returns the address and the
// length read, 0 if there is no such thing.
func readBracket(s string) (netip.Addr, int) {
	if len(s) < 2 || s[0] != '[' {
		return netip.Addr{}, 0
	}
	end := strings.IndexByte(s[:min(len(s), maxBracket)], ']')
	if end < 0 {
		return netip.Addr{}, 0
	}
	addr, ok := readAddr(s[1:end])
	if !ok {
		return netip.Addr{}, 0
	}
	return addr, end + 1
}

// readAddr reads an address as anynet_ntoa (conf.c) prints it: a dotted quad,
// or IPv6 behind "IPv6:", compressed or not. The result is unmapped.
func readAddr(s string) (netip.Addr, bool) {
	v6, ok := strings.CutPrefix(s, "IPv6:")
	if !ok {
		return readIPv4(s)
	}
	return readIPv6(v6)
}

func readIPv6(s string) (netip.Addr, bool) {
	for i := range len(s) {
		if charClass[s[i]]&hexChar == 0 {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

func readIPv4(s string) (netip.Addr, bool) {
	var quad [4]byte
	part, value, digits := 0, 0, 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && value == 0 {
				return netip.Addr{}, false
			}
			value, digits = value*10+int(c-'0'), digits+1
			if value > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && part < 3:
			quad[part] = byte(value)
			part, value, digits = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	quad[3] = byte(value)
	return netip.AddrFrom4(quad), true
}

// hostLength returns how many bytes at the start of s can be a host name.
func hostLength(s string) int {
	i := 0
	for i < len(s) && charClass[s[i]]&hostChar != 0 {
		i++
	}
	return i
}
