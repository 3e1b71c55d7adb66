package blocklist

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var epoch = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// put blocks p until so many minutes after the epoch.
func put(l *List, p string, minutes int) []string {
	b := Block{Prefix: prefix(p), At: epoch, Until: epoch.Add(time.Duration(minutes) * time.Minute), Rule: "r"}
	l.Put(&b)
	return texts(l.Recut(b.Prefix))
}

func texts(ps []netip.Prefix) (out []string) {
	slices.SortFunc(ps, netip.Prefix.Compare)
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

// pieces are what the interval sets should hold: prefix and minutes.
func pieces(l *List) (out []string) {
	for p, until := range l.pieces.AllSorted() {
		out = append(out, fmt.Sprintf("%v %v", p, time.Unix(0, until).Sub(epoch).Minutes()))
	}
	return out
}

func TestPieces(t *testing.T) {
	for _, tt := range []struct {
		name   string
		blocks map[string]int // minutes
		holes  []string
		want   []string
	}{
		{"alone", map[string]int{"10.0.0.0/8": 5}, nil, []string{"10.0.0.0/8 5"}},
		{"shorter within", map[string]int{"10.0.0.0/30": 5, "10.0.0.0/31": 3}, nil, []string{"10.0.0.0/30 5"}},
		{"longer within", map[string]int{"10.0.0.0/30": 5, "10.0.0.0/31": 7}, nil, []string{"10.0.0.0/31 7", "10.0.0.2/31 5"}},
		{"hole", map[string]int{"10.0.0.0/30": 5}, []string{"10.0.0.1/32"}, []string{"10.0.0.0/32 5", "10.0.0.2/31 5"}},
		{"all a hole", map[string]int{"10.0.0.0/30": 5}, []string{"10.0.0.0/29"}, nil},
		{"holes in holes", map[string]int{"10.0.0.0/30": 5}, []string{"10.0.0.0/31", "10.0.0.1/32"}, []string{"10.0.0.2/31 5"}},
		{"hole in the longer", map[string]int{"10.0.0.0/30": 5, "10.0.0.2/31": 7}, []string{"10.0.0.3/32"}, []string{"10.0.0.0/31 5", "10.0.0.2/32 7"}},
		{"everything", map[string]int{"0.0.0.0/0": 5}, []string{"128.0.0.0/1"}, []string{"0.0.0.0/1 5"}},
		{"hole in a /64", map[string]int{"2001:db8::/64": 5}, []string{"2001:db8::8000:0:0:0/65"}, []string{"2001:db8::/65 5"}},
		{"whole /64", map[string]int{"2001:db8::/64": 5}, nil, nil}, // in the hash set
		{"nat64", map[string]int{"64:ff9b::102:304/128": 5}, nil, []string{"64:ff9b::102:304/128 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := New(64, epoch)
			for _, h := range tt.holes {
				l.AddHole(prefix(h))
			}
			for p, minutes := range tt.blocks {
				put(l, p, minutes)
			}
			if diff := cmp.Diff(tt.want, pieces(l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecutNamesWhatChanged(t *testing.T) {
	l := New(64, epoch)
	if diff := cmp.Diff([]string{"10.0.0.0/30"}, put(l, "10.0.0.0/30", 5)); diff != "" {
		t.Error(diff)
	}
	if got := put(l, "10.0.0.0/31", 3); got != nil {
		t.Errorf("a shorter block within changes %v", got)
	}
	if diff := cmp.Diff([]string{"10.0.0.0/30"}, put(l, "10.0.0.0/30", 6)); diff != "" {
		t.Error(diff)
	}
	l.Remove(prefix("10.0.0.0/30"))
	if diff := cmp.Diff([]string{"10.0.0.0/30", "10.0.0.0/31"}, texts(l.Recut(prefix("10.0.0.0/30")))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"10.0.0.0/31 3"}, pieces(l)); diff != "" {
		t.Error(diff)
	}
}

func TestHoleMovesAHashedNetwork(t *testing.T) {
	l := New(64, epoch)
	put(l, "2001:db8::/64", 5)
	if l.hashed[IPv6] != 1 {
		t.Fatal("a /64 is not hashed")
	}
	changed := texts(l.AddHole(prefix("2001:db8::1/128")))
	if l.hashed[IPv6] != 0 || l.Want(prefix("2001:db8::/64")) != 0 {
		t.Error("a /64 with a hole is still wanted as a whole")
	}
	if len(changed) != 65 || len(pieces(l)) != 64 {
		t.Errorf("%d changes and %d pieces, want 65 and 64", len(changed), len(pieces(l)))
	}
	if len(l.RemoveHole(prefix("2001:db8::1/128"))) == 0 || l.Want(prefix("2001:db8::/64")) == 0 {
		t.Error("without the hole the /64 is not wanted as a whole")
	}
}

// TestPiecesAgreeWithEachAddress compares the pieces with what each address of
// a small network should have, after random changes.
func TestPiecesAgreeWithEachAddress(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		l := New(64, epoch)
		blocks, holes := map[netip.Prefix]int{}, map[netip.Prefix]bool{}
		for range 40 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(64))}), 26+random.IntN(7)).Masked()
			switch random.IntN(5) {
			case 0:
				l.AddHole(p)
				holes[p] = true
			case 1:
				l.RemoveHole(p)
				delete(holes, p)
			case 2:
				l.Remove(p)
				l.Recut(p)
				delete(blocks, p)
			default:
				blocks[p] = 1 + random.IntN(9)
				put(l, p.String(), blocks[p])
			}
		}
		comparePieces(t, l, blocks, holes)
	}
}

