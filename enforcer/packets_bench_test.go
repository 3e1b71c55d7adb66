package enforcer

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"uppercut/enforcer/nft"
	"uppercut/netns"
)

// seedRules is how many addresses the ancestor of this program had blocked,
// each with a rule of its own.
const seedRules = 30_000

// BenchmarkPacketCost prints what a packet of somebody innocent costs to send
// to the gateway, with nothing there, with our sets, and with a rule an
// address.
func BenchmarkPacketCost(b *testing.B) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ruleset\ta packet\tmore than none\t")
	none := time.Duration(0)
	for _, tt := range []struct {
		name  string
		setUp func(*kernel)
	}{
		{"none", func(*kernel) {}},
		{"sets of 30,000", func(ns *kernel) { fillSets(b, ns, seedRules) }},
		{"sets of 1,000,000", func(ns *kernel) { fillSets(b, ns, 1_000_000) }},
		{"30,000 rules", func(ns *kernel) { addRules(b, ns, seedRules) }},
	} {
		n := newNetwork(b)
		tt.setUp(n.gateway)
		cost := packetCost(b, n)
		if none == 0 {
			none = cost
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t\n", tt.name, cost, cost-none)
	}
	_ = w.Flush()
	b.Logf("\n%s", table.String())
	for b.Loop() {
		// The table above is the result.
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
	for _, p := range manyPrefixes(n) {
		if !prefix("203.0.113.0/24").Contains(p.Addr()) {
			elems = append(elems, nft.Element{Prefix: p, Timeout: time.Hour})
		}
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

// packetCost sends datagrams to the gateway. veth delivers a packet while it is
// sent, so the time of sending is that of the whole way.
func packetCost(b *testing.B, n network) time.Duration {
	b.Helper()
	sink, err := n.gateway.ListenPacket("udp", gateway4+":9")
	netns.Must(b, err)
	defer sink.Close()
	source, err := n.outside.ListenPacket("udp", "203.0.113.9:0")
	netns.Must(b, err)
	defer source.Close()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(gateway4 + ":9"))
	const packets = 5000
	best := time.Hour
	for range 3 {
		start := time.Now()
		for range packets {
			if _, err := source.WriteTo([]byte("innocent"), to); err != nil {
				b.Fatal(err)
			}
		}
		best = min(best, time.Since(start)/packets)
	}
	return best
}
