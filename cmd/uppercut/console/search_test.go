package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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

// pointers yields pointers to a variable that holds each block in turn, as an
// Appliance may.
func pointers(blocks []Block) iter.Seq[*Block] {
	return func(yield func(*Block) bool) {
		var b Block
		for _, b = range blocks {
			if !yield(&b) {
				return
			}
		}
	}
}

// many are n blocks of distinct sources; every ten begin in the same second.
func many(n int) iter.Seq[Block] {
	return func(yield func(Block) bool) {
		for i := range n {
			a := netip.AddrFrom4([4]byte{byte(10 + i>>24), byte(i >> 16), byte(i >> 8), byte(i)})
			at := noon.Add(time.Duration(i/10) * time.Second)
			if !yield(Block{
				ID: uint64(i), Prefix: netip.PrefixFrom(a, 32), At: at, Until: at.Add(time.Hour),
				Rule: []string{"burst", "steady"}[i%2], Reason: "dnsbl", Hosts: oneHost[i%200],
			}) {
				return
			}
		}
	}
}

var oneHost = func() (hosts [200][]string) {
	for i := range hosts {
		hosts[i] = []string{fmt.Sprintf("mx%d", i)}
	}
	return hosts
}()

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
		page, err := find(pointers(blocks), tc.search)
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
	all := slices.Collect(many(1234))
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var got []Block
	s := Search{Limit: 100}
	for pages := 0; ; pages++ {
		page, err := find(pointers(all), s)
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
	inOrder := slices.IsSortedFunc(got, func(a, b Block) int { return byNewest(&a, &b) })
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
		if _, err := find(pointers(nil), s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", s, err)
		}
	}
}

// million is a fake that holds a million blocks and 200 hosts.
type million struct {
	*fake
	blocks []Block
}

func newMillion() *million {
	m := &million{newFake(), slices.Collect(many(1_000_000))}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(m.blocks), func(i, j int) { m.blocks[i], m.blocks[j] = m.blocks[j], m.blocks[i] })
	for i := range 200 {
		m.senders = append(m.senders, Sender{Host: fmt.Sprintf("mx%d", i), Sender: "192.0.2.1", Transport: "tcp", Last: noon})
	}
	return m
}

func (m *million) Blocks(context.Context) iter.Seq[*Block] { return pointers(m.blocks) }

// BenchmarkPages measures how long a page takes at a million blocks, 200 hosts
// and a full history.
func BenchmarkPages(b *testing.B) {
	c := newConsole(DefaultConfig(), Options{Appliance: newMillion()})
	fill(c, time.Now())
	mux := http.NewServeMux()
	c.addPages(mux)
	for _, path := range []string{"/", "/blocks", "/blocks?search=10.3.&rule=burst", "/senders"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				r := withCaller(httptest.NewRequest("GET", path, nil), caller{name: "anna", trusted: true})
				w := httptest.NewRecorder()
				mux.ServeHTTP(w, r)
				if w.Code != 200 {
					b.Fatalf("%d: %s", w.Code, w.Body)
				}
			}
		})
	}
}
