package detector

import (
	"net/netip"

	"uppercut/detector/offence"
)

// MaxAhead is how many lines Ahead looks at: few enough that what it has
// fetched for the last of them is still there when it is observed.
const MaxAhead = 64

// fewSources stay in the processor's cache by themselves. Tests have fewer.
var fewSources = 1 << 12

// Ahead fetches what the next lines, at most MaxAhead and digested, will need from
// memory, and changes nothing: Observe gives the same without it.
//
// Among millions of sources each is far from the processor, and Observe has to
// wait three times: for its slot in the index, for the source, for its offences
// if they are many; and for its session before that. Ahead asks for those of all
// lines at once, which takes hardly longer than for one. Its loops are short, so
// that a processor which executes out of order has many of their reads under way.
func (d *Detector) Ahead(lines []Line) {
	var clients [2 * MaxAhead]netip.Addr
	d.fetchAddrs(d.aheadRead(lines, clients[:0]))
}

// AheadRead is Ahead for Read alone.
func (d *Detector) AheadRead(lines []Line) {
	var clients [2 * MaxAhead]netip.Addr
	d.aheadRead(lines, clients[:0])
}

// aheadRead appends the clients of the lines, as far as they are known, to clients.
func (d *Detector) aheadRead(lines []Line, clients []netip.Addr) []netip.Addr {
	var sessionKeys [MaxAhead]uint64
	sessions := sessionKeys[:0]
	for i := range lines[:min(len(lines), MaxAhead)] {
		l := &lines[i]
		if !matters(&l.Record) {
			continue
		}
		sessions = append(sessions, d.memory.Key(l.sessionKey, l.PID, &l.Record))
		if x := d.hosts.known(l); x != nil {
			d.fetched += x.sender.duplicates.fetch(lineHash(l, x))
		}
		if l.Record.Addr.IsValid() {
			clients = append(clients, l.Record.Addr)
		}
	}
	return d.memory.Fetch(sessions, clients)
}

// fetchSources fetches the sources of events.
func (d *Detector) fetchSources(events []offence.Event) {
	var clients [MaxAhead]netip.Addr
	for i := range events {
		clients[i] = events[i].Addr
	}
	d.fetchAddrs(clients[:len(events)])
}

// fetchAddrs fetches the sources of clients.
func (d *Detector) fetchAddrs(clients []netip.Addr) {
	if d.sources.count < fewSources {
		return
	}
	var hashes [2 * MaxAhead]uint64
	for i, addr := range clients {
		hashes[i] = d.sources.keyFor(addr, d.judgement.ipv6Prefix).hash
	}
	d.fetchedSources += d.sources.fetch(hashes[:len(clients)])
}

// fetch reads the slots of some hashes, their sources and the first of their
// offences. The sum is of no use but to make the reads needed.
func (t *table) fetch(hashes []uint64) (sum uint32) {
	for _, h := range hashes {
		if s := &t.shards[h>>56]; s.count > 0 {
			sum += s.slots[uint32(h)&uint32(len(s.slots)-1)].number()
		}
	}
	var blocks [2 * MaxAhead]uint32
	for i, h := range hashes {
		if number := t.likely(h); number != 0 {
			if s := t.at(number); s.offenceClass > 0 {
				blocks[i] = s.link()
			}
		}
	}
	for i := range hashes {
		if ref := blocks[i]; ref != 0 {
			sum += t.slab.pages[ref>>slabPageBits][ref&(slabPageSize-1)].second
		}
	}
	return sum
}

// likely returns the number of the first source that the index has for a hash.
// It need not be the one that is looked for, but nearly always is.
func (t *table) likely(h uint64) uint32 {
	s := &t.shards[h>>56]
	if s.count == 0 {
		return 0
	}
	mask := uint32(len(s.slots) - 1)
	for i := uint32(h) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i].hash() == uint32(h) {
			return s.slots[i].number()
		}
	}
	return 0
}
