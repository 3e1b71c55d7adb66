package feed

import (
	"net/netip"
	"slices"
	"strings"
)

// maxSeen bounds the addresses that stand for a network.
const maxSeen = 16

// AddressesIn returns the addresses within p that log lines name. The lines are
// the sender's text, but whatever lies within p is blocked already.
func AddressesIn(p netip.Prefix, lines []string) (found []netip.Addr) {
	foreign := func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF:.", r) }
	for _, line := range lines {
		for word := range strings.FieldsFuncSeq(line, foreign) {
			word = strings.TrimSuffix(word, ".")
			a, err := netip.ParseAddr(word)
			if err != nil { // the rest of "IPv6:", of which only the last letter is none of an address
				a, err = netip.ParseAddr(strings.TrimPrefix(strings.TrimPrefix(word, "6"), ":"))
			}
			if err == nil && p.Contains(a) && !slices.Contains(found, a) && len(found) < maxSeen {
				found = append(found, a)
			}
		}
	}
	return found
}
