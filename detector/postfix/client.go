package postfix

import (
	"net/netip"
	"strings"
)

const (
	maxHost    = 255
	maxAddress = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
)

// hostChar are the bytes that valid_hostname lets through (valid_hostname.c).
var hostChar = func() (t [256]bool) {
	for _, c := range []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-") {
		t[c] = true
	}
	return t
}()

// client reads "HOST[ADDRESS]" at the start of s, or "[ADDRESS]", with ":PORT" if
// that is logged. ok is false if there is no such thing; addr is invalid where
// Postfix knows none.
func client(s string) (addr netip.Addr, rest string, ok bool) {
	i := 0
	for i < len(s) && i <= maxHost && hostChar[s[i]] {
		i++
	}
	if i == len(s) || s[i] != '[' {
		return addr, "", false
	}
	s = s[i+1:]
	end := strings.IndexByte(s[:min(len(s), maxAddress+1)], ']')
	if end < 0 {
		return addr, "", false
	}
	addr, err := netip.ParseAddr(s[:end])
	if err != nil && s[:end] != "unknown" {
		return addr, "", false
	}
	return addr.Unmap().WithZone(""), cutPort(s[end+1:]), true
}

// cutPort takes off ":PORT".
func cutPort(s string) string {
	if s == "" || s[0] != ':' {
		return s
	}
	i := 1
	for i < len(s) && i <= len("65535") && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 1 {
		return s
	}
	return s[i:]
}

// cutID takes "QUEUEID: " or "NOQUEUE: " off s.
func cutID(s string) (rest string, ok bool) {
	for i := 0; i < len(s) && i <= 20; i++ {
		switch c := s[i]; {
		case c == ':':
			if i < 6 || i+1 == len(s) || s[i+1] != ' ' {
				return s, false
			}
			return s[i+2:], true
		case c == '.' || c == '_' || c == '-' || !hostChar[c]:
			return s, false
		}
	}
	return s, false
}

// path reads an address as Postfix logs it, up to the ">" that ends it: what is
// not plain stands in quotes (quote_822_local.c). It returns what stands behind.
func path(s string) (rest string, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '>':
			return s[i+1:], true
		case c == '\\' || c == '<' || c == ' ':
			return s, false
		}
	}
	return s, false
}
