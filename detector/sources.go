package detector

import "net/netip"

// source is what is remembered of one client: 64 bytes, a line of the
// processor's cache, and no pointers. Two offences live in it, so that a second
// one, as most that come are, takes nothing else from memory; of more than two
// all live in the slab, and so does every favour.
type source struct {
	addr     address // of its prefix
	evidence uint32  // where its last line lies in the ring, 0 for nowhere
	until    uint32  // end of its last block, Unix time; 0 if it never had one
	seen     uint32  // its newest offence or favour, Unix time
	favours  uint32  // a block in the slab
	own      [ownMarks]mark

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
	recent              // heard of since it came to its level
)

// ownMarks is how many offences a source holds itself.
const ownMarks = 2

// link is a number that takes the place of own where there is none: of the
// block of a source with more offences, and of the next free source.
func (s *source) link() uint32 { return s.own[0].second }

func (s *source) setLink(number uint32) { s.own[0].second = number }

// sourceKey names a source.
type sourceKey struct {
	addr address // of its prefix
	hash uint64  // of addr
	bits uint8   // length of the prefix, of 128
}

// table holds the sources: pages of them, an index by key in shards that grow
// one by one (no growth ever stops the stream for long), and who is of each
// level of guilt. Sources are named by their number; 0 is none.
type table struct {
	limit  int
	pages  [][]source
	free   uint32
	bound  uint32 // numbers from here on were never used
	count  int
	ipv4   int // how many of count
	shards [256]shard
	levels [levels]level
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
func (t *table) hash(addr address) uint64 {
	return mix(mix(addr.high, t.seed[0]), mix(addr.low, t.seed[1]))
}

// key returns the key of a prefix.
func (t *table) key(p netip.Prefix) sourceKey {
	addr := addressOf(p.Addr())
	return sourceKey{addr: addr, bits: uint8(128 - p.Addr().BitLen() + p.Bits()), hash: t.hash(addr)}
}

// keyFor returns the key of the source that a client's address belongs to.
func (t *table) keyFor(addr netip.Addr, ipv6Bits int) sourceKey {
	masked, prefixBits := sourceAddress(addr, ipv6Bits)
	return sourceKey{addr: masked, bits: prefixBits, hash: t.hash(masked)}
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
		t.free = t.at(number).link()
	} else {
		number = t.bound
		t.bound++
		if int(number>>sourcePageBits) == len(t.pages) {
			t.pages = append(t.pages, make([]source, sourcePageSize))
		}
	}
	*t.at(number) = source{addr: k.addr, bits: k.bits, flags: inUse}
	t.index(k.hash, number)
	t.levels[0].add(number)
	t.count++
	if k.bits > 96 && k.addr.isIPv4() {
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
	t.levels[src.level].members.remove(number)
	t.clear(src)
	t.count--
	if src.bits > 96 && src.addr.isIPv4() {
		t.ipv4--
	}
	*src = source{}
	src.setLink(t.free)
	t.free = number
}

// unindex takes a source out of its shard and closes the gap, so that every
// other source is still reached from its home slot.
func (t *table) unindex(number uint32) {
	h := t.hash(t.at(number).addr)
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

// touch notes that something was heard of a source. It moves when its level
// changes; within one it gets a second chance.
func (t *table) touch(number uint32, level uint8) {
	src := t.at(number)
	if src.level == level {
		src.flags |= recent
		return
	}
	t.levels[src.level].members.remove(number)
	t.levels[level].add(number)
	src.level = level
	src.flags &^= recent
}

// least returns who is to be forgotten first: the least guilty, and among
// equals one that was not heard of for long. 0 if there is nobody.
func (t *table) least() uint32 {
	for i := range t.levels {
		if t.levels[i].members.count > 0 {
			return t.stalest(&t.levels[i])
		}
	}
	return 0
}

// secondChances is how many sources are passed over at most because they were
// heard of.
const secondChances = 8

// stalest goes round the members of a level like a clock's hand ("CLOCK" page
// replacement): numbers are given away again behind it, so that who is new is
// the last that it comes to.
func (t *table) stalest(l *level) (number uint32) {
	for range secondChances + 1 {
		var ok bool
		if number, ok = l.members.from(l.hand); !ok {
			number, _ = l.members.from(0)
		}
		l.hand = number + 1
		src := t.at(number)
		if src.flags&recent == 0 {
			break
		}
		src.flags &^= recent
	}
	return number
}

// offences returns a source's offences, oldest first. They are valid until the
// source changes.
func (t *table) offences(s *source) []mark {
	if s.offenceClass == 0 {
		return s.own[:s.offenceCount]
	}
	return t.slab.block(s.link(), s.offenceClass)[:s.offenceCount]
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
	list, class := t.fit(list, s.offenceClass, classFor(len(list)), 1)
	if len(list) <= ownMarks {
		old := s.link()
		n := copy(s.own[:], list)
		clear(s.own[n:])
		t.drop(old, s.offenceClass)
		class = 0
	} else {
		s.setLink(t.store(s.link(), s.offenceClass, class, list))
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
	list, class := t.fit(list, s.favourClass, max(1, classFor(len(list))), 0)
	if class == 0 {
		return // no memory left: what was known stays
	}
	s.favours = t.store(s.favours, s.favourClass, class, list)
	s.favourClass, s.favourCount = class, uint8(len(list))
}

// appendFavour adds a favour to those of a source, whose block has room.
func (t *table) appendFavour(s *source, m mark) {
	t.slab.block(s.favours, s.favourClass)[s.favourCount] = m
	s.favourCount++
}

// fit cuts the oldest marks off a list for which the slab has no room. As many
// as a block of the class least holds need none.
func (t *table) fit(list []mark, old, class, least uint8) ([]mark, uint8) {
	for class > least && class != old && !t.slab.room(class) {
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

// prefix returns the prefix that a source stands for.
func (s *source) prefix() netip.Prefix { return prefixOf(s.addr, s.bits) }
