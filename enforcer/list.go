package enforcer

import (
	"iter"
	"math"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// list is what should be blocked until when, held in 56 bytes a block and no
// pointer for the collector to follow. It has no lock and no clock.
//
// Addresses live in the index alone. Networks, and whatever has an exempt hole
// in it, live in nets as well, from which cover computes the disjoint pieces
// that an interval set takes.
type list struct {
	ipv6Bits int
	chunks   [][]entry
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
}

const chunkSize = 4096

// key is a prefix without pointers: the address in 16 bytes and the length,
// IPv4 as IPv4-mapped.
type key [17]byte

type entry struct {
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

const (
	flagUsed uint8 = 1 << iota
	flagNet        // in nets
	flagSeen       // seen in the logs after the grace period
	flagObserved
	flagKnocks // its time is up, but the kernel has it among those that knock
)

type remark struct{ note, author string }

// The values of Block's family and kind as metrics have them.
const (
	family4, family6         = 0, 1
	kindAddress, kindNetwork = 0, 1
)

func newList(ipv6Bits int, now time.Time) *list {
	return &list{
		ipv6Bits: ipv6Bits,
		index:    map[key]uint32{},
		agenda:   map[int64][]uint32{},
		sweep:    now.Unix(),
		names:    []string{"", otherWitness},
		numberOf: map[string]uint16{"": 0, otherWitness: 1},
		remarks:  map[uint32]remark{},
		shares:   newShares(),
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

// canonical masks p and takes the IPv4 out of IPv4-mapped prefixes. It returns
// false for what is no prefix.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-mappedBits)
	}
	p = netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
	return p.Masked(), p.IsValid()
}

func (l *list) len() int { return len(l.index) }

func (l *list) at(slot uint32) *entry { return &l.chunks[slot/chunkSize][slot%chunkSize] }

// single reports whether p is what a hash set holds.
func (l *list) single(p netip.Prefix) bool {
	return p.Bits() == l.sourceBits(p)
}

func (l *list) class(p netip.Prefix) (family, kind int) {
	if p.Addr().Is6() {
		family = family6
	}
	if !l.single(p) && !p.IsSingleIP() {
		kind = kindNetwork
	}
	return family, kind
}

// find returns the entry of exactly p.
func (l *list) find(p netip.Prefix) (*entry, bool) {
	slot, ok := l.index[keyOf(p)]
	if !ok {
		return nil, false
	}
	return l.at(slot), true
}

// put sets the block of b.Prefix, which is canonical, and returns its entry.
// Since when it is in force is the caller's to say.
func (l *list) put(b *Block) *entry {
	k := keyOf(b.Prefix)
	slot, ok := l.index[k]
	if !ok {
		slot = l.take()
		l.index[k] = slot
		*l.at(slot) = entry{key: k, flags: flagUsed}
		family, kind := l.class(b.Prefix)
		l.active[family][kind]++
		l.hashed[family]++
	}
	e := l.at(slot)
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

func (l *list) makeNet(p netip.Prefix, slot uint32) {
	e := l.at(slot)
	l.shares.count(l.groupOf(e), -1)
	e.flags |= flagNet
	l.shares.count(l.groupOf(e), 1)
	family, _ := l.class(p)
	l.hashed[family]--
	l.nets.Insert(p, slot)
}

// remove takes out the block of exactly p.
func (l *list) remove(p netip.Prefix) (Block, bool) {
	k := keyOf(p)
	slot, ok := l.index[k]
	if !ok {
		return Block{}, false
	}
	b := l.block(slot)
	e := l.at(slot)
	l.shares.count(l.groupOf(e), -1)
	family, kind := l.class(p)
	if e.flags&flagNet != 0 {
		l.nets.Delete(p)
	} else {
		l.hashed[family]--
	}
	l.active[family][kind]--
	delete(l.index, k)
	delete(l.remarks, slot)
	*e = entry{}
	l.free = append(l.free, slot)
	return b, true
}

func (l *list) take() uint32 {
	if n := len(l.free); n > 0 {
		slot := l.free[n-1]
		l.free = l.free[:n-1]
		return slot
	}
	n := uint32(len(l.chunks))
	l.chunks = append(l.chunks, make([]entry, chunkSize))
	for i := uint32(chunkSize - 1); i > 0; i-- {
		l.free = append(l.free, n*chunkSize+i)
	}
	return n * chunkSize
}

// number is what stands for a name; beyond 65,536 of them it is that of "".
func (l *list) number(name string) uint16 {
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

func (l *list) witness(name string) uint16 {
	n := l.number(name)
	if n == 0 && name != "" {
		return l.numberOf[otherWitness]
	}
	return n
}

func (l *list) block(slot uint32) Block {
	e := l.at(slot)
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

// wide reports whether p can hold more than one source.
func (l *list) wide(p netip.Prefix) bool { return p.Bits() < l.sourceBits(p) }

// sourceBits is the length of a single source of p's family.
func (l *list) sourceBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 32
	}
	return l.ipv6Bits
}

// around yields the blocks that overlap p, which is not wide; networks of p's
// own source may come twice.
func (l *list) around(p netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		single := netip.PrefixFrom(p.Addr(), l.sourceBits(p)).Masked()
		if _, blocked := l.index[keyOf(single)]; blocked && !yield(single) {
			return
		}
		for q := range l.netsAround(p) {
			if !yield(q) {
				return
			}
		}
	}
}

// netsAround yields the blocks in nets that overlap p; one of p itself comes
// twice.
func (l *list) netsAround(p netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for q := range l.nets.Supernets(p) {
			if !yield(q) {
				return
			}
		}
		for q := range l.nets.Subnets(p) {
			if !yield(q) {
				return
			}
		}
	}
}

// lookup returns the slot of the narrowest block in force that covers a.
func (l *list) lookup(a netip.Addr, now int64) (slot uint32, ok bool) {
	p, _ := canonical(netip.PrefixFrom(a, a.BitLen()))
	bits := -1
	for q, s := range l.nets.Supernets(p) {
		if l.at(s).until > now {
			slot, bits = s, q.Bits()
			break
		}
	}
	width := l.sourceBits(p)
	single := netip.PrefixFrom(p.Addr(), width).Masked()
	if s, found := l.index[keyOf(single)]; found && width > bits && l.at(s).until > now {
		slot, bits = s, width
	}
	return slot, bits >= 0
}

func (l *list) schedule(slot uint32, until int64) {
	// The second after: by then the kernel has let it go too.
	second := max(until/int64(time.Second)+1, l.sweep)
	l.agenda[second] = append(l.agenda[second], slot)
}

// due yields the prefixes of the blocks that have ended by now.
func (l *list) due(now time.Time) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for ; l.sweep <= now.Unix(); l.sweep++ {
			slots := l.agenda[l.sweep]
			for _, slot := range slots {
				e := l.at(slot)
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

// slots yields used slots from one number on, and after each the number to go
// on from.
func (l *list) slots(from uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for slot := from; slot < uint32(len(l.chunks))*chunkSize; slot++ {
			if l.at(slot).flags&flagUsed != 0 && !yield(slot) {
				return
			}
		}
	}
}

// elements is how many elements one of nft.Sets should have.
func (l *list) elements(set int) int {
	switch set {
	case firstNet:
		return l.pieces.Size4()
	case firstNet + 1:
		return l.pieces.Size6()
	}
	return l.hashed[set]
}

// knocks reports whether p's block lives among those that knock.
func (l *list) knocks(p netip.Prefix) bool {
	e, ok := l.find(p)
	return ok && e.flags&flagKnocks != 0
}
