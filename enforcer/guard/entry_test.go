package guard

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"uppercut/enforcer/prefix"

	"github.com/google/go-cmp/cmp"
)

func TestParseEntry(t *testing.T) {
	for _, test := range []struct {
		in       string
		prefixes []string
		file     string
		name     string
	}{
		{in: "192.0.2.1", prefixes: []string{"192.0.2.1/32"}},
		{in: " 192.0.2.1\t", prefixes: []string{"192.0.2.1/32"}},
		{in: "192.0.2.0/24", prefixes: []string{"192.0.2.0/24"}},
		{in: "::ffff:192.0.2.1", prefixes: []string{"192.0.2.1/32"}},
		{in: "::ffff:192.0.2.0/120", prefixes: []string{"192.0.2.0/24"}},
		{in: "0.0.0.0/0", prefixes: []string{"0.0.0.0/0"}},
		{in: "2001:DB8::1", prefixes: []string{"2001:db8::1/128"}},
		{in: "2001:db8::/32", prefixes: []string{"2001:db8::/32"}},
		{in: "192.0.2.1-192.0.2.1", prefixes: []string{"192.0.2.1/32"}},
		{in: "192.0.2.1 - 192.0.2.6", prefixes: []string{"192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"}},
		{in: "192.0.2.0-192.0.2.255", prefixes: []string{"192.0.2.0/24"}},
		{in: "0.0.0.0-255.255.255.255", prefixes: []string{"0.0.0.0/0"}},
		{in: "255.255.255.254-255.255.255.255", prefixes: []string{"255.255.255.254/31"}},
		{in: "2001:db8::-2001:db8::ffff", prefixes: []string{"2001:db8::/112"}},
		{in: "file:/etc/uppercut/allow.d/../partners", file: "/etc/uppercut/partners"},
		{in: "mail.example.com", name: "mail.example.com"},
		{in: "MX-1.Example.COM.", name: "mx-1.example.com"},
		{in: "_spf.example.com", name: "_spf.example.com"},
		{in: "localhost", name: "localhost"},
		{in: "4u.example", name: "4u.example"},
		{in: "a-b", name: "a-b"},
	} {
		e, err := ParseEntry(test.in)
		if err != nil {
			t.Errorf("ParseEntry(%q): %v", test.in, err)
			continue
		}
		if diff := cmp.Diff(test.prefixes, texts(e.Prefixes)); diff != "" || e.File != test.file || e.Name != test.name {
			t.Errorf("ParseEntry(%q) = %+v", test.in, e)
		}
	}
}

func TestParseEntryErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                          `"" is neither an address, a prefix, a range, file:/path nor a DNS name`,
		"192.0.2.300":               `"192.0.2.300" is not an address`,
		"192.0.2":                   `"192.0.2" is not an address`,
		"192.0.2.1/33":              `"192.0.2.1/33" is not a prefix`,
		"192.0.2.1/24":              `"192.0.2.1/24" has host bits set: write 192.0.2.0/24 for the network or 192.0.2.1 for the address`,
		"192.0.2.9-192.0.2.1":       `"192.0.2.9-192.0.2.1": the end of the range is before its start`,
		"192.0.2.1-2001:db8::1":     `"192.0.2.1-2001:db8::1" mixes IPv4 and IPv6`,
		"192.0.2.1-9":               `"9" is not an address`,
		"fe80::1%eth0":              `"fe80::1%eth0": an address with a zone is valid only on its own link`,
		"2001:db8::g":               `"2001:db8::g" is not an address`,
		"file:allow.txt":            `"file:allow.txt": the path of a file must be absolute`,
		"*.example.com":             `"*.example.com": names are resolved to addresses, not matched against the client's name, so wildcards are not possible`,
		"mail..example.com":         `"mail..example.com" is neither an address, a prefix, a range, file:/path nor a DNS name`,
		"-mail.example.com":         `"-mail.example.com" is neither an address, a prefix, a range, file:/path nor a DNS name`,
		"mail.example.com mx":       `"mail.example.com mx" is neither an address, a prefix, a range, file:/path nor a DNS name`,
		"m\u00fcnchen.example":      "\"m\u00fcnchen.example\" is neither an address, a prefix, a range, file:/path nor a DNS name",
		"http://mail.example.com/x": `"http://mail.example.com/x" is not a prefix`,
	} {
		_, err := ParseEntry(in)
		if err == nil || err.Error() != want {
			t.Errorf("ParseEntry(%q) = %v\nwant %s", in, err, want)
		}
	}
}

