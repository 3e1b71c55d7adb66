package feed

import (
	"iter"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Entry is one thing that does not come through: an address or a network, and
// until when.
type Entry struct {
	ID     uint64
	Prefix netip.Prefix // canonical
	Until  time.Time    // zero: for ever
	Rule   string
}

// mirror is a copy of what is blocked, with its last changes. It is safe for
// concurrent use; one goroutine writes it.
type mirror struct {
	// seen returns the addresses in an IPv6 network that are behind its block; it
	// is called without a lock. nil: nobody asks for them.
	seen func(e Entry) []netip.Addr

	marks []uint64 // by slot: the last replace that named it; of the writer alone
	round uint64   // of replace

	mu      sync.RWMutex
	records []record // removed ones are empty
	free    []uint32
	index   map[netip.Prefix]uint32
	lengths [2][129]int // entries of each length: of IPv4, of IPv6
	log     []change    // the last changes; the newest has the number position
	// position is the number of the last change.
	position uint64
	// gone are those that were removed lately, and until when that is told to
	// clients of whom it is not known what they have.
	gone map[netip.Prefix]departed
}

// record is an entry as it is kept.
type record struct {
	prefix netip.Prefix // the zero value: unused
	until  int64        // Unix nanoseconds; math.MaxInt64: for ever
	id     uint64
	rule   string
	addrs  []netip.Addr // of an IPv6 network, those that were seen
}

// change is one step of the list.
type change struct {
	prefix netip.Prefix
	// before is what clients may have of it, nil for what is new.
	before *record
}

// departed is an entry that is no more.
type departed struct {
	record
	kept int64 // Unix nanoseconds until which it is told
}

// Bounds of what is kept.
const (
	maxLog      = 1 << 16
	maxGone     = 1 << 17
	goneFor     = time.Hour
	foreverGone = 30 * 24 * time.Hour // of a block without end
)

func newMirror() *mirror {
	return &mirror{index: map[netip.Prefix]uint32{}, gone: map[netip.Prefix]departed{}}
}

func (m *mirror) recordOf(e Entry) record {
	r := record{prefix: e.Prefix, until: math.MaxInt64, id: e.ID, rule: e.Rule}
	if !e.Until.IsZero() {
		r.until = e.Until.UnixNano()
	}
	if m.seen != nil && isNetwork6(e.Prefix) {
		r.addrs = m.seen(e)
	}
	return r
}

func isNetwork6(p netip.Prefix) bool { return p.Addr().Is6() && !p.IsSingleIP() }

// put adds or changes an entry, and marks it. What the one goroutine that writes
// reads itself needs no lock.
func (m *mirror) put(e Entry) {
	slot, known := m.index[e.Prefix]
	if known && m.records[slot].id == e.ID && m.records[slot].same(e) {
		m.marks[slot] = m.round
		return
	}
	fresh := m.recordOf(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !known {
		slot = m.take(e.Prefix)
		m.records[slot], m.marks[slot] = fresh, m.round
		var before *record
		if d, was := m.gone[e.Prefix]; was {
			before = &d.record // it may still be there, with an end of its own
			delete(m.gone, e.Prefix)
		}
		m.note(change{e.Prefix, before})
		return
	}
	old := m.records[slot]
	m.records[slot], m.marks[slot] = fresh, m.round
	m.note(change{e.Prefix, &old})
}

// same reports whether the entry's end is still what it was.
func (r *record) same(e Entry) bool {
	if e.Until.IsZero() {
		return r.until == math.MaxInt64
	}
	return r.until == e.Until.UnixNano()
}

// remove takes an entry out. Clients are told until they would have let it go by
// themselves, and for an hour at least.
func (m *mirror) remove(p netip.Prefix, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, known := m.index[p]
	if !known {
		return
	}
	old := m.records[slot]
	m.records[slot] = record{}
	m.free = append(m.free, slot)
	delete(m.index, p)
	m.lengths[family(p)][p.Bits()]--
	m.depart(old, now)
	m.note(change{p, &old})
}

// depart keeps in mind that an entry is no more. What has no room is forgotten.
func (m *mirror) depart(r record, now time.Time) {
	kept := max(r.until, now.Add(goneFor).UnixNano())
	if r.until == math.MaxInt64 {
		kept = now.Add(foreverGone).UnixNano()
	}
	if len(m.gone) < maxGone {
		m.gone[r.prefix] = departed{r, kept}
	}
}

// departedBefore keeps in mind a block that had ended when the feed began.
func (m *mirror) departedBefore(e Entry, now time.Time) {
	r := m.recordOf(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, blocked := m.index[e.Prefix]; !blocked {
		m.depart(r, now)
	}
}

func (m *mirror) take(p netip.Prefix) uint32 {
	m.lengths[family(p)][p.Bits()]++
	if n := len(m.free); n > 0 {
		slot := m.free[n-1]
		m.free = m.free[:n-1]
		m.index[p] = slot
		return slot
	}
	slot := uint32(len(m.records))
	m.records, m.marks = append(m.records, record{}), append(m.marks, 0)
	m.index[p] = slot
	return slot
}

func (m *mirror) note(c change) {
	m.position++
	m.log = append(m.log, c)
	if len(m.log) >= 2*maxLog {
		m.log = append(make([]change, 0, 2*maxLog), m.log[len(m.log)-maxLog:]...)
	}
}

// replace makes the mirror hold just these.
func (m *mirror) replace(entries iter.Seq[Entry], now time.Time) {
	m.round++
	for e := range entries {
		m.put(e)
	}
	for slot := range m.records {
		if p := m.records[slot].prefix; p.IsValid() && m.marks[slot] != m.round {
			m.remove(p, now)
		}
	}
}

// sweep takes out what has ended, and forgets what has ended long ago.
func (m *mirror) sweep(now time.Time) {
	for i := range m.records {
		if r := &m.records[i]; r.prefix.IsValid() && r.until <= now.UnixNano() {
			m.remove(r.prefix, now)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, d := range m.gone {
		if d.kept <= now.UnixNano() {
			delete(m.gone, p)
		}
	}
}

// find returns the entry of exactly p. The caller holds the lock.
func (m *mirror) find(p netip.Prefix) (record, bool) {
	slot, ok := m.index[p]
	if !ok {
		return record{}, false
	}
	return m.records[slot], true
}

func (m *mirror) len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.index)
}

// now returns the number of the last change.
func (m *mirror) now() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.position
}

// pageSize is how many entries are copied at a time.
const pageSize = 512

// all yields the entries. It holds no lock while yielding: what changes meanwhile
// may be in it or not.
func (m *mirror) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		page := make([]record, 0, pageSize)
		for from, more := 0, true; more; {
			page, from, more = m.page(page[:0], from)
			for i := range page {
				if !yield(&page[i]) {
					return
				}
			}
		}
	}
}

