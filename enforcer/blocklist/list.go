package blocklist

import (
	"iter"
	"math"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// List is what should be blocked until when, held in 56 bytes a block and no
// pointer for the collector to follow. It has no lock and no clock.
//
// Addresses live in the index alone. Networks, and whatever has an exempt hole
// in it, live in nets as well, from which cover computes the disjoint pieces
// that an interval set takes.
type List struct {
	ipv6Bits int
	chunks   [][]Entry
	free     []uint32
	index    map[key]uint32
	nets     bart.Table[uint32]
	pieces   bart.Table[int64] // what the kernel should have of nets, and until when
	holes    bart.Table[struct{}]
	agenda   map[int64][]uint32 // slots by the second in which they may end
	sweep    int64              // first second of the agenda that is not done
	names    []string           // rules, reasons, hosts and witnesses; the first is ""
	numberOf map[string]uint16
	remarks  map[uint32]remark
	active   [2][2]int // by family and kind
	hashed   [2]int    // blocks that are elements of a hash set, by family
	shares   shares
	room     room
}

const chunkSize = 4096

// key is a prefix without pointers: the address in 16 bytes and the length,
// IPv4 as IPv4-mapped.
type key [17]byte

// Entry is a block as the list holds it. It is good until the list changes.
type Entry struct {
	key       key
	flags     uint8
	rule      uint16 // numbers of names
	reason    uint16
	host      uint16
	witness   uint16
	score     float32
	at, until int64 // Unix nanoseconds
	id        uint64
	since     uint32 // Unix seconds: when it was put into the list
}

// Prefix is what is blocked.
func (e *Entry) Prefix() netip.Prefix { return e.key.prefix() }

// Until is when the block ends, in Unix nanoseconds.
func (e *Entry) Until() int64 { return e.until }

// Since is when the block was put into the list, to the second.
func (e *Entry) Since() time.Time { return time.Unix(int64(e.since), 0) }

// IsNetwork reports whether the block is one of those that are cut to pieces: the
// kernel does not hold it as it is.
func (e *Entry) IsNetwork() bool { return e.flags&flagNet != 0 }

// Observed reports whether the block was decided in observe mode.
func (e *Entry) Observed() bool { return e.flags&flagObserved != 0 }

// Seen reports whether the source was seen in the logs after the grace period.
func (e *Entry) Seen() bool { return e.flags&flagSeen != 0 }

// MarkSeen notes that it was.
func (e *Entry) MarkSeen() { e.flags |= flagSeen }

// Knocks reports whether the block's time is up, but the kernel has it among those
// that knock.
func (e *Entry) Knocks() bool { return e.flags&flagKnocks != 0 }

// SetKnocks notes whether that is so.
func (e *Entry) SetKnocks(knocks bool) {
	e.flags &^= flagKnocks
	if knocks {
		e.flags |= flagKnocks
	}
}

const (
	flagUsed uint8 = 1 << iota
	flagNet        // in nets
	flagSeen       // seen in the logs after the grace period
	flagObserved
	flagKnocks // its time is up, but the kernel has it among those that knock
)

type remark struct{ note, author string }

// The families of blocks.
const (
	IPv4 = iota
	IPv6
)

// The kinds of blocks.
const (
	Address = iota
	Network
)

// New returns an empty list, in which IPv6 sources are networks of ipv6Bits.
func New(ipv6Bits int, now time.Time) *List {
	return &List{
		ipv6Bits: ipv6Bits,
		index:    map[key]uint32{},
		agenda:   map[int64][]uint32{},
		sweep:    now.Unix(),
		names:    []string{"", otherWitness},
		numberOf: map[string]uint16{"": 0, otherWitness: 1},
		remarks:  map[uint32]remark{},
		shares:   newShares(),
		room:     room{},
	}
}

const mappedBits = 96

func keyOf(p netip.Prefix) (k key) {
	a := p.Addr().As16()
	copy(k[:], a[:])
	k[16] = byte(p.Bits())
	if p.Addr().Is4() {
		k[16] += mappedBits
	}
	return k
}

func (k key) prefix() netip.Prefix {
	a := netip.AddrFrom16([16]byte(k[:16]))
	if a.Is4In6() && k[16] >= mappedBits {
		return netip.PrefixFrom(a.Unmap(), int(k[16])-mappedBits)
	}
	return netip.PrefixFrom(a, int(k[16]))
}

// Canonical masks p and takes the IPv4 out of IPv4-mapped prefixes. It returns
// false for what is no prefix.
func Canonical(p netip.Prefix) (netip.Prefix, bool) {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-mappedBits)
	}
	p = netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
	return p.Masked(), p.IsValid()
}

