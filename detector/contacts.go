package detector

// contacts are the sources with accepted mail that a host has heard of, by hash.
// They are counted by the second in which they were heard of last, so that those
// of a window are known, and those before it forgotten, without a look at each.
type contacts struct {
	byHash map[uint64]contact // with some that are forgotten
	// count is how many are not forgotten, refused the last word of how many of
	// them was a refusal.
	count, refused int
	latest         uint32 // newest second of the host's own lines
	forgotten      uint32 // all that were heard of last in this second or before
	inWindow       [breakerWindow]secondCount
	before         secondCount
}

// secondCount counts the contacts that were heard of last in a second, and those
// of them whose last word was a refusal.
type secondCount struct{ heard, refused uint16 }

// contact is when a source was last accepted and refused by a host, and when
// first since it was accepted last.
type contact struct{ accepted, refused, first uint32 }

func (c *contact) accept(second uint32) {
	c.accepted = max(c.accepted, second)
	if c.refused == c.accepted {
		c.refused-- // of two in a second the later one counts
	}
}

func (c *contact) refuse(second uint32) {
	if c.refusals() == 0 {
		c.first = second
	}
	c.refused = max(c.refused, second)
}

// refusals is 1 if the last word was a refusal, else 0.
func (c contact) refusals() int {
	if c.refused > 0 && c.refused >= c.accepted {
		return 1
	}
	return 0
}

// heard is the second of the last word.
func (c contact) heard() uint32 { return max(c.accepted, c.refused) }

// change notes what became of mail of a source.
func (s *contacts) change(key uint64, second uint32, change func(*contact, uint32)) {
	s.advance(second)
	if s.latest-second >= breakerWindow {
		return // a late line: its window is over
	}
	c, known := s.byHash[key]
	if known = known && c.heard() > s.forgotten; !known {
		c = contact{}
	}
	if !known && s.count >= maxContacts {
		s.prune()
		if s.count >= maxContacts {
			return
		}
	}
	if s.byHash == nil {
		s.byHash = map[uint64]contact{}
	}
	if known {
		s.tally(c, -1)
	}
	change(&c, second)
	s.tally(c, 1)
	s.byHash[key] = c
	if len(s.byHash) > 2*(s.count+fewContacts) {
		s.sweep()
	}
}

// tally counts a contact, or one less with n of -1.
func (s *contacts) tally(c contact, n int) {
	s.count += n
	s.refused += n * c.refusals()
	at := &s.before
	if s.latest-c.heard() < breakerWindow {
		at = &s.inWindow[c.heard()%breakerWindow]
	}
	at.heard += uint16(n)
	at.refused += uint16(n * c.refusals())
}

// advance goes on to a second: those before its window are no longer in it.
func (s *contacts) advance(second uint32) {
	if second <= s.latest {
		return
	}
	for range min(second-s.latest, breakerWindow) {
		s.latest++
		at := &s.inWindow[s.latest%breakerWindow]
		s.before.heard += at.heard
		s.before.refused += at.refused
		*at = secondCount{}
	}
	s.latest = second
}

// prune forgets contacts that are older than the window.
func (s *contacts) prune() {
	s.count -= int(s.before.heard)
	s.refused -= int(s.before.refused)
	s.before = secondCount{}
	s.forgotten = s.latest - min(s.latest, breakerWindow)
}

// forget forgets one contact.
func (s *contacts) forget(key uint64, c contact) {
	s.tally(c, -1)
	delete(s.byHash, key)
}

// sweep takes the forgotten out of the map.
func (s *contacts) sweep() {
	for key, c := range s.byHash {
		if c.heard() <= s.forgotten {
			delete(s.byHash, key)
		}
	}
}

// all returns the contacts that are not forgotten, by hash.
func (s *contacts) all() map[uint64]contact {
	if len(s.byHash) != s.count {
		s.sweep()
	}
	return s.byHash
}
