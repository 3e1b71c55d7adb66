package detector

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/netip"
	"slices"
	"time"
)

// A snapshot is a stream of little-endian numbers and of strings with their
// length before them: a magic, a version, the parts in the order of
// Snapshot, and a CRC-32C of all that. Evidence is not in it.
const (
	snapshotMagic   = "uppercut scores\n"
	snapshotVersion = 3
	// snapshotJoint is the first version with the breaker that the hosts behind a
	// relay share, snapshotDrops the first with the counters of log daemons.
	snapshotJoint = 3
	snapshotDrops = 2
	// maxSnapshotSources is more than detector.max_sources can be.
	maxSnapshotSources = 1 << 24
)

// ErrSnapshot is what every error of Restore wraps that comes from the data
// rather than from reading it.
var ErrSnapshot = errors.New("damaged snapshot")

// Snapshot writes scores, histories of blocks, learned zones, breakers,
// waiting verdicts, the memory of duplicates and what log daemons have counted
// to w. It takes about a second
// for five million sources, as long as w takes the bytes.
func (d *Detector) Snapshot(w io.Writer) error {
	s := newSnapshotWriter(w)
	s.bytes([]byte(snapshotMagic))
	s.u32(snapshotVersion)
	s.bytes(d.key[:])
	s.u64(d.restarts)
	d.hosts.save(s)
	d.sources.save(s)
	d.ceiling.save(s)
	s.u32(uint32(d.pardons.until.Size()))
	for prefix, until := range d.pardons.until.All() {
		s.prefix(prefix)
		s.u64(uint64(until.Unix()))
	}
	s.u32(uint32(len(d.networks)))
	for around, n := range d.networks {
		n.save(s, around)
	}
	d.lines.save(s)
	return s.finish()
}

// Restore reads a snapshot into a Detector that has not yet observed anything;
// what has expired by now is left out. After an error the Detector is as it
// was before.
func (d *Detector) Restore(r io.Reader, now time.Time) error {
	s := newSnapshotReader(r)
	if err := s.begin(); err != nil {
		return err
	}
	fresh := *d
	fresh.now = now
	s.bytes(fresh.key[:])
	fresh.restarts = s.u64() + 1
	numbers := fresh.restoreHosts(s)
	fresh.restoreSources(s, numbers)
	fresh.restoreWaiting(s)
	fresh.restorePardons(s)
	fresh.restoreNetworks(s)
	drops := restoreDrops(s)
	if err := s.finish(); err != nil {
		return err
	}
	*d = fresh
	d.lines.restored = drops
	d.memory = d.newMemory()
	d.metrics.stats = d.memory.Stats()
	d.hosts.export()
	d.metrics.track(d.sources)
	return nil
}

// save writes what log daemons have counted, so that it is not counted again
// after a restart.
func (r *lineTable) save(s *snapshotWriter) {
	all := make(map[hostLinesKey]map[string]uint64)
	for key, lines := range r.byName {
		if len(lines.drops) > 0 {
			all[key] = lines.drops
		}
	}
	for key, drops := range r.restored {
		if len(all) < maxHostLines {
			all[key] = drops
		}
	}
	s.u32(uint32(len(all)))
	for key, drops := range all {
		s.string(key.sender)
		s.string(key.row)
		s.u32(uint32(len(drops)))
		for counter, lines := range drops {
			s.string(counter)
			s.u64(lines)
		}
	}
}

func restoreDrops(s *snapshotReader) map[hostLinesKey]map[string]uint64 {
	all := make(map[hostLinesKey]map[string]uint64)
	if s.version < snapshotDrops {
		return all
	}
	for range s.count(maxHostLines) {
		key := hostLinesKey{s.string(), s.string()}
		all[key] = make(map[string]uint64)
		for range s.count(maxCounters) {
			counter := s.string()
			all[key][counter] = s.u64()
		}
	}
	return all
}

// save writes senders and hosts. Hosts are written with their numbers, which
// the marks of the sources name.
func (h *hosts) save(s *snapshotWriter) {
	s.u32(uint32(len(h.senders)))
	for _, sender := range h.senders {
		s.string(sender.name)
		sender.duplicates.save(s)
		s.u32(uint32(len(sender.hosts)))
		for _, host := range sender.hosts {
			s.string(host.name)
			s.u32(uint32(host.number))
			s.bool(host.clock.learned)
			s.u64(uint64(host.clock.offset))
			host.saveBreakers(s)
		}
	}
}

func (d *duplicates) save(s *snapshotWriter) {
	s.u32(uint32(len(d.ring)))
	for i := range d.ring {
		s.u64(d.ring[(d.next+i)%len(d.ring)])
	}
}

// saveBreakers writes the breaker of a host, and behind a relay that of all hosts
// together.
func (h *host) saveBreakers(s *snapshotWriter) {
	joint := &h.witness.breaker
	h.breaker.save(s)
	s.bool(h.breaker != joint)
	if h.breaker != joint {
		joint.save(s)
	}
}