func comparePieces(t *testing.T, l *List, blocks map[netip.Prefix]int, holes map[netip.Prefix]bool) {
	t.Helper()
	covered := map[netip.Addr]int{}
	for p, until := range l.pieces.All() {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if covered[a] != 0 {
				t.Fatalf("%v is in two pieces", a)
			}
			covered[a] = int(time.Unix(0, until).Sub(epoch).Minutes())
		}
	}
	for i := range 64 {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		single := netip.PrefixFrom(a, 32)
		want, exempt := 0, false
		for p, minutes := range blocks {
			if p.Contains(a) && (p != single || l.mustFind(p).flags&flagNet != 0) {
				want = max(want, minutes)
			}
		}
		for p := range holes {
			exempt = exempt || p.Contains(a)
		}
		if exempt {
			want = 0
		}
		if covered[a] != want {
			t.Fatalf("%v: in the pieces for %d minutes, want %d; blocks %v, holes %v", a, covered[a], want, blocks, holes)
		}
	}
}

func (l *List) mustFind(p netip.Prefix) *Entry {
	e, ok := l.Find(p)
	if !ok {
		panic("not in the list: " + p.String())
	}
	return e
}

func TestLookupFindsTheNarrowest(t *testing.T) {
	l := New(64, epoch)
	put(l, "10.0.0.0/8", 5)
	put(l, "10.1.0.0/16", 9)
	put(l, "10.1.2.3/32", 7)
	put(l, "2001:db8::/32", 5)
	put(l, "2001:db8:0:1::/64", 5)
	put(l, "2001:db8:0:1::7/128", 5)
	for addr, want := range map[string]string{
		"10.9.9.9":           "10.0.0.0/8",
		"10.1.9.9":           "10.1.0.0/16",
		"10.1.2.3":           "10.1.2.3/32",
		"::ffff:10.1.2.3":    "10.1.2.3/32",
		"11.0.0.1":           "",
		"2001:db8:9::1":      "2001:db8::/32",
		"2001:db8:0:1::1":    "2001:db8:0:1::/64",
		"2001:db8:0:1::7":    "2001:db8:0:1::7/128",
		"2001:db8:0:1::7%e0": "2001:db8:0:1::7/128",
		"2001:db9::1":        "",
	} {
		got := ""
		if slot, ok := l.Lookup(netip.MustParseAddr(addr), epoch.UnixNano()); ok {
			got = l.BlockAt(slot).Prefix.String()
		}
		if got != want {
			t.Errorf("lookup(%s) = %q, want %q", addr, got, want)
		}
	}
	at := epoch.Add(6 * time.Minute).UnixNano() // 10/8 has ended
	if _, ok := l.Lookup(netip.MustParseAddr("10.9.9.9"), at); ok {
		t.Error("an ended block is found")
	}
	at = epoch.Add(8 * time.Minute).UnixNano() // 10.1.2.3 has ended, 10.1/16 not
	if slot, ok := l.Lookup(netip.MustParseAddr("10.1.2.3"), at); !ok || l.BlockAt(slot).Prefix != prefix("10.1.0.0/16") {
		t.Error("the block around an ended one is not found")
	}
}