func (m *mirror) page(page []record, from int) ([]record, int, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for ; from < len(m.records); from++ {
		if len(page) == cap(page) {
			return page, from, true
		}
		if m.records[from].prefix.IsValid() {
			page = append(page, m.records[from])
		}
	}
	return page, from, false
}

// departures returns what is no more, as far as clients may still have it.
func (m *mirror) departures() []record {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]record, 0, len(m.gone))
	for _, d := range m.gone {
		out = append(out, d.record)
	}
	return out
}

// delta is what has changed for a client: first let go of these, then block
// those.
type delta struct{ gone, fresh []record }

// since returns what has changed after a position, and the new one; false if that
// is not known any more.
func (m *mirror) since(position uint64) (d delta, now uint64, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if position > m.position || m.position-position > uint64(min(len(m.log), maxLog)) {
		return delta{}, m.position, false
	}
	seen := map[netip.Prefix]struct{}{}
	for _, c := range m.log[len(m.log)-int(m.position-position):] {
		if c.before != nil {
			d.gone = append(d.gone, *c.before) // what the client has is one of those that were
		}
		if _, twice := seen[c.prefix]; twice {
			continue
		}
		seen[c.prefix] = struct{}{}
		if r, blocked := m.find(c.prefix); blocked {
			d.fresh = append(d.fresh, r)
		}
	}
	return d, m.position, true
}

// covering yields the entries that a network lies in, or is, narrowest first.
func (m *mirror) covering(p netip.Prefix) (found []record) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for bits := p.Bits(); bits >= 0; bits-- {
		if m.lengths[family(p)][bits] == 0 {
			continue
		}
		if r, ok := m.find(netip.PrefixFrom(p.Addr(), bits).Masked()); ok {
			found = append(found, r)
		}
	}
	return found
}

func family(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 1
	}
	return 0
}
