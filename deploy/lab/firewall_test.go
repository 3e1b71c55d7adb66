package lab

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSet(t *testing.T) {
	for _, test := range []struct {
		name, out string
		want      []string
	}{
		{"empty", `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"set": {"name": "block4"}}]}`, nil},
		{
			"with and without timeout",
			`{"nftables": [{"set": {"name": "block4", "elem": [{"elem": {"val": "198.18.0.1", "timeout": 3600, "expires": 3597}}, "198.18.0.2"]}}]}`,
			[]string{"198.18.0.1/32", "198.18.0.2/32"},
		},
		{"IPv6 stands for its /64", `{"nftables": [{"set": {"elem": [{"elem": {"val": "2001:db8:bad:1::", "counter": {"packets": 0, "bytes": 0}}}]}}]}`, []string{"2001:db8:bad:1::/64"}},
		{
			"prefixes",
			`{"nftables": [{"set": {"elem": [{"elem": {"val": {"prefix": {"addr": "2001:db8::", "len": 48}}, "timeout": 60}}, {"prefix": {"addr": "10.0.0.0", "len": 8}}]}}]}`,
			[]string{"2001:db8::/48", "10.0.0.0/8"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			prefixes, err := parseSet("set", []byte(test.out))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, prefix := range prefixes {
				got = append(got, prefix.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	for _, out := range []string{"", "{", `{"nftables": [{"set": {"elem": [17]}}]}`} {
		if prefixes, err := parseSet("set", []byte(out)); err == nil {
			t.Errorf("read %q as %v", out, prefixes)
		}
	}
}

func TestWatcherReadsLinesHoweverTheyAreCut(t *testing.T) {
	const output = `{"add": {"element": {"name": "block4", "elem": {"set": [{"elem": {"val": "198.18.0.1", "timeout": 3600}}]}}}}
# new generation 7 by process 99
{"add": {"element": {"name": "block6", "elem": {"set": [{"elem": {"val": "2001:db8:bad:2::"}}, {"elem": {"val": "2001:db8:bad:3::"}}]}}}}
`
	for cut := range len(output) {
		w := &watcher{seen: map[netip.Prefix]time.Time{}}
		for _, part := range []string{output[:cut], output[cut:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		var got []string
		for prefix := range w.seen {
			got = append(got, prefix.String())
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"198.18.0.1/32", "2001:db8:bad:2::/64", "2001:db8:bad:3::/64"}, got); diff != "" {
			t.Fatalf("cut at %d: %s", cut, diff)
		}
	}
}
