package receiver

import (
	"net/netip"
	"strings"
	"testing"
)

// TestWitness: who a sender is, and whether it passes on what others wrote, is
// never taken from a line.
func TestWitness(t *testing.T) {
	c := DefaultConfig()
	c.Hosts = []HostConfig{
		{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64")}},
		{Name: "mx2", Addresses: []netip.Prefix{netip.MustParsePrefix("10.25.1.7/32")}},
		{Name: "mx3.example.org"},
	}
	c.Relays = []string{"10.25.0.5", "10.25.1.0/24", "loghost.example.org", "unix", "2001:db8:1::/48"}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	h, err := NewHosts(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for sender, want := range map[string]struct {
		name  string
		known bool
		relay bool
	}{
		"192.0.2.1":           {"mx1", true, false},
		"2001:db8::25":        {"mx1", true, false}, // another address of the same host
		"mx3.example.org":     {"mx3.example.org", true, false},
		"mx4.example.org":     {"mx4.example.org", true, false}, // a certificate that nobody listed
		"198.51.100.1":        {"198.51.100.1", false, false},
		"10.25.0.5":           {"10.25.0.5", true, true},
		"10.25.1.6":           {"10.25.1.6", true, true},
		"10.25.1.7":           {"mx2", true, false}, // a mail host in the relays' network
		"2001:db8:1::5":       {"2001:db8:1::5", true, true},
		"loghost.example.org": {"loghost.example.org", true, true},
		"unix":                {"unix", true, true},
	} {
		name, known, relay := h.Witness(sender)
		if name != want.name || known != want.known || relay != want.relay {
			t.Errorf("%s is %q, known %v, relay %v; want %+v", sender, name, known, relay, want)
		}
	}
	for sender, want := range map[string]string{"loghost.example.org": "mx7", "10.25.0.5": "mx7", "mx3.example.org": "mx3.example.org"} {
		if got := h.Label(sender, "mx7"); got != want {
			t.Errorf("the label of mx7 at %s is %q, want %q: a relay's lines name their hosts", sender, got, want)
		}
	}
}

// TestLocalSocketIsNoRelay unless the configuration says so.
func TestLocalSocketIsNoRelay(t *testing.T) {
	if name, _, relay := newHosts(t).Witness("unix"); name != "unix" || relay {
		t.Errorf("%q, relay %v", name, relay)
	}
}

func TestRelayMistakes(t *testing.T) {
	hosts := []HostConfig{{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}}
	for entry, want := range map[string]string{
		"":                    `relays[0]: "" is not an address, a network or a certificate name`,
		"10.0.0.1/8":          `relays[0]: "10.0.0.1/8" is not an address, a network or a certificate name`,
		"::ffff:10.0.0.0/104": `relays[0]: "::ffff:10.0.0.0/104" is not an address, a network or a certificate name`,
		"fe80::1%eth0":        `relays[0]: "fe80::1%eth0" is not an address, a network or a certificate name`,
		"log host":            `relays[0]: "log host" is not an address, a network or a certificate name`,
		"192.0.2.3":           `relays[0]: 192.0.2.3/32 is in hosts[0].addresses[0]: it is either a relay or sends only for mx1`,
		"192.0.2.0/28":        `relays[0]: 192.0.2.0/28 is in hosts[0].addresses[0]: it is either a relay or sends only for mx1`,
		"192.0.2.0/24":        "",
		"::ffff:10.25.0.5":    "",
	} {
		c := DefaultConfig()
		c.Hosts, c.Relays = hosts, []string{entry}
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", entry, got, want)
		}
	}
	c := DefaultConfig()
	c.Relays = []string{"log.example.org", "log.example.org"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `relays[1]: "log.example.org" is listed twice`) {
		t.Errorf("%v", err)
	}
}
