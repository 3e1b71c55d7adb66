package enforcer

import (
	"time"

	"uppercut/enforcer/blocklist"
)

// Find returns the first blocks that match, without evidence, and how many match
// in all. It looks at every block, at some nanoseconds each, and holds no lock
// for longer than a few thousand of them take: blocks that come or go meanwhile
// may be found or not.
func (e *Enforcer) Find(q Query) (found []Block, matching int) {
	s := blocklist.NewSearch(q)
	for chunk := e.chunks() - 1; chunk >= 0; chunk-- { // the newest are rather behind
		e.lookIn(s, chunk)
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	return s.Found(e.list)
}

func (e *Enforcer) chunks() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.list.Chunks()
}

func (e *Enforcer) lookIn(s *blocklist.Search, chunk int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	s.LookIn(e.list, chunk, time.Now().UnixNano())
}
