package blocklist

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Query says which blocks to find.
type Query struct {
	// Within finds the blocks that overlap it; the zero Prefix finds all.
	Within netip.Prefix
	// Rule, Reason and Host match exactly; "" matches all.
	Rule, Reason, Host string
	// After leaves out this place in the list and what comes before it; the
	// zero Place begins.
	After Place
	// Limit is how many blocks are wanted, at least 1.
	Limit int
}

// Place is where a block stands in a list: newest first and, of equal age, in
// order of prefix. It stays right when blocks come and go.
type Place struct {
	At     time.Time
	Prefix netip.Prefix
}

// numbers are the numbers of a query's names; 0 matches all.
type numbers struct{ rule, reason, host uint16 }

// namesOf returns false if no block has these names.
func (l *List) namesOf(q Query) (n numbers, known bool) {
	var ok [3]bool
	n.rule, ok[0] = l.numberOf[q.Rule]
	n.reason, ok[1] = l.numberOf[q.Reason]
	n.host, ok[2] = l.numberOf[q.Host]
	return n, ok[0] && ok[1] && ok[2]
}

func (n numbers) match(e *Entry) bool {
	return (n.rule == 0 || n.rule == e.rule) && (n.reason == 0 || n.reason == e.reason) && (n.host == 0 || n.host == e.host)
}

// hit is a block that matches.
type hit struct {
	at   int64
	key  key
	slot uint32
	id   uint64
}

// compare orders newest first and then by prefix.
func (h *hit) compare(o *hit) int {
	return cmp.Or(cmp.Compare(o.at, h.at), bytes.Compare(h.key[:], o.key[:]))
}

// Search keeps the first of the hits that it is offered.
type Search struct {
	query     Query
	high, low uint64 // the address to overlap
	bits      uint8
	ipv6      bool // IPv4 addresses are not in ::/0, though their keys are
	after     hit  // what is not behind it is left out
	last      hit  // what is behind it is too far back, once full
	full      bool
	hits      []hit
	matching  int
}

// NewSearch begins a search: LookIn goes through the list chunk by chunk, so that
// whoever locks it can let others in between.
func NewSearch(q Query) *Search {
	f := &Search{query: q, after: hit{at: math.MaxInt64}}
	if p, ok := Canonical(q.Within); ok {
		k := keyOf(p)
		f.high, f.low, f.bits = binary.BigEndian.Uint64(k[:8]), binary.BigEndian.Uint64(k[8:16]), k[16]
		f.ipv6 = p.Addr().Is6()
	}
	if p, ok := Canonical(q.After.Prefix); ok {
		f.after = hit{at: q.After.At.UnixNano(), key: keyOf(p)}
	}
	return f
}

// overlaps says whether a block overlaps what is looked for: whether they are
// equal as far as the shorter goes.
func (f *Search) overlaps(k *key) bool {
	if f.ipv6 && f.bits < mappedBits && isIPv4(k) {
		return false
	}
	common := min(f.bits, k[16])
	if common == 0 {
		return true
	}
	high := (binary.BigEndian.Uint64(k[:8]) ^ f.high) >> (64 - min(common, 64))
	if common <= 64 || high != 0 {
		return high == 0
	}
	return (binary.BigEndian.Uint64(k[8:16])^f.low)>>(128-common) == 0
}

// isIPv4 tells IPv4 addresses, which keys hold as IPv4-mapped.
func isIPv4(k *key) bool {
	return binary.BigEndian.Uint64(k[:8]) == 0 && binary.BigEndian.Uint32(k[8:12]) == 0xffff && k[16] >= mappedBits
}

func (f *Search) offer(h hit) {
	if h.compare(&f.after) <= 0 || f.full && h.compare(&f.last) >= 0 {
		return
	}
	if f.hits = append(f.hits, h); len(f.hits) >= 2*f.query.Limit+64 {
		f.prune()
	}
}

// prune keeps no more than are wanted.
func (f *Search) prune() {
	slices.SortFunc(f.hits, func(a, b hit) int { return a.compare(&b) })
	if len(f.hits) < f.query.Limit {
		return
	}
	f.hits = f.hits[:f.query.Limit]
	f.last, f.full = f.hits[len(f.hits)-1], true
}

// Chunks is how many parts of the list there are to look through; the newest
// blocks are rather in the last.
func (l *List) Chunks() int { return len(l.chunks) }

// LookIn looks through one chunk of the list.
func (f *Search) LookIn(l *List, chunk int, now int64) {
	names, known := l.namesOf(f.query)
	if !known {
		return
	}
	for i := len(l.chunks[chunk]) - 1; i >= 0; i-- {
		entry := &l.chunks[chunk][i]
		if entry.flags&flagUsed == 0 || entry.until <= now || !names.match(entry) || !f.overlaps(&entry.key) {
			continue
		}
		f.matching++
		f.offer(hit{entry.at, entry.key, uint32(chunk*chunkSize + i), entry.id})
	}
}

// Found returns the first of the blocks that match, as far as they have not gone
// since, and how many match in all.
func (f *Search) Found(l *List) (blocks []Block, matching int) {
	f.prune()
	blocks = make([]Block, 0, len(f.hits))
	for _, h := range f.hits {
		if entry := l.At(h.slot); entry.flags&flagUsed != 0 && entry.id == h.id {
			blocks = append(blocks, l.BlockAt(h.slot))
		}
	}
	return blocks, f.matching
}
