package enforcer

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	lists "uppercut/deploy/bench/blocklist"
	"uppercut/enforcer/blocklist"
)

// sortKey orders prefixes as the list does: IPv4 as IPv4-mapped.
func sortKey(p netip.Prefix) []byte {
	a := p.Addr().As16()
	return append(a[:], byte(p.Bits()+128-p.Addr().BitLen()))
}

// slowly finds what Find should find, the slow way.
func slowly(all []Block, q Query) (page []Block, matching int) {
	byPlace := func(a, b Place) int {
		return cmp.Or(b.At.Compare(a.At), slices.Compare(sortKey(a.Prefix), sortKey(b.Prefix)))
	}
	for _, b := range all {
		if q.Within.IsValid() && !q.Within.Overlaps(b.Prefix) || q.Rule != "" && q.Rule != b.Rule ||
			q.Reason != "" && q.Reason != b.Reason || q.Host != "" && q.Host != b.Host {
			continue
		}
		matching++
		if !q.After.Prefix.IsValid() || byPlace(Place{At: b.At, Prefix: b.Prefix}, q.After) > 0 {
			page = append(page, b)
		}
	}
	slices.SortFunc(page, func(a, b Block) int {
		return byPlace(Place{At: a.At, Prefix: a.Prefix}, Place{At: b.At, Prefix: b.Prefix})
	})
	return page[:min(len(page), q.Limit)], matching
}

// randomList holds n blocks of every kind, some of which have ended.
func randomList(n int, random *rand.Rand) (*Enforcer, []Block) {
	now := time.Now()
	e := &Enforcer{list: blocklist.New(64, now)}
	var all []Block
	for i := range n {
		p := randomPrefix(random)
		b := Block{
			ID: uint64(i + 1), Prefix: p, At: now.Add(-time.Duration(random.IntN(n/4)) * time.Second).Round(0),
			Until: now.Add(time.Hour).Round(0), Rule: []string{"burst", "steady", Manual}[random.IntN(3)],
			Reason: []string{"", "dnsbl", "auth_fail"}[random.IntN(3)], Host: []string{"mx1", "mx2", ""}[random.IntN(3)],
		}
		if random.IntN(10) == 0 {
			b.Until = now.Add(-time.Second)
		}
		if _, twice := e.list.Find(p); twice {
			continue
		}
		e.list.Put(&b)
		if b.Until.After(now) {
			all = append(all, b)
		}
	}
	return e, all
}

// TestFindAgreesWithALook compares Find with the slow way, for random lists and
// questions, page after page.
func TestFindAgreesWithALook(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	e, all := randomList(5000, random)
	for range 60 {
		q := Query{Limit: 1 + random.IntN(300)}
		if random.IntN(3) > 0 {
			b := all[random.IntN(len(all))]
			q.Within = netip.PrefixFrom(b.Prefix.Addr(), random.IntN(b.Prefix.Addr().BitLen()+1)).Masked()
		}
		if random.IntN(2) == 0 {
			q.Rule = []string{"burst", Manual, "unheard of"}[random.IntN(3)]
		}
		if random.IntN(3) == 0 {
			q.Reason, q.Host = "dnsbl", "mx2"
		}
		for range 3 {
			want, wantMatching := slowly(all, q)
			got, matching := e.Find(q)
			same := slices.EqualFunc(got, want, func(a, b Block) bool { return a.ID == b.ID && a.Prefix == b.Prefix && a.At.Equal(b.At) })
			if !same || matching != wantMatching {
				t.Fatalf("%+v: %d of %d, want %d of %d", q, len(got), matching, len(want), wantMatching)
			}
			if len(got) == 0 {
				break
			}
			last := got[len(got)-1]
			q.After = Place{At: last.At, Prefix: last.Prefix}
		}
	}
}

// What is blocked by a wider block is found by an address in it, and what lies
// in a network by the network.
func TestFindOverlaps(t *testing.T) {
	now := time.Now()
	e := &Enforcer{list: blocklist.New(64, now)}
	for i, p := range []string{"203.0.113.9/32", "203.0.112.0/24", "2001:db8:7::/64", "2001:db8:8::/48", "64:ff9b::c000:201/128"} {
		e.list.Put(&Block{ID: uint64(i + 1), Prefix: prefix(p), At: now, Until: now.Add(time.Hour), Rule: "burst"})
	}
	for within, want := range map[string]int{
		"203.0.113.9/32": 1, "203.0.113.8/32": 0, "203.0.112.77/32": 1, "203.0.112.0/23": 2, "0.0.0.0/0": 2, "::/0": 3,
		"2001:db8:7::1/128": 1, "2001:db8:8:1::/64": 1, "2001:db8::/32": 2, "::ffff:203.0.113.9/128": 1, "64:ff9b::/96": 1, "64:ff9b::c000:202/128": 0,
	} {
		if _, n := e.Find(Query{Within: prefix(within), Limit: 10}); n != want {
			t.Errorf("%s: %d found, want %d", within, n, want)
		}
	}
}

// BenchmarkFind asks for a page of a million blocks.
func BenchmarkFind(b *testing.B) {
	now := time.Now()
	e := &Enforcer{list: blocklist.New(64, now)}
	many := 1_000_000
	if testing.Short() {
		many = 100_000
	}
	for i, p := range lists.Prefixes(many) {
		e.list.Put(&Block{
			ID: uint64(i + 1), Prefix: p, At: now.Add(time.Duration(i) * time.Millisecond), Until: now.Add(24 * time.Hour),
			Rule: []string{"burst", "steady"}[i%2], Reason: "dnsbl", Host: "mx1",
		})
	}
	for name, q := range map[string]Query{
		"all": {Limit: 100}, "prefix": {Within: prefix("20.0.0.0/8"), Limit: 100}, "rule": {Rule: "steady", Host: "mx1", Limit: 100},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if found, _ := e.Find(q); len(found) != 100 {
					b.Fatalf("%d found", len(found))
				}
			}
		})
	}
}