// Len is the number of blocks.
func (l *List) Len() int { return len(l.index) }

// At returns the entry of a slot that is used.
func (l *List) At(slot uint32) *Entry { return &l.chunks[slot/chunkSize][slot%chunkSize] }

// single reports whether p is what a hash set holds.
func (l *List) single(p netip.Prefix) bool {
	return p.Bits() == l.SourceBits(p)
}

// Class is the family of p, and its kind: Address for whatever is one source.
func (l *List) Class(p netip.Prefix) (family, kind int) {
	if p.Addr().Is6() {
		family = IPv6
	}
	if !l.single(p) && !p.IsSingleIP() {
		kind = Network
	}
	return family, kind
}

// Find returns the entry of exactly p.
func (l *List) Find(p netip.Prefix) (*Entry, bool) {
	slot, ok := l.index[keyOf(p)]
	if !ok {
		return nil, false
	}
	return l.At(slot), true
}

// Put sets the block of b.Prefix, which is canonical, and returns its entry.
// Since when it is in force stays as it was: see Insert and Restore.
func (l *List) Put(b *Block) *Entry {
	k := keyOf(b.Prefix)
	slot, ok := l.index[k]
	if !ok {
		slot = l.take()
		l.index[k] = slot
		*l.At(slot) = Entry{key: k, flags: flagUsed}
		family, kind := l.Class(b.Prefix)
		l.active[family][kind]++
		l.hashed[family]++
	}
	e := l.At(slot)
	if ok {
		l.shares.count(l.groupOf(e), -1)
	}
	e.flags &^= flagSeen | flagObserved | flagKnocks
	e.id, e.score = b.ID, float32(b.Score)
	e.rule, e.reason, e.host = l.number(b.Rule), l.number(b.Reason), l.number(b.Host)
	e.witness = l.witness(b.Witness)
	l.shares.count(l.groupOf(e), 1)
	e.at, e.until = b.At.UnixNano(), b.Until.UnixNano()
	if b.Observed {
		e.flags |= flagObserved
	}
	if b.Note != "" || b.Author != "" {
		l.remarks[slot] = remark{b.Note, b.Author}
	} else {
		delete(l.remarks, slot)
	}
	l.schedule(slot, e.until)
	if e.flags&flagNet == 0 && (!l.single(b.Prefix) || l.hasHole(b.Prefix)) {
		l.makeNet(b.Prefix, slot)
	}
	return e
}

func (l *List) makeNet(p netip.Prefix, slot uint32) {
	e := l.At(slot)
	l.shares.count(l.groupOf(e), -1)
	e.flags |= flagNet
	l.shares.count(l.groupOf(e), 1)
	family, _ := l.Class(p)
	l.hashed[family]--
	l.nets.Insert(p, slot)
}

// Remove takes out the block of exactly p.
func (l *List) Remove(p netip.Prefix) (Block, bool) {
	k := keyOf(p)
	slot, ok := l.index[k]
	if !ok {
		return Block{}, false
	}
	b := l.BlockAt(slot)
	e := l.At(slot)
	l.shares.count(l.groupOf(e), -1)
	family, kind := l.Class(p)
	if e.flags&flagNet != 0 {
		l.nets.Delete(p)
	} else {
		l.hashed[family]--
	}
	l.active[family][kind]--
	delete(l.index, k)
	delete(l.remarks, slot)
	*e = Entry{}
	l.free = append(l.free, slot)
	return b, true
}

func (l *List) take() uint32 {
	if n := len(l.free); n > 0 {
		slot := l.free[n-1]
		l.free = l.free[:n-1]
		return slot
	}
	n := uint32(len(l.chunks))
	l.chunks = append(l.chunks, make([]Entry, chunkSize))
	for i := uint32(chunkSize - 1); i > 0; i-- {
		l.free = append(l.free, n*chunkSize+i)
	}
	return n * chunkSize
}

// number is what stands for a name; beyond 65,536 of them it is that of "".
func (l *List) number(name string) uint16 {
	if n, ok := l.numberOf[name]; ok {
		return n
	}
	if len(l.names) > math.MaxUint16 {
		return 0
	}
	n := uint16(len(l.names))
	l.names = append(l.names, name)
	l.numberOf[name] = n
	return n
}

// otherWitness stands for the witnesses for whom there is no number left: they
// share one, for to be none is to be more than one.
const otherWitness = "other witnesses"

