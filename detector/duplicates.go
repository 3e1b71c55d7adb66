package detector

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// duplicates remembers a sender's last lines. After a reconnect rsyslog sends
// up to 122 lines again; each of them counts once.
type duplicates struct {
	ring  []uint64 // hashes, in the order of arrival
	next  int      // where the next one goes once the ring is full
	slots []uint16 // an index into ring by hash, 1 more than the position
}

// duplicateMemory is the number of lines that are remembered for a sender.
const duplicateMemory = 8192

// seen remembers a hash and tells whether it was there.
func (d *duplicates) seen(hash uint64) bool {
	if len(d.slots) == 0 {
		d.rebuild(64)
	}
	if d.find(hash) >= 0 {
		return true
	}
	if len(d.ring) < duplicateMemory {
		d.ring = append(d.ring, hash)
		if 2*len(d.ring) > len(d.slots) {
			d.rebuild(2 * len(d.slots))
			return false
		}
		d.enter(len(d.ring) - 1)
		return false
	}
	d.leave(d.ring[d.next])
	d.ring[d.next] = hash
	d.enter(d.next)
	d.next = (d.next + 1) % duplicateMemory
	return false
}

func (d *duplicates) rebuild(size int) {
	d.slots = make([]uint16, size)
	for i := range d.ring {
		d.enter(i)
	}
}

// find returns the slot of a hash, -1 if it is not there.
func (d *duplicates) find(hash uint64) int {
	mask := len(d.slots) - 1
	for i := int(hash) & mask; d.slots[i] != 0; i = (i + 1) & mask {
		if d.ring[d.slots[i]-1] == hash {
			return i
		}
	}
	return -1
}

func (d *duplicates) enter(at int) {
	mask := len(d.slots) - 1
	i := int(d.ring[at]) & mask
	for d.slots[i] != 0 {
		i = (i + 1) & mask
	}
	d.slots[i] = uint16(at + 1)
}

// leave takes a hash out and closes the gap behind it.
func (d *duplicates) leave(hash uint64) {
	mask := len(d.slots) - 1
	gap := d.find(hash)
	for i := (gap + 1) & mask; d.slots[i] != 0; i = (i + 1) & mask {
		home := int(d.ring[d.slots[i]-1]) & mask
		if (i-home)&mask >= (i-gap)&mask {
			d.slots[gap] = d.slots[i]
			gap = i
		}
	}
	d.slots[gap] = 0
}

// lineHash stands for all that makes two lines of a sender equal: host, header
// time as sent, tag, PID and text.
func lineHash(l *Line, h *host) uint64 {
	when := uint64(l.Time.Unix())<<30 ^ uint64(l.Time.Nanosecond())
	return mix(mix(xxhash.Sum64String(l.Record.Text), h.hash), mix(when, uint64(l.PID)^xxhash.Sum64String(l.Tag)))
}

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	return high ^ low
}
