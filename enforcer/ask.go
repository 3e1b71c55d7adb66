package enforcer

import (
	"net/netip"
	"time"

	"uppercut/enforcer/nft"
)

// InKernel asks the kernel, not our list, whether an element drops what comes
// from a: the set that holds it and the time that it has left, "" and 0 if none
// does. Of networks it asks for the one that the list would have there.
func (e *Enforcer) InKernel(a netip.Addr) (set string, left time.Duration, err error) {
	if e.firewall == nil || !a.IsValid() {
		return "", 0, nil
	}
	candidates := e.candidates(a)
	found, err := e.firewall.Ask(candidates)
	if err != nil {
		return "", 0, explain(err)
	}
	for i, s := range found {
		if s.Left > 0 {
			return nft.Sets[e.firewall.Config().SetIndex(candidates[i])], s.Left, nil
		}
	}
	if e.config.Extend == 0 {
		return "", 0, nil
	}
	knocks, err := e.firewall.AskKnocks(candidates[:1])
	if err != nil {
		return "", 0, explain(err)
	}
	if knocks[0].Left == 0 {
		return "", 0, nil
	}
	return [...]string{nft.Knock4, nft.Knock6}[e.firewall.Config().SetIndex(candidates[0])], knocks[0].Left, nil
}

// candidates are the elements that could drop what comes from a: the key of the
// hash set first.
func (e *Enforcer) candidates(a netip.Addr) []netip.Prefix {
	a = a.Unmap().WithZone("")
	single := netip.PrefixFrom(a, a.BitLen())
	hashed := single
	if a.Is6() {
		hashed = netip.PrefixFrom(a, e.config.IPv6PrefixLength).Masked()
	}
	candidates := []netip.Prefix{hashed, single}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if piece, ok := e.list.PieceAround(single); ok {
		candidates = append(candidates, piece)
	}
	return candidates
}