// TestRangeIsExact compares the prefixes of random ranges with their ends.
func TestRangeIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		from, to := r.Uint32(), r.Uint32()
		if r.IntN(2) == 0 {
			to = from + r.Uint32N(1000)
		}
		a, b := addr4(min(from, to)), addr4(max(from, to))
		next := a
		for p := range prefix.Range(a, b) {
			if p.Addr() != next || p != p.Masked() {
				t.Fatalf("%v-%v: %v where %v was due", a, b, p, next)
			}
			next = prefix.Last(p).Next()
		}
		if next != b.Next() {
			t.Fatalf("%v-%v goes on to %v", a, b, next)
		}
	}
}

func addr4(u uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(u >> 24), byte(u >> 16), byte(u >> 8), byte(u)})
}

func FuzzParseEntry(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "file:/x", "a.example", "::ffff:0.0.0.0/90"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEntry(s)
		if err != nil {
			return
		}
		set := 0
		for _, is := range []bool{e.Prefixes != nil, e.File != "", e.Name != ""} {
			if is {
				set++
			}
		}
		if set != 1 {
			t.Errorf("ParseEntry(%q) = %+v", s, e)
		}
		for i, p := range e.Prefixes {
			if !p.IsValid() || p != prefix.Canonical(p) || (i > 0 && e.Prefixes[i-1].Overlaps(p)) {
				t.Errorf("ParseEntry(%q) = %v", s, e.Prefixes)
			}
		}
	})
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, change := range map[string]func(*Config){
		`allow[1]: "x y" is neither an address, a prefix, a range, file:/path nor a DNS name`: func(c *Config) { c.Allow = []string{"192.0.2.1", "x y"} },
		`guard.ssh_ports[1]: 65536 is not a port from 1 to 65535`:                             func(c *Config) { c.SSHPorts = []int{22, 65536} },
		`guard.ssh_ports[0]: 0 is not a port from 1 to 65535`:                                 func(c *Config) { c.SSHPorts = []int{0} },
		`guard.reserved[0]: not a prefix`:                                                     func(c *Config) { c.Reserved = make([]netip.Prefix, 1) },
		`guard.min_prefix4: 0 is not a prefix length from 1 to 32`:                            func(c *Config) { c.MinPrefix4 = 0 },
		`guard.min_prefix4: 33 is not a prefix length from 1 to 32`:                           func(c *Config) { c.MinPrefix4 = 33 },
		`guard.min_prefix6: 129 is not a prefix length from 1 to 128`:                         func(c *Config) { c.MinPrefix6 = 129 },
		`guard.refresh: 30ns is not within 1s to 1h0m0s`:                                      func(c *Config) { c.Refresh = 30 },
		`guard.poll: 2m0s is not within 100ms to 1m0s`:                                        func(c *Config) { c.Poll = 2 * time.Minute },
		`guard.dns_min_refresh: 0s is not within 1s to 24h0m0s`:                               func(c *Config) { c.DNSMinRefresh = 0 },
		`guard.dns_max_refresh: 1s is less than dns_min_refresh, 30s`:                         func(c *Config) { c.DNSMaxRefresh = time.Second },
		`guard.dns_timeout: 2h0m0s is not within 100ms to 1m0s`:                               func(c *Config) { c.DNSTimeout = 2 * time.Hour },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("Validate = %v, want %s", err, want)
		}
	}
	c := DefaultConfig()
	c.MinPrefix4, c.Poll = 0, 0
	want := "guard.min_prefix4: 0 is not a prefix length from 1 to 32\nguard.poll: 0s is not within 100ms to 1m0s"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("two mistakes: %v", err)
	}
}

func TestMuchOfTheInternet(t *testing.T) {
	for text, want := range map[string]bool{
		"0.0.0.0/0": true, "128.0.0.0/1": true, "198.0.0.0/7": true, "10.0.0.0/8": false, "198.51.100.0/24": false,
		"::/0": true, "2000::/3": true, "2000::/15": true, "2001::/16": false, "fc00::/7": false, "fe80::/10": false, "2001:db8::/32": false,
		"::ffff:0.0.0.0/96": true,
	} {
		if got := MuchOfTheInternet(netip.MustParsePrefix(text)); got != want {
			t.Errorf("MuchOfTheInternet(%s) = %v", text, got)
		}
	}
}