func (l *List) witness(name string) uint16 {
	n := l.number(name)
	if n == 0 && name != "" {
		return l.numberOf[otherWitness]
	}
	return n
}

// BlockAt returns the block of a slot, without evidence.
func (l *List) BlockAt(slot uint32) Block {
	e := l.At(slot)
	r := l.remarks[slot]
	return Block{
		ID:       e.id,
		Prefix:   e.key.prefix(),
		At:       time.Unix(0, e.at),
		Until:    time.Unix(0, e.until),
		Rule:     l.names[e.rule],
		Reason:   l.names[e.reason],
		Host:     l.names[e.host],
		Witness:  l.names[e.witness],
		Score:    math.Round(float64(e.score)*100) / 100, // points have two decimals, a float32 some noise
		Observed: e.flags&flagObserved != 0,
		Seen:     e.flags&flagSeen != 0,
		Note:     r.note,
		Author:   r.author,
	}
}

// SourceBits is the length of a single source of p's family.
func (l *List) SourceBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 32
	}
	return l.ipv6Bits
}

// Lookup returns the slot of the narrowest block in force that covers a.
func (l *List) Lookup(a netip.Addr, now int64) (slot uint32, ok bool) {
	p, _ := Canonical(netip.PrefixFrom(a, a.BitLen()))
	bits := -1
	for q, s := range l.nets.Supernets(p) {
		if l.At(s).until > now {
			slot, bits = s, q.Bits()
			break
		}
	}
	width := l.SourceBits(p)
	single := netip.PrefixFrom(p.Addr(), width).Masked()
	if s, found := l.index[keyOf(single)]; found && width > bits && l.At(s).until > now {
		slot, bits = s, width
	}
	return slot, bits >= 0
}

func (l *List) schedule(slot uint32, until int64) {
	// The second after: by then the kernel has let it go too.
	second := max(until/int64(time.Second)+1, l.sweep)
	l.agenda[second] = append(l.agenda[second], slot)
}

// Due yields the prefixes of the blocks that have ended by now.
func (l *List) Due(now time.Time) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for ; l.sweep <= now.Unix(); l.sweep++ {
			slots := l.agenda[l.sweep]
			for _, slot := range slots {
				e := l.At(slot)
				if e.flags&flagUsed == 0 || e.until > now.UnixNano() {
					continue // taken out, or extended and on the agenda later
				}
				if !yield(e.key.prefix()) {
					return
				}
			}
			delete(l.agenda, l.sweep)
		}
	}
}

// Slots yields used slots from one number on, and after each the number to go
// on from.
func (l *List) Slots(from uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for slot := from; slot < uint32(len(l.chunks))*chunkSize; slot++ {
			if l.At(slot).flags&flagUsed != 0 && !yield(slot) {
				return
			}
		}
	}
}

// Knocks reports whether p's block lives among those that knock.
func (l *List) Knocks(p netip.Prefix) bool {
	e, ok := l.Find(p)
	return ok && e.flags&flagKnocks != 0
}

// Insert sets the block of b.Prefix, in force since now, and returns what the
// kernel must be told. It may be one too many: see MakeRoom.
func (l *List) Insert(b *Block, now time.Time) []netip.Prefix {
	e := l.Put(b)
	e.since = uint32(now.Unix())
	l.room.add(l, l.index[e.key])
	if e.IsNetwork() {
		return l.Recut(b.Prefix)
	}
	return []netip.Prefix{b.Prefix}
}

// Restore sets a block that the kernel may have already, and reports whether
// Recut has to follow when all are there. now is since when it is known to be in
// force.
func (l *List) Restore(b *Block, now time.Time) (cut bool) {
	e := l.Put(b)
	e.since = uint32(now.Unix())
	return e.IsNetwork()
}

// Block returns the block of exactly p, in force or about to be swept, without
// evidence.
func (l *List) Block(p netip.Prefix) (Block, bool) {
	slot, ok := l.index[keyOf(p)]
	if !ok {
		return Block{}, false
	}
	return l.BlockAt(slot), true
}

// All yields every prefix on the list.
func (l *List) All() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for slot := range l.Slots(0) {
			if !yield(l.At(slot).Prefix()) {
				return
			}
		}
	}
}

// OfRule yields the prefixes of a rule's blocks.
func (l *List) OfRule(name string) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		rule, known := l.numberOf[name]
		if !known {
			return
		}
		for slot := range l.Slots(0) {
			if e := l.At(slot); e.rule == rule && !yield(e.Prefix()) {
				return
			}
		}
	}
}

// Active are the numbers of blocks by family and kind.
func (l *List) Active() [2][2]int { return l.active }
