package detector

import (
	"encoding/binary"
	"net/netip"
)

// source is what is remembered of one client: 64 bytes, no pointers. Its first
// offence lives in it; more of them, and every favour, live in the slab.
type source struct {
	addr     [16]byte // of its prefix, IPv4 mapped into IPv6
	evidence uint32   // where its last line lies in the ring, 0 for nowhere
	until    uint32   // end of its last block, Unix time; 0 if it never had one
	seen     uint32   // its newest offence or favour, Unix time
	offences uint32   // blocks in the slab
	favours  uint32
	next     uint32 // neighbours in the list of its level, or of free sources
	prev     uint32
	first    [1]mark // the only offence, while there is but one

	offenceCount, offenceClass uint8
	favourCount, favourClass   uint8

	bits   uint8 // length of the prefix, of 128
	level  uint8
	blocks uint8 // blocks so far, for repeat offenders
	flags  uint8
}

const (
	inUse   = 1 << iota // not on the list of free sources
	refused             // its last verdict met an exemption
	waiting             // its verdict waits for the ceiling
	recent              // heard of since it got its place in the list
)

// sourceKey names a source.
type sourceKey struct {
	addr [16]byte // of its prefix, IPv4 mapped into IPv6
	bits uint8    // length of the prefix, of 128
	hash uint64   // of addr
}

// levels are lists of sources by guilt, the least guilty first.
const levels = 16

// table holds the sources: pages of them, an index by key in shards that grow
// one by one (no growth ever stops the stream for long), and a list for each
// level of guilt. Sources are named by their number; 0 is none.
type table struct {
	limit  int
	pages  [][]source
	free   uint32
	bound  uint32 // numbers from here on were never used
	count  int
	ipv4   int // how many of count
	shards [256]shard
	level  [levels]struct{ head, tail uint32 }
	slab   slab
	seed   [2]uint64
}

// shard is an open-addressing index.
type shard struct {
	slots []sourceSlot
	count int
}

// sourceSlot is the lower half of a hash above a source's number; 0 is empty.
// The half tells nearly always whether the source is the one, and where the slot
// would like to be, so that an index that grows leaves the sources alone: among
// millions each of them costs a read from memory.
type sourceSlot uint64

func newSourceSlot(hash uint64, number uint32) sourceSlot {
	return sourceSlot(hash<<32 | uint64(number))
}

func (s sourceSlot) number() uint32 { return uint32(s) }

// hash is the lower half of the hash.
func (s sourceSlot) hash() uint32 { return uint32(s >> 32) }

const (
	sourcePageBits = 13
	sourcePageSize = 1 << sourcePageBits
)

func newTable(limit int, seed [2]uint64) *table {
	t := &table{bound: 1, seed: seed}
	t.resize(limit)
	return t
}

// resize changes the limit. What is above it goes with the next new sources.
func (t *table) resize(limit int) {
	t.limit = limit
	t.slab.limit = max(len(t.slab.pages), limit*marksPerSource/slabPageSize+1)
}

// marksPerSource bounds the slab: with the source itself and its part of the
// index that makes 256 bytes.
const marksPerSource = 14

// at returns the source of a number.
func (t *table) at(number uint32) *source {
	return &t.pages[number>>sourcePageBits][number&(sourcePageSize-1)]
}

// hash is keyed, so that nobody can choose addresses that share a slot.
func (t *table) hash(addr *[16]byte) uint64 {
	high, low := binary.LittleEndian.Uint64(addr[:8]), binary.LittleEndian.Uint64(addr[8:])
	return mix(mix(high, t.seed[0]), mix(low, t.seed[1]))
}

// key returns the key of a prefix.
func (t *table) key(p netip.Prefix) sourceKey {
	addr := p.Addr().As16()
	return sourceKey{addr: addr, bits: uint8(128 - p.Addr().BitLen() + p.Bits()), hash: t.hash(&addr)}
}

// keyFor returns the key of the source that a client's address belongs to.
func (t *table) keyFor(addr netip.Addr, ipv6Bits int) sourceKey {
	masked, prefixBits := sourceAddr(addr, ipv6Bits)
	return sourceKey{addr: masked, bits: prefixBits, hash: t.hash(&masked)}
}

