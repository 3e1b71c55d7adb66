package receiver

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newHosts(t *testing.T, hosts ...HostConfig) *Hosts {
	t.Helper()
	c := DefaultConfig()
	c.Hosts = hosts
	c.Relays = []string{"203.0.113.25"}
	h, err := NewHosts(c, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHostLabels(t *testing.T) {
	h := newHosts(t,
		HostConfig{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}, HostConfig{Name: "mx3.example.org"})
	for _, test := range []struct{ sender, host, want string }{
		{"198.51.100.1", "mx9", "mx9"}, // by its lines
		{"198.51.100.1", "mx9.example.org", "mx9.example.org"},
		{"192.0.2.1", "whatever", "mx1"},              // by its address
		{"mx3.example.org", "mx3", "mx3.example.org"}, // by its certificate
		{"mx4.example.org", "mx4", "mx4.example.org"}, // the same, not configured
		{"unix", "gateway", "gateway"},                // of this host
		{"unix", "mx1", "mx1"},                        // what this host passes on
		{"198.51.100.1", "mx1", otherHost},            // who speaks for a host that is elsewhere
		{"198.51.100.1", "192.0.2.1", otherHost},      // the same, by its address
		{"198.51.100.1", "[192.0.2.1]", otherHost},
		{"2001:db8::1", "mx1", otherHost},
		{"203.0.113.25", "mx1", "mx1"},                         // a relay
		{"198.51.100.1", "mx3.example.org", "mx3.example.org"}, // it has no addresses
		{"198.51.100.1", "", otherHost},
		{"198.51.100.1", "203.0.113.9", otherHost},
		{"198.51.100.1", "2001:db8::1", otherHost},
		{"198.51.100.1", "a b", otherHost},
		{"198.51.100.1", "x\n", otherHost},
	} {
		if got := h.Label(test.sender, test.host); got != test.want {
			t.Errorf("label of %q at %q is %q, want %q", test.host, test.sender, got, test.want)
		}
	}
}

// TestHostLabelsAreBounded: who sends by UDP can invent names; labels stay
// bounded, and it is counted.
func TestHostLabelsAreBounded(t *testing.T) {
	h := newHosts(t, HostConfig{Name: "mx1"})
	for n := range maxHosts + 10 {
		h.Label("10.0.0.1", fmt.Sprintf("host%d", n))
	}
	if got := h.Label("mx5.example.org", "mx5"); got != "mx5.example.org" {
		t.Errorf("who shows a certificate has the label %q", got)
	}
	for host, want := range map[string]string{"host0": "host0", "host9999": otherHost, "mx1": "mx1"} {
		if got := h.Label("10.0.0.1", host); got != want {
			t.Errorf("label of %q is %q, want %q", host, got, want)
		}
	}
	if got := testutil.ToFloat64(h.overflow); got != 11 {
		t.Errorf("%v observations folded, want 11", got)
	}
}

// TestHostLabelsAtOnce: a name that many see first at once takes one place.
func TestHostLabelsAtOnce(t *testing.T) {
	h := newHosts(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range maxHosts {
				h.Label("10.0.0.1", fmt.Sprintf("host%d", n))
			}
		})
	}
	all.Wait()
	if got := testutil.ToFloat64(h.overflow); got != 0 || h.claimed != maxHosts {
		t.Errorf("%v observations folded, %d names", got, h.claimed)
	}
}
