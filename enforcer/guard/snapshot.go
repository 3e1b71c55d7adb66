package guard

import (
	"iter"
	"net/netip"
	"slices"

	"uppercut/enforcer/prefix"

	"github.com/gaissmai/bart"
)

// The causes of an exemption. They are metric labels and are never renamed.
const (
	CauseTooWide    = "too_wide"    // shorter than the limit, or no prefix at all
	CauseOwnAddress = "own_address" // an address of the gateway
	CauseNextHop    = "next_hop"    // a router of the gateway's routes
	CauseResolver   = "resolver"    // the gateway's DNS
	CauseSender     = "sender"      // a mail host that logs to us
	CauseSSHPeer    = "ssh_peer"    // connected to the gateway's sshd
	CauseAllowlist  = "allowlist"   // the operator says so
	CauseReserved   = "reserved"    // nobody on the Internet
)

// Causes returns every cause that Exempt may give, for metrics that start at 0.
func Causes() []string {
	return []string{
		CauseTooWide, CauseOwnAddress, CauseNextHop, CauseResolver,
		CauseSender, CauseSSHPeer, CauseAllowlist, CauseReserved,
	}
}

// layer is one kind of exemption with one writer. Exempt asks the layers in
// this order and the first that knows the prefix names the cause.
type layer int

const (
	ownAddresses layer = iota
	nextHops
	resolvers
	listedSenders
	connectedSenders
	sshPeers
	allowConfigured
	allowFiles
	allowNames
	allowTimed
	reservedRanges
	layerCount
)

var layerCauses = [layerCount]string{
	ownAddresses:     CauseOwnAddress,
	nextHops:         CauseNextHop,
	resolvers:        CauseResolver,
	listedSenders:    CauseSender,
	connectedSenders: CauseSender,
	sshPeers:         CauseSSHPeer,
	allowConfigured:  CauseAllowlist,
	allowFiles:       CauseAllowlist,
	allowNames:       CauseAllowlist,
	allowTimed:       CauseAllowlist,
	reservedRanges:   CauseReserved,
}

func (l layer) cause() string { return layerCauses[l] }

// snapshot is what is exempt at one instant. Once published it is never changed.
type snapshot struct {
	minPrefix4, minPrefix6 int
	layers                 [layerCount]*bart.Lite
}

func newSnapshot() *snapshot {
	s := &snapshot{}
	for l := range s.layers {
		s.layers[l] = &bart.Lite{}
	}
	return s
}

// set makes ps all of layer l. Like add and remove it is for a copy that
// nobody else has seen yet; the tables are replaced, not changed.
func (s *snapshot) set(l layer, ps []netip.Prefix) {
	if t := tableOf(ps); !t.Equal(s.layers[l]) {
		s.layers[l] = t
	}
}

// add puts the canonical prefix p into layer l.
func (s *snapshot) add(l layer, p netip.Prefix) {
	if !s.layers[l].Get(p) {
		s.layers[l] = s.layers[l].InsertPersist(p)
	}
}

// remove takes the canonical prefix p out of layer l.
func (s *snapshot) remove(l layer, p netip.Prefix) {
	s.layers[l] = s.layers[l].DeletePersist(p)
}

// exempt returns why the canonical prefix p must not be blocked.
func (s *snapshot) exempt(p netip.Prefix) string {
	if s.tooWide(p) {
		return CauseTooWide
	}
	for l, t := range s.layers {
		if t.OverlapsPrefix(p) {
			return layer(l).cause()
		}
	}
	if v4, ok := translated(p); ok {
		return s.exempt(v4)
	}
	return ""
}

// nat64 is where IPv4 hosts appear to a mail host that has IPv6 alone (RFC
// 6052, section 2.1): the last 32 bits are the IPv4 address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// translated returns the IPv4 network behind the canonical prefix p: all of
// IPv4 if p is wider than the translator's.
func translated(p netip.Prefix) (netip.Prefix, bool) {
	if p.Addr().Is4() || !nat64.Overlaps(p) {
		return netip.Prefix{}, false
	}
	a := p.Addr().As16()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(a[12:])), max(p.Bits()-nat64.Bits(), 0)), true
}

func (s *snapshot) tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < s.minPrefix4
	}
	return p.Bits() < s.minPrefix6 // also -1, an invalid prefix
}

// holes returns what must be left out of a block of the canonical prefix p, or
// why not even that helps.
func (s *snapshot) holes(p netip.Prefix) (holes []netip.Prefix, cause string) {
	if s.tooWide(p) {
		return nil, CauseTooWide
	}
	var found bart.Lite
	for l, t := range s.layers {
		if !t.OverlapsPrefix(p) {
			continue
		}
		if cause := layer(l).cause(); cause != CauseAllowlist || t.LookupPrefix(p) {
			return nil, cause
		}
		for hole := range t.Subnets(p) {
			found.Insert(hole)
		}
	}
	if v4, ok := translated(p); ok {
		if cause := s.exempt(v4); cause != "" {
			return nil, cause
		}
	}
	return outermost(&found), ""
}

// outermost returns the prefixes of t that lie in no other, in order.
func outermost(t *bart.Lite) (ps []netip.Prefix) {
	for p := range t.AllSorted() {
		if n := len(ps); n == 0 || !ps[n-1].Overlaps(p) {
			ps = append(ps, p)
		}
	}
	return ps
}

// matches yields every entry that overlaps the canonical prefix p.
func (s *snapshot) matches(p netip.Prefix) iter.Seq2[layer, netip.Prefix] {
	return func(yield func(layer, netip.Prefix) bool) {
		for l, t := range s.layers {
			for _, e := range overlapping(t, p) {
				if !yield(layer(l), e) {
					return
				}
			}
		}
	}
}

// overlapping returns the entries of t that hold p, the narrowest first, then
// those inside p.
func overlapping(t *bart.Lite, p netip.Prefix) []netip.Prefix {
	es := slices.Collect(t.Supernets(p))
	for e := range t.Subnets(p) {
		if e != p {
			es = append(es, e)
		}
	}
	return es
}

// tableOf returns a table of ps, which it brings into canonical form.
func tableOf(ps []netip.Prefix) *bart.Lite {
	t := &bart.Lite{}
	for _, p := range ps {
		t.Insert(prefix.Canonical(p))
	}
	return t
}

// missingFrom returns the prefixes of t that old does not cover.
func missingFrom(old, t *bart.Lite) (ps []netip.Prefix) {
	for p := range t.All() {
		if !old.LookupPrefix(p) {
			ps = append(ps, p)
		}
	}
	return ps
}
