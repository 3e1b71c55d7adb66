package prefix

import (
	"net/netip"
	"slices"
	"testing"
)

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.9/24":           "192.0.2.0/24",
		"::ffff:192.0.2.9/128":   "192.0.2.9/32",
		"::ffff:192.0.2.9/104":   "192.0.0.0/8",
		"::ffff:0.0.0.0/80":      "::/80", // more than the IPv4 addresses
		"2001:db8:77:0:1::/64":   "2001:db8:77::/64",
		"2001:db8:77:0:1::9/128": "2001:db8:77:0:1::9/128",
	} {
		if got := Canonical(netip.MustParsePrefix(text)); got.String() != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
	if Canonical(netip.Prefix{}).IsValid() {
		t.Error("nothing became a prefix")
	}
}

func TestLast(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0/0": "255.255.255.255", "192.0.2.0/25": "192.0.2.127", "192.0.2.9/32": "192.0.2.9",
		"2001:db8::/32": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		if got := Last(netip.MustParsePrefix(text)); got.String() != want {
			t.Errorf("the last of %s is %s, want %s", text, got, want)
		}
	}
}

// TestRange: also to the end of the address space, where there is no next address.
func TestRange(t *testing.T) {
	for _, test := range []struct {
		first, last string
		want        []string
	}{
		{"192.0.2.10", "192.0.2.10", []string{"192.0.2.10/32"}},
		{"192.0.2.10", "192.0.2.19", []string{"192.0.2.10/31", "192.0.2.12/30", "192.0.2.16/30"}},
		{"0.0.0.0", "255.255.255.255", []string{"0.0.0.0/0"}},
		{"255.255.255.254", "255.255.255.255", []string{"255.255.255.254/31"}},
		{"ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", []string{"ffff::/16"}},
		{"192.0.2.2", "192.0.2.1", nil},
	} {
		var got []string
		for p := range Range(netip.MustParseAddr(test.first), netip.MustParseAddr(test.last)) {
			got = append(got, p.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s to %s: %q, want %q", test.first, test.last, got, test.want)
		}
	}
}
