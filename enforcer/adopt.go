package enforcer

import (
	"time"

	"uppercut/enforcer/nft"
)

// takeOver makes the kernel agree with the list at the start.
func (e *Enforcer) takeOver() error {
	if e.journal.ledger == nil || e.config.Foreign == ForeignAdopt {
		e.adoptAll()
	}
	e.tellLeftovers()
	return e.rebuild()
}

// tellLeftovers says how many elements the first write removes: blocks that a
// saved ruleset brought back at boot, that were lifted meanwhile, or that
// somebody else put there.
func (e *Enforcer) tellLeftovers() {
	layout, _, err := e.firewall.Check()
	if err != nil {
		return // the write says what is wrong
	}
	if n := e.survey(nft.Change{Lost: true}, layout.Elements).found["unexpected"]; n > 0 {
		e.logger.Warn("removed elements from our sets that are not on the block list; a saved ruleset may have restored them at boot", "elements", n)
	}
}

// adoptAll takes what is in our sets into the list.
func (e *Enforcer) adoptAll() {
	for _, set := range nft.Sets {
		elems, whole, err := e.firewall.List(set, adoptLimit)
		if err != nil {
			continue // no such set: nothing to adopt
		}
		if !whole {
			e.tooLargeToAdopt(set)
		}
		e.adopt(elems)
	}
}

// adopt makes blocks by hand of elements that the list does not know.
func (e *Enforcer) adopt(elems []nft.Element) {
	now := time.Now()
	for _, el := range elems {
		if _, cause := e.exemption(el.Prefix); cause != "" || e.list.Want(el.Prefix) > 0 {
			continue
		}
		b := Block{
			Prefix: el.Prefix, At: now, Until: now.Add(el.Timeout),
			Rule: Manual, Author: "nft", Note: "found in the kernel",
		}
		if el.Timeout == nft.Forever {
			b.Until = Forever
		}
		e.mu.Lock()
		e.lastID++
		b.ID = e.lastID
		e.insert(&b)
		family, _ := e.list.Class(b.Prefix)
		e.mu.Unlock()
		e.journal.put(b)
		e.metrics.blocks.WithLabelValues(Manual, families[family]).Inc()
	}
}
