package appliance

import (
	"iter"
	"net/netip"
	"time"

	"uppercut/cmd/uppercut/feed"
	"uppercut/enforcer"
)

// feedSource is the block list as the feed wants it.
type feedSource struct {
	appliance *Appliance
	position  uint64 // of the list when it was asked last; of the goroutine that asks
}

// Blocked implements feed.Source.
func (s *feedSource) Blocked() iter.Seq[feed.Entry] {
	return func(yield func(feed.Entry) bool) {
		for b := range s.appliance.enforcer.Dropped() {
			if !yield(entryOf(b)) {
				return
			}
		}
	}
}

// Changed implements feed.Source.
func (s *feedSource) Changed() bool {
	was := s.position
	s.position, _ = s.appliance.enforcer.Position()
	return s.position != was
}

// Ended implements feed.Source: what somebody or something ended before its time,
// as far as the history goes back.
func (s *feedSource) Ended() iter.Seq[feed.Entry] {
	return func(yield func(feed.Entry) bool) {
		now := time.Now()
		for _, everybody := range []string{"0.0.0.0/0", "::/0"} {
			for u, err := range s.appliance.enforcer.HistoryOf(netip.MustParsePrefix(everybody)) {
				if err != nil {
					s.appliance.logger.Warn("the feed cannot tell clients of blocks that ended before the start", "error", err)
					return
				}
				if !u.Ended.IsZero() && u.Until.After(now) && !yield(entryOf(u.Block)) {
					return
				}
			}
		}
	}
}

// Seen implements feed.Source.
func (s *feedSource) Seen(e feed.Entry) []netip.Addr {
	b, err := s.appliance.enforcer.WithEvidence(enforcer.Block{ID: e.ID})
	if err != nil {
		s.appliance.logger.Warn("the feed cannot read the log lines behind a block", "prefix", e.Prefix, "error", err)
		return nil
	}
	texts := make([]string, len(b.Evidence))
	for i, line := range b.Evidence {
		texts[i] = line.Text
	}
	return feed.AddressesIn(e.Prefix, texts)
}

func entryOf(b enforcer.Block) feed.Entry {
	e := feed.Entry{ID: b.ID, Prefix: b.Prefix, Until: b.Until, Rule: b.Rule}
	if b.Permanent() {
		e.Until = time.Time{}
	}
	return e
}
