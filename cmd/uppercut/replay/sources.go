package replay

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// sourceTable holds what clients did, by their address: a map of netip.Addr takes
// thrice the time, and every event looks into it.
type sourceTable struct {
	pages [][]sourceTotal
	count int
	// slots is an open-addressing index, at most half full.
	slots   []sourceSlot
	seed    [2]uint64
	fetched sourceSlot // what lookUp has read, so that the compiler lets it
}

// sourceSlot is the upper half of a hash above one more than the number of a
// source; 0 is empty.
type sourceSlot uint64

const (
	sourcePageBits = 8
	sourcePageSize = 1 << sourcePageBits
)

func newSourceTable() *sourceTable {
	return &sourceTable{slots: make([]sourceSlot, 1024), seed: [2]uint64{rand.Uint64(), rand.Uint64()}}
}

func (t *sourceTable) at(number int) *sourceTotal {
	return &t.pages[number>>sourcePageBits][number&(sourcePageSize-1)]
}

// hash is keyed, for clients choose their addresses.
func (t *sourceTable) hash(a netip.Addr) uint64 {
	b := a.As16()
	high, low := bits.Mul64(binary.LittleEndian.Uint64(b[:])^t.seed[0], 0x9e3779b97f4a7c15)
	high, low = bits.Mul64(binary.LittleEndian.Uint64(b[8:])^t.seed[1]^high^low, 0xd6e8feb86659fd93)
	return high ^ low
}

// of returns what is known of a client, which is new if it was not seen before.
// It is valid for good.
func (t *sourceTable) of(a netip.Addr) *sourceTotal { return t.hashed(a, t.hash(a)) }

// lookUp finds the sources of a page of happenings. The processor has to wait for
// most slots, and for most sources behind them: here it waits for many at once.
func (t *sourceTable) lookUp(page []happening) {
	var hashes [pageSize]uint64
	for i := range page {
		hashes[i] = t.hash(page[i].addr)
		t.fetched += t.slots[int(hashes[i]>>32)&(len(t.slots)-1)]
	}
	for i := range page {
		page[i].source = t.hashed(page[i].addr, hashes[i])
	}
}

// hashed is of for who has the hash.
func (t *sourceTable) hashed(a netip.Addr, hash uint64) *sourceTotal {
	mask := len(t.slots) - 1
	i := int(hash>>32) & mask
	for ; t.slots[i] != 0; i = (i + 1) & mask {
		if uint64(t.slots[i])>>32 != hash>>32 {
			continue
		}
		if s := t.at(int(uint32(t.slots[i])) - 1); s.Addr == a {
			return s
		}
	}
	if t.count>>sourcePageBits == len(t.pages) {
		t.pages = append(t.pages, make([]sourceTotal, sourcePageSize))
	}
	s := t.at(t.count)
	s.Addr = a
	t.count++
	t.slots[i] = sourceSlot(hash>>32<<32 | uint64(t.count))
	if 2*t.count > len(t.slots) {
		t.grow()
	}
	return s
}

func (t *sourceTable) grow() {
	old := t.slots
	t.slots = make([]sourceSlot, 2*len(old))
	mask := len(t.slots) - 1
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := int(slot>>32) & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = slot
	}
}

// all yields every client, in the order in which they were first seen.
func (t *sourceTable) all() iter.Seq[*sourceTotal] {
	return func(yield func(*sourceTotal) bool) {
		for number := range t.count {
			if !yield(t.at(number)) {
				return
			}
		}
	}
}