func TestDueAtTheEnd(t *testing.T) {
	l := New(64, epoch)
	put(l, "192.0.2.1/32", 1)
	put(l, "192.0.2.2/32", 1)
	put(l, "192.0.2.2/32", 2) // extended
	end := epoch.Add(time.Minute)
	if got := slices.Collect(l.Due(end.Add(-1))); got != nil {
		t.Errorf("a nanosecond before the end: %v", got)
	}
	if diff := cmp.Diff([]string{"192.0.2.1/32"}, texts(slices.Collect(l.Due(end.Add(time.Second))))); diff != "" {
		t.Error(diff)
	}
	l.Remove(prefix("192.0.2.1/32"))
	if diff := cmp.Diff([]string{"192.0.2.2/32"}, texts(slices.Collect(l.Due(end.Add(time.Hour))))); diff != "" {
		t.Error(diff)
	}
	if len(l.agenda) != 0 {
		t.Errorf("%d seconds are left on the agenda", len(l.agenda))
	}
}

// Points are multiples of 0.05, and come back as they were put in.
func TestScoresComeBackExactly(t *testing.T) {
	l := New(64, epoch)
	for i := range 200_000 {
		b := Block{Prefix: prefix("192.0.2.1/32"), At: epoch, Until: epoch, Score: float64(i) / 20}
		l.Put(&b)
		if got := l.BlockAt(l.index[keyOf(b.Prefix)]).Score; got != b.Score {
			t.Fatalf("score %v came back as %v", b.Score, got)
		}
	}
}

func TestSlotsAreUsedAgain(t *testing.T) {
	l := New(64, epoch)
	for round := range 3 {
		for i := range 2 * chunkSize {
			put(l, fmt.Sprintf("10.%d.%d.%d/32", round, i>>8, i&255), 1)
		}
		for i := range 2 * chunkSize {
			b, ok := l.Remove(prefix(fmt.Sprintf("10.%d.%d.%d/32", round, i>>8, i&255)))
			if !ok || b.Rule != "r" || !b.At.Equal(epoch) {
				t.Fatalf("removed %+v, %v", b, ok)
			}
		}
	}
	if l.Len() != 0 || len(l.chunks) > 2 || l.active != [2][2]int{} || l.hashed != [2]int{} {
		t.Errorf("%d blocks, %d chunks, %v active, %v hashed after all were removed", l.Len(), len(l.chunks), l.active, l.hashed)
	}
}

func TestKeysKeepPrefixesApart(t *testing.T) {
	for _, s := range []string{"0.0.0.0/0", "::/0", "::/96", "::ffff:0:0/95", "1.2.3.4/32", "::1/128", "10.0.0.0/8", "2001:db8::/32"} {
		if got := keyOf(prefix(s)).prefix(); got != prefix(s) {
			t.Errorf("%s becomes %v", s, got)
		}
	}
	for in, want := range map[string]string{
		"::ffff:192.0.2.1/128": "192.0.2.1/32", "::ffff:192.0.2.9/120": "192.0.2.0/24",
		"192.0.2.77/24": "192.0.2.0/24", "2001:db8::7/64": "2001:db8::/64", "::ffff:0:0/64": "::/64",
	} {
		if got, ok := Canonical(prefix(in)); !ok || got != prefix(want) {
			t.Errorf("Canonical(%s) = %v, %v, want %s", in, got, ok, want)
		}
	}
	if _, ok := Canonical(netip.Prefix{}); ok {
		t.Error("the zero prefix is taken for one")
	}
}

func TestLeastGuiltyFirst(t *testing.T) {
	l := New(64, epoch)
	for i, b := range []Block{
		{Prefix: prefix("192.0.2.1/32"), Score: 10, Rule: "r", Until: epoch.Add(2 * time.Hour)},
		{Prefix: prefix("192.0.2.2/32"), Score: 10, Rule: "r", Until: epoch.Add(time.Hour)},
		{Prefix: prefix("192.0.2.3/32"), Score: 99, Rule: "r", Until: epoch.Add(time.Minute)},
		{Prefix: prefix("192.0.2.4/32"), Rule: Manual, Until: epoch.Add(time.Minute)},
		{Prefix: prefix("2001:db8::/64"), Score: 1, Rule: "r", Until: epoch.Add(time.Minute)},
		{Prefix: prefix("192.0.2.0/24"), Score: 1, Rule: "r", Until: epoch.Add(time.Minute)},
	} {
		b.ID = uint64(i)
		l.Put(&b)
	}
	var got []string
	for _, c := range slices.Backward(l.leastGuilty(group{class: class{IPv4, false}})) {
		got = append(got, l.At(c.slot).key.prefix().String())
	}
	if diff := cmp.Diff([]string{"192.0.2.2/32", "192.0.2.1/32", "192.0.2.3/32", "192.0.2.4/32"}, got); diff != "" {
		t.Error(diff)
	}
}
