package nft

import "sync"

// tally keeps the totals of what was dropped. The kernel's counters alone lose
// them: whoever flushes the ruleset removes the counters, and `nft reset
// counters` sets them to 0, which the kernel announces to nobody.
type tally struct {
	mu   sync.Mutex
	seen [2]Drops // what the counters said last
	lost [2]Drops // what they said before they were removed or reset
	// writes counts how often the counters were made anew. What they say
	// meanwhile cannot be told from a reset.
	writes  int
	writing bool
}

// begin returns what saw takes: it is called before the counters are read.
func (t *tally) begin() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes
}

// saw takes what the counters said and returns the totals.
func (t *tally) saw(begun int, counters [2]Drops) [2]Drops {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.writing && begun == t.writes {
		t.note(counters)
	}
	return t.totals()
}

func (t *tally) note(counters [2]Drops) {
	for i, d := range counters {
		if d.Packets < t.seen[i].Packets || d.Bytes < t.seen[i].Bytes {
			t.lost[i] = t.lost[i].plus(t.seen[i])
		}
		t.seen[i] = d
	}
}

func (t *tally) totals() (sums [2]Drops) {
	for i := range sums {
		sums[i] = t.lost[i].plus(t.seen[i])
	}
	return sums
}

// beginWrite takes what the counters say before they are made anew and returns
// where they should start: at the totals.
func (t *tally) beginWrite(counters [2]Drops) [2]Drops {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = true
	t.note(counters)
	return t.totals()
}

// endWrite says whether the counters were made anew.
func (t *tally) endWrite(done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = false
	t.writes++
	if done {
		t.seen, t.lost = t.totals(), [2]Drops{}
	}
}

func (d Drops) plus(o Drops) Drops { return Drops{d.Packets + o.Packets, d.Bytes + o.Bytes} }
