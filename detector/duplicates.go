package detector

import "math/bits"

// duplicates remembers a sender's last lines. After a reconnect rsyslog sends
// up to 122 lines again; each of them counts once.
type duplicates struct {
	ring []uint64 // hashes, in the order of arrival
	next int      // where the next one goes once the ring is full
	// slots is an index into ring by hash. The slot of a hash that has left the
	// ring stays until the next rebuild: that costs less than to look for it.
	slots []dupSlot
	taken int // slots in use
}

// duplicateMemory is the number of lines that are remembered for a sender.
const duplicateMemory = 8192

// dupSlot is the lower bits of a hash above 1 more than its position in the
// ring; 0 is empty. Nearly always they tell without a look at the ring that a
// hash is another one.
type dupSlot uint32

const positionBits = 14 // hold duplicateMemory

func newDupSlot(hash uint64, position int) dupSlot {
	return dupSlot(hash)<<positionBits | dupSlot(position+1)
}

func (s dupSlot) position() int { return int(s&(1<<positionBits-1)) - 1 }

// alike tells whether the slot can be that of a hash.
func (s dupSlot) alike(hash uint64) bool {
	return s>>positionBits == dupSlot(hash)<<positionBits>>positionBits
}

// seen remembers a hash and tells whether it was there.
func (d *duplicates) seen(hash uint64) bool {
	if 2*d.taken >= len(d.slots) {
		d.rebuild()
	}
	slot, known := d.find(hash)
	if known {
		return true
	}
	position := d.next
	if len(d.ring) < duplicateMemory {
		position = len(d.ring)
		d.ring = append(d.ring, hash)
	} else {
		d.ring[position] = hash
		d.next = (position + 1) % duplicateMemory
	}
	d.slots[slot] = newDupSlot(hash, position)
	d.taken++
	return false
}

// fetch reads the slot that a hash would like to have, and changes nothing. The sum
// is of no use but to make the reads needed.
func (d *duplicates) fetch(hash uint64) (sum uint32) {
	if len(d.slots) == 0 {
		return 0
	}
	return uint32(d.slots[int(hash)&(len(d.slots)-1)])
}

// rebuild makes an index of what is in the ring, a quarter of it taken.
func (d *duplicates) rebuild() {
	if size := max(64, 4*len(d.ring)); size > len(d.slots) {
		d.slots = make([]dupSlot, 1<<bits.Len(uint(size-1)))
	} else {
		clear(d.slots)
	}
	for position, hash := range d.ring {
		slot, _ := d.find(hash)
		d.slots[slot] = newDupSlot(hash, position)
	}
	d.taken = len(d.ring)
}

// find returns the slot of a hash that is in the ring, or else the empty one
// where it goes.
func (d *duplicates) find(hash uint64) (slot int, known bool) {
	mask := len(d.slots) - 1
	for slot = int(hash) & mask; d.slots[slot] != 0; slot = (slot + 1) & mask {
		if s := d.slots[slot]; s.alike(hash) && d.ring[s.position()] == hash {
			return slot, true
		}
	}
	return slot, false
}

// lineHash stands for all that makes two lines of a sender equal: host, header
// time as sent, tag, PID and text. Of a line that its program writes twice the
// second counts.
func lineHash(l *Line, h *host) uint64 {
	when := uint64(l.Time.Unix()) << 30
	if !l.twice {
		when ^= uint64(l.Time.Nanosecond())
	}
	return mix(l.digest, mix(when, h.hash))
}

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	return high ^ low
}