// with returns a breaker that has set aside what either has.
func (b *breaker) with(other *breaker) *breaker {
	both := *b
	if other.open && !b.open {
		both.open, both.lastBad = true, other.lastBad
	}
	both.contacts.advance(other.contacts.latest)
	both.intervals = slices.Concat(other.intervals, b.intervals)
	slices.SortFunc(both.intervals, func(a, o interval) int { return cmp.Compare(a.closed(), o.closed()) })
	both.intervals = both.intervals[max(0, len(both.intervals)-maxIntervals):]
	return &both
}

// closed is when an interval ended: one that is open, never.
func (i *interval) closed() uint32 {
	if i.to == 0 {
		return math.MaxUint32
	}
	return i.to
}

func (b *breaker) save(s *snapshotWriter) {
	s.bool(b.open)
	s.u64(uint64(b.lastBad.Unix()))
	s.u32(b.contacts.latest)
	s.u32(uint32(len(b.intervals)))
	for _, i := range b.intervals {
		s.u32(i.from)
		s.u32(i.to)
		s.u32(uint32(i.cause))
	}
}

// restoreHosts returns the new number of each old one.
func (d *Detector) restoreHosts(s *snapshotReader) (numbers map[uint16]uint16) {
	old := d.hosts
	d.hosts = newHosts(d.options, d.metrics)
	d.hosts.zones, d.hosts.now = old.zones, unixSecond(d.now)
	numbers = map[uint16]uint16{}
	for range s.count(math.MaxInt32) {
		sender := d.hosts.sender(s.string())
		for range s.count(duplicateMemory) {
			sender.duplicates.seen(s.u64())
		}
		for range s.count(maxHosts + 1) {
			host := d.hosts.host(sender, s.string())
			host.since, host.marked = 0, true
			numbers[uint16(s.u32())] = host.number
			learned, offset := s.bool(), time.Duration(s.u64())
			if learned && !host.clock.fixed {
				host.clock.take(offset)
			}
			d.restoreBreakers(s, host)
		}
	}
	return numbers
}

// restoreBreakers reads the breakers of a host. Hosts that share one have saved it
// more than once. A host that is behind no relay any more has one only.
func (d *Detector) restoreBreakers(s *snapshotReader, h *host) {
	own, joint := s.breaker(), &breaker{}
	if s.version >= snapshotJoint && s.bool() {
		joint = s.breaker()
	}
	shared := &h.witness.breaker
	if h.breaker == shared {
		own = own.with(joint)
	} else if shared.of == nil {
		*shared, shared.of = *joint, h
	}
	if h.breaker.of == nil {
		*h.breaker, h.breaker.of = *own, h
	}
	d.hosts.everAside = d.hosts.everAside || len(own.intervals)+len(joint.intervals) > 0
}

func (s *snapshotReader) breaker() *breaker {
	b := &breaker{open: s.bool(), lastBad: time.Unix(int64(s.u64()), 0), contacts: contacts{latest: s.u32()}}
	for range s.count(maxIntervals) {
		i := interval{from: s.u32(), to: s.u32(), cause: breakerCause(s.u32() & 1)}
		b.intervals = append(b.intervals, i)
		b.cause = i.cause
	}
	b.open = b.open && len(b.intervals) > 0
	return b
}

// export sets the gauges of restored hosts.
func (h *hosts) export() {
	for x := range h.all {
		x.counters.zone.Set(x.clock.offset.Seconds())
		for b := range x.breakers {
			if b.open && b.of == x {
				x.counters.breakerOpen.Inc()
			}
		}
	}
}

// save writes the sources with their marks.
func (t *table) save(s *snapshotWriter) {
	s.u32(uint32(t.count))
	for number := uint32(1); number < t.bound; number++ {
		if src := t.at(number); src.flags&inUse != 0 {
			t.saveSource(s, src)
		}
	}
}

func (t *table) saveSource(s *snapshotWriter, src *source) {
	offences, favours := t.offences(src), t.favours(src)
	addr := src.addr.bytes()
	b := append(s.scratch[:0], addr[:]...)
	b = append(b, src.bits, src.blocks, uint8(len(offences)), uint8(len(favours)))
	b = binary.LittleEndian.AppendUint32(b, src.until)
	b = binary.LittleEndian.AppendUint32(b, src.seen)
	b = appendMarks(appendMarks(b, offences), favours)
	s.scratch = b
	s.bytes(b)
}

func appendMarks(b []byte, marks []mark) []byte {
	le := binary.LittleEndian
	for i := range marks {
		m := &marks[i]
		b = le.AppendUint32(b, m.second)
		b = le.AppendUint16(b, m.weight)
		b = le.AppendUint16(b, m.session)
		b = le.AppendUint16(b, m.extra)
		b = le.AppendUint16(b, m.origin)
	}
	return b
}

const (
	sourceHeaderSize = 16 + 4 + 4 + 4
	markSize         = 12
)

