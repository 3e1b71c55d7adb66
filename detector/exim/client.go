package exim

import (
	"net/netip"
	"strings"
)

// follow tells whether rest can stand behind the client in a form.
type follow func(rest string) bool

// client reads a client at the start of s. rest is what follows it in the first of
// its readings; ok is false if there is none, or if two disagree.
func client(s string, follows follow) (addr netip.Addr, rest string, ok bool) {
	n := nameLength(s)
	if n > 0 {
		if n == len(s) || s[n] != ' ' {
			return addr, "", false
		}
		s = s[n+1:]
	}
	if s == "" {
		return addr, "", false
	}
	if s[0] == '[' {
		addr, rest = bracket(s)
		return addr, rest, addr.IsValid() && follows(rest)
	}
	if s[0] != '(' {
		return addr, "", false
	}
	for at := s; ; {
		i := strings.Index(at, ") [")
		if i < 0 {
			return addr, rest, addr.IsValid()
		}
		at = at[i+2:]
		a, after := bracket(at)
		if !a.IsValid() || !follows(after) {
			continue
		}
		if addr.IsValid() && a != addr {
			return netip.Addr{}, "", false
		}
		if !addr.IsValid() {
			addr, rest = a, after
		}
	}
}

// behindCommand reads TEXT, mark and a client, where TEXT is the client's own and
// may hold marks as well. All readings must agree.
func behindCommand(s, mark string, follows follow) (addr netip.Addr, command, why string, ok bool) {
	for at := 0; ; {
		i := strings.Index(s[at:], mark)
		if i < 0 {
			return addr, command, why, addr.IsValid()
		}
		i += at
		at = i + len(mark)
		a, rest, found := client(s[at:], follows)
		if !found {
			// Nothing, or readings that disagree. The latter are seen again.
			if disagree(s[at:], follows) {
				return netip.Addr{}, "", "", false
			}
			continue
		}
		if addr.IsValid() && a != addr {
			return netip.Addr{}, "", "", false
		}
		if !addr.IsValid() {
			addr, command, why = a, s[:i], rest
		}
	}
}

// disagree tells whether a client at the start of s has any reading: where client
// found none, it has several.
func disagree(s string, follows follow) bool {
	seen := false
	_, _, _ = client(s, func(rest string) bool {
		seen = seen || follows(rest)
		return follows(rest)
	})
	return seen
}

// bracket reads "[ADDRESS][:PORT][ I=[ADDRESS]:PORT]" and returns what follows.
func bracket(s string) (addr netip.Addr, rest string) {
	addr, rest = address(s)
	if !addr.IsValid() {
		return addr, ""
	}
	rest = cutPort(rest)
	if after, ok := strings.CutPrefix(rest, " I="); ok {
		if server, after := address(after); server.IsValid() {
			rest = cutPort(after)
		}
	}
	return addr, rest
}

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

const maxBracket = len("[0000:0000:0000:0000:0000:0000:255.255.255.255]")

// address reads "[ADDRESS]".
func address(s string) (addr netip.Addr, rest string) {
	if s == "" || s[0] != '[' {
		return addr, ""
	}
	end := strings.IndexByte(s[:min(len(s), maxBracket)], ']')
	if end < 0 {
		return addr, ""
	}
	for i := 1; i < end; i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != ':' && c != '.' {
			return addr, ""
		}
	}
	a, err := netip.ParseAddr(s[1:end])
	if err != nil {
		return addr, ""
	}
	return a.Unmap(), s[end+1:]
}

// nameLength returns how many bytes at the start of s can be a host name of DNS
// (dns_check_names_pattern).
func nameLength(s string) int {
	i := 0
	for i < len(s) && isNameByte(s[i]) {
		i++
	}
	return i
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' || c == '/'
}

// isWord tells whether s is a name of the administrator's, without blanks.
func isWord(s string) bool { return s != "" && len(s) <= 64 && nameLength(s) == len(s) }
