package enforcer

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/bench/blocklist"
	"uppercut/deploy/netns"
	"uppercut/enforcer/nft"
)

// seedRules is how many addresses the ancestor of this program had blocked,
// each with a rule of its own.
const seedRules = 30_000

// BenchmarkPacketCost measures what a packet of somebody innocent costs to send
// to the gateway, with nothing there, with a million blocks in our sets, and
// with a rule an address. An operation is a packet.
func BenchmarkPacketCost(b *testing.B) {
	blocks, rules := 1_000_000, seedRules
	if testing.Short() {
		blocks, rules = 1000, 1000
	}
	for _, tt := range []struct {
		name  string
		setUp func(*testing.B, *kernel)
	}{
		{"none", func(*testing.B, *kernel) {}},
		{"sets", func(b *testing.B, ns *kernel) { fillSets(b, ns, blocks) }},
		{"rules", func(b *testing.B, ns *kernel) { addRules(b, ns, rules) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			n := newNetwork(b)
			tt.setUp(b, n.gateway)
			packetCost(b, n)
		})
	}
}

func fillSets(b *testing.B, ns *kernel, n int) {
	b.Helper()
	c := DefaultConfig()
	f, err := nft.Open(c.firewall(ns.FD()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	elems := make([]nft.Element, 0, n)
	for _, p := range blocklist.Prefixes(n) {
		elems = append(elems, nft.Element{Prefix: p, Timeout: time.Hour})
	}
	if err := f.Replace(slices.Values(elems)); err != nil {
		b.Fatal(err)
	}
}

// addRules makes what `iptables -A INPUT -s ADDR -j DROP` makes, n times.
func addRules(b *testing.B, ns *kernel, n int) {
	b.Helper()
	var rules strings.Builder
	rules.WriteString("table ip filter {\n chain INPUT {\n type filter hook input priority filter; policy accept;\n")
	for i := range n {
		fmt.Fprintf(&rules, "ip saddr %v counter drop\n", netip.AddrFrom4([4]byte{50, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	rules.WriteString("}\n}\n")
	path := filepath.Join(b.TempDir(), "rules.nft")
	writeFile(b, path, rules.String())
	ns.nft(b, "-f", path)
}

// packetCost sends datagrams to the gateway, one an iteration. veth delivers a packet while it is
// sent, so the time of sending is that of the whole way.
func packetCost(b *testing.B, n network) {
	b.Helper()
	sink, err := n.gateway.ListenPacket("udp", gateway4+":9")
	netns.Must(b, err)
	defer sink.Close()
	source, err := n.outside.ListenPacket("udp", "203.0.113.9:0")
	netns.Must(b, err)
	defer source.Close()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(gateway4 + ":9"))
	for b.Loop() {
		if _, err := source.WriteTo([]byte("innocent"), to); err != nil {
			b.Fatal(err)
		}
	}
}