func (d *Detector) restoreSources(s *snapshotReader, numbers map[uint16]uint16) {
	old := d.sources
	d.sources = newTable(old.limit, old.seed)
	for range s.count(maxSnapshotSources) {
		var b [sourceHeaderSize]byte
		s.bytes(b[:])
		src := source{addr: addressFrom([16]byte(b[:])), bits: b[16], blocks: b[17]}
		src.until, src.seen = binary.LittleEndian.Uint32(b[20:]), binary.LittleEndian.Uint32(b[24:])
		if src.bits > 128 || b[18] > maxMarks || b[19] > maxMarks {
			s.fail("impossible source")
			return
		}
		offences := s.marks(int(b[18]))
		for i := range offences {
			m := &offences[i]
			number, known := numbers[m.host()]
			if !known {
				m.weight = 0 // it was forgotten, and what it said goes
			}
			m.origin = origin(number, m.reason())
		}
		offences = slices.DeleteFunc(offences, func(m mark) bool { return m.weight == 0 })
		d.restoreSource(&src, offences, s.marks(int(b[19])))
	}
}

// restoreSource adds a source unless nothing of it counts any more.
func (d *Detector) restoreSource(src *source, offences, favours []mark) {
	key := sourceKey{addr: src.addr, bits: src.bits, hash: d.sources.hash(src.addr)}
	if d.dead(src, unixSecond(d.now)) || d.sources.find(&key) != 0 {
		return
	}
	for d.sources.count >= d.sources.limit {
		d.evict(d.sources.least())
	}
	number := d.sources.add(&key)
	added := d.sources.at(number)
	added.until, added.seen, added.blocks = src.until, src.seen, src.blocks
	d.sources.setOffences(added, offences)
	d.sources.setFavours(added, favours)
	d.sources.touch(number, d.sources.guilt(added))
	if now := unixSecond(d.now); added.until > now && d.accepted(added, now) > 0 {
		d.mayTakeBack(&pending{prefix: added.prefix(), end: latest(offences)})
	}
}

// latest is the second of the last of some marks.
func latest(marks []mark) (second uint32) {
	for i := range marks {
		second = max(second, marks[i].second)
	}
	return second
}

// save writes what waits for the ceiling.
func (c *ceiling) save(s *snapshotWriter) {
	s.u32(uint32(len(c.waiting)))
	for _, p := range c.waiting {
		s.prefix(p.prefix)
		s.string(p.rule.name)
		s.string(p.host.sender.name)
		s.string(p.host.name)
		for _, n := range [...]uint32{p.end, uint32(p.score), uint32(p.hosts)} {
			s.u32(n)
		}
		s.u64(uint64(p.at.UnixNano()))
		s.u64(uint64(p.received.UnixNano()))
	}
}

// restoreWaiting leaves out verdicts of rules that are gone.
func (d *Detector) restoreWaiting(s *snapshotReader) {
	d.ceiling = newCeiling()
	for range s.count(math.MaxInt32) {
		p := &pending{prefix: s.prefix(), rule: d.judgement.rule(s.string())}
		p.host = d.hosts.named(s.string(), s.string())
		p.end, p.score, p.hosts = s.u32(), points(s.u32()), int(s.u32())
		if p.reporter = p.host.witness; p.hosts == 1 {
			p.alone = p.reporter
		}
		p.at, p.received = time.Unix(0, int64(s.u64())).UTC(), time.Unix(0, int64(s.u64())).UTC()
		if s.err != nil || p.rule == nil {
			continue
		}
		key := d.sources.key(p.prefix)
		if number := d.sources.find(&key); number != 0 {
			d.sources.at(number).flags |= waiting
		}
		d.ceiling.put(p)
	}
}

func (j *judgement) rule(name string) *rule {
	for i := range j.rules {
		if j.rules[i].name == name {
			return &j.rules[i]
		}
	}
	return nil
}

func (d *Detector) restorePardons(s *snapshotReader) {
	d.pardons = &pardons{}
	for range s.count(math.MaxInt32) {
		prefix, until := s.prefix(), time.Unix(int64(s.u64()), 0)
		if s.err == nil && until.After(d.now) {
			d.pardons.add(prefix, until)
		}
	}
}

func (n *network) save(s *snapshotWriter, around netip.Prefix) {
	s.prefix(around)
	s.u32(n.until)
	s.u32(uint32(len(n.blocked)))
	for prefix, m := range n.blocked {
		s.prefix(prefix)
		s.u32(m.until)
	}
}

func (d *Detector) restoreNetworks(s *snapshotReader) {
	d.networks = map[netip.Prefix]*network{}
	for range s.count(math.MaxInt32) {
		n := d.network(s.prefix())
		n.until = s.u32()
		for range s.count(math.MaxInt32) {
			n.blocked[s.prefix()] = member{until: s.u32()}
		}
	}
	d.forgetNetworks(unixSecond(d.now))
}