// find returns the number of the source with the key, 0 if there is none.
func (t *table) find(k *sourceKey) uint32 {
	s := &t.shards[k.hash>>56]
	if s.count == 0 {
		return 0
	}
	mask := uint32(len(s.slots) - 1)
	for i := uint32(k.hash) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		slot := s.slots[i]
		if slot.hash() != uint32(k.hash) {
			continue
		}
		if src := t.at(slot.number()); src.addr == k.addr && src.bits == k.bits {
			return slot.number()
		}
	}
	return 0
}

// add makes a source for a key that has none. The caller has made room.
func (t *table) add(k *sourceKey) uint32 {
	number := t.free
	if number != 0 {
		t.free = t.at(number).next
	} else {
		number = t.bound
		t.bound++
		if int(number>>sourcePageBits) == len(t.pages) {
			t.pages = append(t.pages, make([]source, sourcePageSize))
		}
	}
	*t.at(number) = source{addr: k.addr, bits: k.bits, flags: inUse}
	t.index(k.hash, number)
	t.link(number)
	t.count++
	if k.bits > 96 && isIPv4(&k.addr) {
		t.ipv4++
	}
	return number
}

// index enters a source into its shard.
func (t *table) index(hash uint64, number uint32) {
	s := &t.shards[hash>>56]
	if 4*(s.count+1) > 3*len(s.slots) {
		s.grow()
	}
	s.insert(newSourceSlot(hash, number))
	s.count++
}

func (s *shard) insert(slot sourceSlot) {
	mask := uint32(len(s.slots) - 1)
	i := slot.hash() & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = slot
}

func (s *shard) grow() {
	old := s.slots
	s.slots = make([]sourceSlot, max(8, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			s.insert(slot)
		}
	}
}

// remove forgets a source and all that it holds.
func (t *table) remove(number uint32) {
	src := t.at(number)
	t.unindex(number)
	t.unlink(number)
	t.clear(src)
	t.count--
	if src.bits > 96 && isIPv4(&src.addr) {
		t.ipv4--
	}
	*src = source{next: t.free}
	t.free = number
}

