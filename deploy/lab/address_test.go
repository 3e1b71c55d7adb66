package lab

import (
	"net/netip"
	"testing"
)

func TestLabelsHoldTheirAddress(t *testing.T) {
	for _, text := range []string{"198.18.0.7", "203.0.113.254", "2001:db8:bad:1::25", "::1"} {
		addr := netip.MustParseAddr(text)
		if got, ok := addressIn(labelOf(addr) + ".isp.example"); !ok || got != addr {
			t.Errorf("%s: label %q read as %v", text, labelOf(addr), got)
		}
	}
	for _, name := range []string{"", "lab.example", "host.example", "h1-2-3.example", "xyz.example"} {
		if addr, ok := addressIn(name); ok {
			t.Errorf("found %v in %q", addr, name)
		}
	}
}

func TestPoolStaysInItsNeighbourhood(t *testing.T) {
	for _, prefix := range []netip.Prefix{dialup, listed, dialup6} {
		p := pool{prefix: prefix}
		sources := map[netip.Prefix]bool{}
		for range 254 {
			addr := p.next()
			if !prefix.Contains(addr) {
				t.Fatalf("%v dealt %v", prefix, addr)
			}
			sources[sourceOf(addr)] = true
		}
		if len(sources) != 254 {
			t.Errorf("%v dealt %d different sources of 254", prefix, len(sources))
		}
		for range 1000 {
			if addr := p.next(); !prefix.Contains(addr) {
				t.Fatalf("%v dealt %v", prefix, addr)
			}
		}
	}
}

func TestReverseNames(t *testing.T) {
	for text, want := range map[string]string{
		"198.18.0.7":   "h198-18-0-7.isp.example",
		"198.19.0.7":   "",
		"203.0.113.9":  "h203-0-113-9.isp.example",
		"100.64.0.2":   "h100-64-0-2.good.example",
		"100.127.0.2":  "h100-127-0-2.banned.example",
		"198.51.100.2": "100.64.200.66.h198-51-100-2.evil.example",
		"2001:db8::1":  "",
	} {
		if got := reverseName(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is named %q, want %q", text, got, want)
		}
	}
}

func TestEveryoneLivesWhereThingsAreRouted(t *testing.T) {
	crowd := newNeighbourhoods().cast(Size{Guilty: 3, Petty: 2, Honest: 4})
	seen := map[netip.Addr]bool{}
	for _, client := range crowd {
		routed := false
		for _, public := range publicNetworks {
			routed = routed || public.Contains(client.Addr)
		}
		if !routed || seen[client.Addr] {
			t.Errorf("%s client %v: routed %v, dealt twice %v", client.Kind, client.Addr, routed, seen[client.Addr])
		}
		seen[client.Addr] = true
	}
}
