package enforcer

import (
	"net/netip"
	"time"

	"uppercut/enforcer/nft"
)

// InKernel asks the kernel, not our list, whether an element drops what comes
// from a: the set that holds it and the time that it has left, "" and 0 if none
// does. In a block around an allowed address only the address's own element is
// seen, not the pieces of the network.
func (e *Enforcer) InKernel(a netip.Addr) (set string, left time.Duration, err error) {
	if e.firewall == nil {
		return "", 0, nil
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = e.config.IPv6PrefixLength
	}
	candidates := []netip.Prefix{netip.PrefixFrom(a, bits).Masked(), netip.PrefixFrom(a, a.BitLen())}
	if b, ok := e.Lookup(a); ok {
		candidates = append(candidates, b.Prefix)
	}
	found, err := e.firewall.Ask(candidates)
	if err != nil {
		return "", 0, explain(err)
	}
	for i, s := range found {
		if s.Left > 0 {
			return nft.Sets[e.firewall.Config().SetIndex(candidates[i])], s.Left, nil
		}
	}
	return "", 0, nil
}
