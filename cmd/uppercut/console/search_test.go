package console

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestParsePrefix(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.9": "203.0.113.9/32", "203.0.113.0/24": "203.0.113.0/24", "2001:db8::1": "2001:db8::1/128",
		"2001:DB8::/32": "2001:db8::/32", "::ffff:203.0.113.9": "203.0.113.9/32", "::ffff:203.0.113.0/120": "203.0.113.0/24",
		"fe80::1%eth0": "fe80::1/128",
	} {
		if p, err := ParsePrefix(text); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, p, err, want)
		}
	}
	for _, text := range []string{"", "mx1", "203.0.113.9/24", "203.0.113.9/33", "::ffff:0:0/90", "203.0.113.9 ", "1.2.3"} {
		if p, err := ParsePrefix(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v; want ErrInvalid", text, p, err)
		}
	}
}

func TestParseSearch(t *testing.T) {
	for text, want := range map[string]string{
		"203.": "203.0.0.0/8", "203.0": "203.0.0.0/16", "203.0.113.": "203.0.113.0/24", " 203.0.113.9 ": "203.0.113.9/32",
		"2001:db8:": "2001:db8::/32", "2001:db8:7::/48": "2001:db8:7::/48", "2001:db8::": "2001:db8::/128",
	} {
		if p, err := parseSearch(text); err != nil || p.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, p, err, want)
		}
	}
	for _, text := range []string{"mx1", "300.", "203..", ":", "2001:xyz:"} {
		if p, err := parseSearch(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v; want ErrInvalid", text, p, err)
		}
	}
}

// holding is a fake that holds these blocks.
func holding(blocks ...Block) *fake {
	f := newFake()
	for _, b := range blocks {
		f.blocks[b.Prefix] = b
	}
	return f
}

// many are n blocks of distinct sources; every ten begin in the same second.
func many(n int) (blocks []Block) {
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		at := noon.Add(time.Duration(i/10) * time.Second)
		blocks = append(blocks, Block{ID: uint64(i), Prefix: netip.PrefixFrom(a, 32), At: at, Until: at.Add(time.Hour), Rule: []string{"burst", "steady"}[i%2]})
	}
	return blocks
}

func TestFindFilters(t *testing.T) {
	blocks := []Block{
		{Prefix: netip.MustParsePrefix("203.0.113.9/32"), At: noon, Rule: "burst", Reason: "dnsbl", Hosts: []string{"mx1", "mx2"}},
		{Prefix: netip.MustParsePrefix("203.0.112.0/24"), At: noon, Rule: "manual"},
		{Prefix: netip.MustParsePrefix("2001:db8::/64"), At: noon, Rule: "burst", Reason: "auth_fail", Hosts: []string{"mx2"}},
	}
	for _, tc := range []struct {
		search Search
		want   []int
	}{
		{Search{}, []int{1, 0, 2}},
		{Search{Text: "203.0.113.9"}, []int{0}},
		{Search{Text: "203.0.112.7"}, []int{1}},
		{Search{Text: "203.0."}, []int{1, 0}},
		{Search{Text: "2001:db8::1"}, []int{2}},
		{Search{Rule: "manual"}, []int{1}},
		{Search{Host: "mx2"}, []int{0, 2}},
		{Search{Reason: "dnsbl", Host: "mx2"}, []int{0}},
		{Search{Host: "mx3"}, nil},
	} {
		page, err := find(t.Context(), holding(blocks...), tc.search)
		var want []netip.Prefix
		for _, i := range tc.want {
			want = append(want, blocks[i].Prefix)
		}
		var got []netip.Prefix
		for _, b := range page.Blocks {
			got = append(got, b.Prefix)
		}
		if err != nil || page.Matching != len(want) || !slices.Equal(got, want) || page.Next != "" {
			t.Errorf("%+v: %v, %d matching, next %q, %v; want %v", tc.search, got, page.Matching, page.Next, err, want)
		}
	}
}

func TestFindPagesGiveEveryBlockOnceInOrder(t *testing.T) {
	all := many(1234)
	f := holding(all...)
	var got []Block
	s := Search{Limit: 100}
	for pages := 0; ; pages++ {
		page, err := find(t.Context(), f, s)
		if err != nil || page.Matching != len(all) || pages > 13 {
			t.Fatalf("page %d: %d matching, %v", pages, page.Matching, err)
		}
		got = append(got, page.Blocks...)
		if s.After = page.Next; s.After == "" {
			break
		}
		if len(page.Blocks) != 100 {
			t.Errorf("page %d has %d blocks", pages, len(page.Blocks))
		}
	}
	inOrder := slices.IsSortedFunc(got, func(a, b Block) int { return byPlace(Place{a.At, a.Prefix}, Place{b.At, b.Prefix}) })
	if len(got) != len(all) || !inOrder {
		t.Errorf("%d of %d blocks, in order: %t", len(got), len(all), inOrder)
	}
	seen := map[uint64]bool{}
	for _, b := range got {
		seen[b.ID] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d distinct blocks of %d", len(seen), len(all))
	}
}

func TestFindRefuses(t *testing.T) {
	for _, s := range []Search{{Text: "?"}, {Limit: -1}, {Limit: maxPage + 1}, {After: "x"}, {After: "1_"}, {After: "_203.0.113.9/32"}} {
		if _, err := find(t.Context(), holding(), s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", s, err)
		}
	}
}

// An appliance that cannot answer is not taken for one without blocks.
func TestFindFails(t *testing.T) {
	f := holding(many(3)...)
	f.fail = errors.New("not now")
	if _, err := find(t.Context(), f, Search{}); !errors.Is(err, f.fail) {
		t.Errorf("%v, want what the appliance says", err)
	}
}
