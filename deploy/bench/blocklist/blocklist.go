// Package blocklist makes up lists of blocks of any length, for benchmarks of
// what stands behind a verdict.
package blocklist

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"uppercut/enforcer/ledger"
)

// Prefixes returns n addresses, 2^30 at most, each once and scattered as sources
// are: in 16.0.0.0 to 79.255.255.255, where none is reserved, and one in ten an
// IPv6 network of 64 bits.
func Prefixes(n int) []netip.Prefix {
	ps := make([]netip.Prefix, n)
	for i := range ps {
		x := uint32(i) * 2654435761 % (1 << 30) // an odd factor permutes a power of two
		if i%10 == 0 {
			b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
			binary.BigEndian.PutUint32(b[4:], x)
			ps[i] = netip.PrefixFrom(netip.AddrFrom16(b), 64)
			continue
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 16<<24+x)
		ps[i] = netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	return ps
}

// WriteLedger makes a ledger at path in which ps are blocked from now on, for
// an hour at least.
func WriteLedger(path string, ps []netip.Prefix) error {
	l, err := ledger.Open(path, ledger.Options{History: 1000, Audit: 1000})
	if err != nil {
		return err
	}
	now := time.Now()
	for chunk := range slices.Chunk(ps, 50_000) {
		var b ledger.Batch
		for i, p := range chunk {
			b.Put = append(b.Put, ledger.Block{
				ID: uint64(i + 1), Prefix: p, At: now, Until: now.Add(time.Hour + time.Duration(i)*time.Second),
				Rule: "burst", Score: 10,
			})
		}
		if err := l.Commit(b); err != nil {
			l.Close()
			return err
		}
	}
	return l.Close()
}

// WriteNft writes the list as a file for nft -f: a table of its own with two
// sets.
func WriteNft(w io.Writer, ps []netip.Prefix) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "table inet other {\n set four { type ipv4_addr; flags timeout; }\n set six { type ipv6_addr; flags timeout; }\n}\n")
	for chunk := range slices.Chunk(ps, 10_000) {
		var four, six []string
		for _, p := range chunk {
			el := p.Addr().String() + " timeout 1h"
			if p.Addr().Is4() {
				four = append(four, el)
			} else {
				six = append(six, el)
			}
		}
		writeElements(b, "four", four)
		writeElements(b, "six", six)
	}
	return b.Flush()
}

func writeElements(w io.Writer, set string, elements []string) {
	if len(elements) > 0 {
		fmt.Fprintf(w, "add element inet other %s { %s }\n", set, strings.Join(elements, ", "))
	}
}
