package receiver

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// relays are the senders that pass on the lines of other hosts.
type relays struct {
	networks bart.Lite
	names    map[string]bool // of certificates; and unix
}

func newRelays(list []string) *relays {
	r := &relays{names: map[string]bool{}}
	for _, entry := range list {
		if network, ok := networkOf(entry); ok {
			r.networks.Insert(network)
		} else {
			r.names[entry] = true
		}
	}
	return r
}

// networkOf reads an address or a network, without host bits and in canonical
// form; false if entry is neither.
func networkOf(entry string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	network, err := netip.ParsePrefix(entry)
	return network, err == nil && network == network.Masked() && !network.Addr().Is4In6()
}

func validateRelays(list []string, hosts []HostConfig) error {
	var errs []error
	seen := make(map[string]bool, len(list))
	for i, entry := range list {
		network, isNetwork := networkOf(entry)
		switch {
		case !isNetwork && !isHostName(entry):
			errs = append(errs, fmt.Errorf("relays[%d]: %q is not an address, a network or a certificate name", i, entry))
		case seen[entry]:
			errs = append(errs, fmt.Errorf("relays[%d]: %q is listed twice", i, entry))
		case isNetwork:
			errs = append(errs, notOfHosts(i, network, hosts))
		}
		seen[entry] = true
	}
	return errors.Join(errs...)
}

// notOfHosts refuses a relay all of whose addresses are said to be those of one
// mail host. A host within the network of a relay is that host.
func notOfHosts(i int, relay netip.Prefix, hosts []HostConfig) error {
	for n, h := range hosts {
		for m, network := range h.Addresses {
			if network.Bits() <= relay.Bits() && network.Contains(relay.Addr()) {
				return fmt.Errorf("relays[%d]: %s is in hosts[%d].addresses[%d]: it is either a relay or sends only for %s", i, relay, n, m, h.Name)
			}
		}
	}
	return nil
}
