package enforcer

import (
	"net/netip"
	"time"

	"uppercut/enforcer/nft"
)

// State is a view of the firewall for people.
type State struct {
	Table     string `json:"table"`
	Observe   bool   `json:"observe"`
	Suspended bool   `json:"suspended"`
	// Since is when an operator suspended it, zero while nobody has.
	Since time.Time `json:"since,omitzero"`
	// PausedUntil is when that ends by itself, zero if it does not.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	// Enforcing: table, sets and rules were there at the last look, and the
	// last write succeeded.
	Enforcing bool   `json:"enforcing"`
	Saving    bool   `json:"saving"` // blocks are saved to the ledger
	Scope     string `json:"scope"`
	Sets      []Set  `json:"sets"`
	// Dropped counts by family, "ipv4" and "ipv6".
	Dropped map[string]nft.Drops `json:"dropped"`
	// Drifts are the last differences that were found and repaired, Repairs is
	// how many repairs there were since the start.
	Drifts  []Drift `json:"drifts,omitempty"`
	Repairs uint64  `json:"repairs"`
	Around  Around  `json:"around"`
}

// Knocks asks the kernel what has been dropped of each of these blocks, which
// are addresses, since they began or were last extended: who still knocks. It
// needs Config.Counters.
func (e *Enforcer) Knocks(ps ...netip.Prefix) ([]nft.Drops, error) {
	if e.firewall == nil {
		return nil, ErrObserving
	}
	found, err := e.firewall.Ask(canonicals(ps))
	if err != nil {
		return nil, explain(err)
	}
	drops := make([]nft.Drops, len(found))
	for i, s := range found {
		drops[i] = s.Drops
	}
	return drops, nil
}

// Set is one of the kernel's sets.
type Set struct {
	Name     string `json:"name"`
	Elements int    `json:"elements"` // nft.Uncounted or nft.Absent where there is no number
	Listed   int    `json:"listed"`   // how many it should have
	Capacity int    `json:"capacity"`
}

// Absent reports whether the kernel has no such set.
func (s Set) Absent() bool { return s.Elements == nft.Absent }

// Show returns the state of the firewall. It costs as little as a scrape.
func (e *Enforcer) Show() State {
	elements, drops := e.elements(), e.drops()
	e.mu.RLock()
	defer e.mu.RUnlock()
	s := State{
		Table:     "inet " + nft.Table,
		Observe:   e.options.Observe,
		Suspended: e.suspended,
		Since:     e.since, PausedUntil: e.pausedUntil,
		Enforcing: e.firewall != nil && e.trouble == nil,
		Saving:    e.journal.ledger != nil && !e.journal.failed(),
		Scope:     e.config.Scope,
		Dropped:   map[string]nft.Drops{families[0]: drops[0], families[1]: drops[1]},
		Drifts:    e.drift,
		Repairs:   e.metrics.repaired(),
		Around:    e.around.current(),
	}
	for i, name := range nft.Sets {
		s.Sets = append(s.Sets, Set{name, elements[i], e.list.Load(i%firstNet, i >= firstNet), e.capacity(i)})
	}
	return s
}

// Around returns what goes past the rules, as of the last look.
func (e *Enforcer) Around() Around { return e.around.current() }

// Enforcing reports whether table, sets and rules were all there at the last
// look and the last write succeeded.
func (e *Enforcer) Enforcing() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.firewall != nil && e.trouble == nil
}

// setTrouble notes why the kernel does not enforce the list, nil if it does.
func (e *Enforcer) setTrouble(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trouble = err
}

// elements asks for the numbers of elements.
func (e *Enforcer) elements() [4]int {
	unknown := [4]int{nft.Uncounted, nft.Uncounted, nft.Uncounted, nft.Uncounted}
	if e.firewall == nil {
		return [4]int{nft.Absent, nft.Absent, nft.Absent, nft.Absent}
	}
	n, err := e.firewall.Elements()
	if err != nil {
		return unknown
	}
	return n
}

func (e *Enforcer) capacity(i int) int {
	if i < 2 {
		return e.config.MaxAddresses
	}
	return e.config.MaxNetworks
}

// drops reads the counters; what they said last if the kernel does not answer.
func (e *Enforcer) drops() [2]nft.Drops {
	if e.firewall == nil {
		return [2]nft.Drops{}
	}
	d, err := e.firewall.Drops()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.lastDrops = d
	}
	return e.lastDrops
}

// active are the numbers of blocks by family and kind.
func (e *Enforcer) active() [2][2]int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.list.Active()
}
