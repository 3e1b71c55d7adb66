package detector

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"uppercut/detector/offence"
)

func neighbours(least int) func(*Config, *Options) {
	return func(c *Config, _ *Options) {
		c.Rules = []Rule{{Name: "only", Window: time.Minute, Score: 8, Block: time.Hour}}
		c.Neighbourhood = Neighbourhood{Enabled: true, IPv4: least, IPv6: least, Block: 3 * time.Hour}
	}
}

func network4Verdicts(b *bench) (list []netip.Prefix) {
	for _, v := range b.verdicts {
		if v.Rule == neighbourhoodRule {
			list = append(list, v.Prefix)
		}
	}
	return list
}

// The network is blocked with the last of the sources that it takes, if all of
// them are blocked at that time, and once.
func TestNeighbourhoodEdge(t *testing.T) {
	for after, block := range map[time.Duration]bool{
		time.Hour - time.Second: true,
		time.Hour:               false,
	} {
		b := newBench(t, neighbours(3))
		b.offend(noon, "198.51.100.1", offence.OpenProxy)
		b.offend(noon.Add(time.Minute), "198.51.100.2", offence.OpenProxy)
		b.offend(noon.Add(time.Minute), "198.51.101.2", offence.OpenProxy)
		b.offend(noon.Add(after), "198.51.100.3", offence.OpenProxy)
		b.offend(noon.Add(after), "198.51.100.4", offence.OpenProxy)
		want := []netip.Prefix{mustPrefix("198.51.100.0/24")}
		if !block { // the first is free again: it takes the fourth
			if v := b.verdicts[len(b.verdicts)-1]; v.Rule != neighbourhoodRule || v.Score != 3 {
				t.Errorf("%+v", v)
			}
		}
		if got := network4Verdicts(b); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		last := b.verdicts[slices.IndexFunc(b.verdicts, func(v Verdict) bool { return v.Rule == neighbourhoodRule })]
		if !last.Until.Equal(noon.Add(after + 3*time.Hour)) {
			t.Errorf("until %v", last.Until)
		}
	}
}

// A block that nobody made does not count for its network.
func TestNeighbourhoodOfLostBlocks(t *testing.T) {
	for lost, want := range map[bool]int{false: 1, true: 0} {
		b := newBench(t, func(c *Config, o *Options) {
			neighbours(2)(c, o)
			o.Blocked = func(netip.Prefix) bool { return !lost }
		})
		b.offend(noon, "198.51.100.1", offence.OpenProxy)
		later := noon.Add(2 * time.Minute)
		b.tick(later)
		b.feed(event{at: later, addr: "198.51.100.1", Event: offence.Event{Kind: offence.Connected}})
		b.offend(later, "198.51.100.2", offence.OpenProxy)
		if got := network4Verdicts(b); len(got) != want {
			t.Errorf("lost %v: %v", lost, got)
		}
	}
}

// Who was unblocked by hand is not blocked again with its network.
func TestNeighbourhoodPardons(t *testing.T) {
	b := newBench(t, neighbours(2))
	b.d.Pardon(noon.Add(time.Hour), mustPrefix("198.51.100.128/25"))
	b.offend(noon, "198.51.100.1", offence.OpenProxy)
	b.offend(noon, "198.51.100.2", offence.OpenProxy)
	if got := network4Verdicts(b); !slices.Equal(got, []netip.Prefix{mustPrefix("198.51.100.0/25")}) {
		t.Errorf("%v", got)
	}
}

func TestNeighbourhoodIPv6(t *testing.T) {
	b := newBench(t, neighbours(3))
	for i := range 3 {
		b.offend(noon, fmt.Sprintf("2001:db8:7:%x::1", i), offence.OpenProxy)
	}
	if got := network4Verdicts(b); len(got) != 1 || got[0] != mustPrefix("2001:db8:7::/48") {
		t.Errorf("%v", got)
	}
}

func TestNeighbourhoodIsOffByDefault(t *testing.T) {
	b := newBench(t, nil)
	for i := range 255 {
		b.offend(noon, fmt.Sprintf("198.51.100.%d", i), offence.RcptTrap)
	}
	if got := network4Verdicts(b); len(got) > 0 || len(b.verdicts) != 255 {
		t.Errorf("%v", got)
	}
}

// A network that must not be blocked for another reason than an allowed part
// is left alone.
func TestNeighbourhoodExempt(t *testing.T) {
	b := newBench(t, func(c *Config, o *Options) {
		neighbours(2)(c, o)
		o.Holes = func(netip.Prefix) ([]netip.Prefix, string) { return nil, "next_hop" }
	})
	b.offend(noon, "198.51.100.1", offence.OpenProxy)
	b.offend(noon, "198.51.100.2", offence.OpenProxy)
	if got := network4Verdicts(b); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if got := total(t, b.registry, "uppercut_verdicts_suppressed_total"); got != 1 {
		t.Errorf("%v suppressed", got)
	}
}

// The parts around the holes cover everything else, once, and are as few as
// can be.
func TestWithout(t *testing.T) {
	for _, c := range []struct {
		p     string
		holes []string
		parts int
	}{
		{"198.51.100.0/24", nil, 1},
		{"198.51.100.0/24", []string{"198.51.100.77/32"}, 8},
		{"198.51.100.0/24", []string{"198.51.100.0/25"}, 1},
		{"198.51.100.0/24", []string{"198.51.100.0/24"}, 0},
		{"198.51.100.0/24", []string{"198.51.0.0/16"}, 0},
		{"198.51.100.0/24", []string{"203.0.113.1/32"}, 1},
		{"198.51.100.0/24", []string{"198.51.100.0/32", "198.51.100.255/32"}, 14},
		{"2001:db8:7::/48", []string{"2001:db8:7:1::/64"}, 16},
	} {
		p := mustPrefix(c.p)
		var holes []netip.Prefix
		for _, h := range c.holes {
			holes = append(holes, mustPrefix(h))
		}
		parts := without(p, holes, nil)
		if len(parts) != c.parts {
			t.Errorf("%s without %v: %v", c.p, c.holes, parts)
		}
		if p.Addr().Is6() {
			continue
		}
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			in := 0
			for _, part := range parts {
				if part.Contains(a) {
					in++
				}
			}
			hole := slices.ContainsFunc(holes, func(h netip.Prefix) bool { return h.Contains(a) })
			if hole && in != 0 || !hole && in != 1 {
				t.Errorf("%s without %v: %v lies in %d parts", c.p, c.holes, a, in)
			}
		}
	}
}