// unindex takes a source out of its shard and closes the gap, so that every
// other source is still reached from its home slot.
func (t *table) unindex(number uint32) {
	h := t.hash(&t.at(number).addr)
	s := &t.shards[h>>56]
	mask := uint32(len(s.slots) - 1)
	gap := uint32(h) & mask
	for s.slots[gap].number() != number {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if home := s.slots[i].hash() & mask; (i-home)&mask >= (i-gap)&mask {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = 0
	s.count--
}

// link puts a source at the end of its level's list.
func (t *table) link(number uint32) {
	src := t.at(number)
	l := &t.level[src.level]
	src.prev, src.next = l.tail, 0
	if l.tail != 0 {
		t.at(l.tail).next = number
	} else {
		l.head = number
	}
	l.tail = number
}

func (t *table) unlink(number uint32) {
	src := t.at(number)
	l := &t.level[src.level]
	if src.prev != 0 {
		t.at(src.prev).next = src.next
	} else {
		l.head = src.next
	}
	if src.next != 0 {
		t.at(src.next).prev = src.prev
	} else {
		l.tail = src.prev
	}
}

// touch notes that something was heard of a source. It moves to another list
// when its level changes; within one it keeps its place and gets a second
// chance there, which leaves its neighbours out of the processor's cache.
func (t *table) touch(number uint32, level uint8) {
	src := t.at(number)
	if src.level == level {
		src.flags |= recent
		return
	}
	t.move(number, level)
}

// move puts a source at the end of the list of a level.
func (t *table) move(number uint32, level uint8) {
	t.unlink(number)
	src := t.at(number)
	src.level = level
	src.flags &^= recent
	t.link(number)
}

// least returns who is to be forgotten first: the least guilty, and among
// equals one that was not heard of for long. 0 if there is nobody.
func (t *table) least() uint32 {
	for i := range t.level {
		if head := t.level[i].head; head != 0 {
			return t.stalest(uint8(i))
		}
	}
	return 0
}

// secondChances is how many sources are passed over at most because they were
// heard of.
const secondChances = 8

func (t *table) stalest(level uint8) uint32 {
	l := &t.level[level]
	for range secondChances {
		if t.at(l.head).flags&recent == 0 {
			break
		}
		t.move(l.head, level)
	}
	return l.head
}

// offences returns a source's offences, oldest first. They are valid until the
// source changes.
func (t *table) offences(s *source) []mark {
	if s.offenceClass == 0 {
		return s.first[:s.offenceCount]
	}
	return t.slab.block(s.offences, s.offenceClass)[:s.offenceCount]
}

// favours returns what speaks for a source, oldest first.
func (t *table) favours(s *source) []mark {
	if s.favourClass == 0 {
		return nil
	}
	return t.slab.block(s.favours, s.favourClass)[:s.favourCount]
}

// clear forgets a source's offences and favours.
func (t *table) clear(s *source) {
	t.setOffences(s, nil)
	t.setFavours(s, nil)
}

// setOffences replaces a source's offences by list, which may be a part of the
// present ones.
func (t *table) setOffences(s *source, list []mark) {
	list, class := t.fit(list, s.offenceClass, classFor(len(list)))
	if class == 0 {
		var only mark
		if len(list) == 1 {
			only = list[0]
		}
		t.drop(s.offences, s.offenceClass)
		s.first[0], s.offences = only, 0
	} else {
		s.offences = t.store(s.offences, s.offenceClass, class, list)
	}
	s.offenceClass, s.offenceCount = class, uint8(len(list))
}

// setFavours replaces a source's favours by list.
func (t *table) setFavours(s *source, list []mark) {
	if len(list) == 0 {
		t.drop(s.favours, s.favourClass)
		s.favours, s.favourClass, s.favourCount = 0, 0, 0
		return
	}
	list, class := t.fit(list, s.favourClass, max(1, classFor(len(list))))
	if class == 0 {
		return // no memory left: what was known stays
	}
	s.favours = t.store(s.favours, s.favourClass, class, list)
	s.favourClass, s.favourCount = class, uint8(len(list))
}

// fit cuts the oldest marks off a list for which the slab has no room.
func (t *table) fit(list []mark, old, class uint8) ([]mark, uint8) {
	for class > 0 && class != old && !t.slab.room(class) {
		class--
		list = list[max(0, len(list)-1<<class):]
	}
	return list, class
}

// store writes list into a block of the class: the old one if it is of that
// class, else a new one.
func (t *table) store(old uint32, oldClass, class uint8, list []mark) uint32 {
	if oldClass == class {
		copy(t.slab.block(old, class), list)
		return old
	}
	ref := t.slab.take(class)
	copy(t.slab.block(ref, class), list)
	t.drop(old, oldClass)
	return ref
}

func (t *table) drop(ref uint32, class uint8) {
	if class > 0 {
		t.slab.give(ref, class)
	}
}

// sourceAddr returns the address and the length, of 128, of the prefix by which
// a client is counted and blocked. An IPv4 address counts alone, and so does
// one of NAT64 (RFC 6052) and of Teredo (RFC 4380), where one /64 is everybody.
func sourceAddr(addr netip.Addr, ipv6Bits int) (masked [16]byte, prefixBits uint8) {
	masked = addr.As16()
	if addr.Is4() {
		return masked, 128
	}
	high, low := binary.BigEndian.Uint64(masked[:8]), binary.BigEndian.Uint64(masked[8:])
	teredo, nat64 := high>>32 == 0x20010000, high == 0x0064ff9b00000000 && low>>32 == 0
	if teredo || nat64 || isIPv4(&masked) {
		return masked, 128
	}
	// A shift by 64 or more leaves nothing.
	binary.BigEndian.PutUint64(masked[:8], high&(^uint64(0)<<max(0, 64-ipv6Bits)))
	binary.BigEndian.PutUint64(masked[8:], low&(^uint64(0)<<min(64, 128-ipv6Bits)))
	return masked, uint8(ipv6Bits)
}

func isIPv4(addr *[16]byte) bool { return netip.AddrFrom16(*addr).Is4In6() }

// sourcePrefix returns the prefix by which addr is counted and blocked.
func sourcePrefix(addr netip.Addr, ipv6Bits int) netip.Prefix {
	masked, prefixBits := sourceAddr(addr, ipv6Bits)
	return prefixOf(masked, prefixBits)
}

func prefixOf(masked [16]byte, prefixBits uint8) netip.Prefix {
	addr := netip.AddrFrom16(masked).Unmap()
	return netip.PrefixFrom(addr, int(prefixBits)-128+addr.BitLen())
}

// prefix returns the prefix that a source stands for.
func (s *source) prefix() netip.Prefix { return prefixOf(s.addr, s.bits) }
