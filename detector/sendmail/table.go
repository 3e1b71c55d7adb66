package sendmail

import "net/netip"

// session is what is known of one process of one mail host: 64 bytes, a line of
// the processor's cache. It has no pointer, so that the garbage collector passes
// over a hundred thousand of them.
type session struct {
	key uint64
	// client is the address of the client, IPv4 mapped into IPv6, while flags
	// has hasClient.
	client [16]byte
	// began is the process's time in its queue ids, 0 until one is seen.
	began  uint64
	number uint64
	first  int64 // time of the first line, seconds
	place  place // its own
	queue  place // of its host; of a free session the next free one
	extras place // what waits in it, 0 for nothing
	flags  sessionFlags
}

// place is where something lies in its list; 0 is nowhere.
type place uint32

type sessionFlags uint8

const (
	hasClient  sessionFlags = 1 << iota
	inConflict              // two of its lines named different clients
	hasBegun                // its first line was seen
	hasEnded
	byRoute // the client is proven only if a line was not cut
	doubted // two such lines named different clients: such lines do not count
)

func (s *session) is(f sessionFlags) bool { return s.flags&f != 0 }

// addr returns the client, invalid if none is known.
func (s *session) addr() netip.Addr {
	if !s.is(hasClient) {
		return noAddr
	}
	return netip.AddrFrom16(s.client).Unmap()
}

// setAddr binds the session to a client; an invalid address unbinds it.
func (s *session) setAddr(addr netip.Addr) {
	if !addr.IsValid() {
		s.flags &^= hasClient
		return
	}
	s.client, s.flags = addr.As16(), s.flags|hasClient
}

// bind binds the session to a client, named by sendmail's own words or else by a
// line that was not cut.
func (s *session) bind(addr netip.Addr, own bool) {
	switch {
	case own:
		s.flags &^= byRoute
	case !s.is(hasClient):
		s.flags |= byRoute
	}
	s.setAddr(addr)
}

// queue is the sessions of one host, about in the order of their last lines, the
// oldest first. Each host has its own because each has its own clock: a backlog
// must not age the sessions of others.
type queue struct {
	host  HostKey
	order order
	free  place // the next free queue
	clock idClock
}

// extras are what only few sessions have.
type extras struct {
	likely    netip.Addr // named by a line that carries no queue id
	likelyOwn bool       // in sendmail's own words
	held      []held
	accepted  []accepted
	free      place // the next free extras
}

// sessions holds the sessions of a Memory in pages, with an index by key, and
// the queues of their hosts.
type sessions struct {
	pages [][]session
	bound place // places from here on were never used
	free  place
	count int
	turns []turn // of the sessions by place
	// index is open-addressing and at most half full.
	index []slot

	queues    []queue
	freeQueue place
	byHost    map[HostKey]place

	waiting     []extras
	freeWaiting place
}

// turn is what decides when a session goes. The sessions themselves are often far
// from the processor; these few bytes of each stay near.
type turn struct {
	last     int64  // time of the last line, seconds
	standing uint32 // where the session stands in its queue
	spoken   bool   // it has had a line since it got there
}

// slot is the upper half of a key above the place of its session; 0 is empty.
// The half key tells nearly always without a look at the session whether it is
// the one, and where the slot would like to be.
type slot uint64

func newSlot(key uint64, p place) slot { return slot(key>>32<<32 | uint64(p)) }

func (s slot) place() place { return place(s) }

func (s slot) alike(key uint64) bool { return uint64(s)>>32 == key>>32 }

const (
	sessionPageBits = 10
	sessionPageSize = 1 << sessionPageBits
)

func newSessions() sessions {
	return sessions{
		bound: 1, index: make([]slot, 16), byHost: map[HostKey]place{},
		queues: make([]queue, 1), waiting: make([]extras, 1),
	}
}

func (t *sessions) at(p place) *session {
	return &t.pages[p>>sessionPageBits][p&(sessionPageSize-1)]
}

// find returns the session with a key, or nil.
func (t *sessions) find(key uint64) *session {
	mask := len(t.index) - 1
	for i := t.home(key); t.index[i] != 0; i = (i + 1) & mask {
		if !t.index[i].alike(key) {
			continue
		}
		if s := t.at(t.index[i].place()); s.key == key {
			return s
		}
	}
	return nil
}

// fetch reads the slots of some keys, their sessions and what waits in them, and
// appends their clients to dst. The sum is of no use but to make the reads
// needed.
func (t *sessions) fetch(keys []uint64, dst []netip.Addr) (_ []netip.Addr, sum uint64) {
	for _, key := range keys {
		sum += uint64(t.index[t.home(key)])
	}
	for _, key := range keys {
		s := t.find(key)
		if s == nil {
			continue
		}
		sum += uint64(len(t.waiting[s.extras].accepted))
		if s.is(hasClient) {
			dst = append(dst, s.addr())
		}
	}
	return dst, sum
}

// home is where the slot of a key would like to be; the upper half tells.
func (t *sessions) home(key uint64) int { return int(key>>32) & (len(t.index) - 1) }

// add makes a session with a key that has none, the newest of its queue.
func (t *sessions) add(key uint64, q place) *session {
	p := t.free
	if p != 0 {
		t.free = t.at(p).queue
	} else {
		p = t.bound
		t.bound++
		if int(p>>sessionPageBits) == len(t.pages) {
			t.pages = append(t.pages, make([]session, sessionPageSize))
			t.turns = append(t.turns, make([]turn, sessionPageSize)...)
		}
	}
	if t.count++; 2*t.count > len(t.index) {
		t.grow()
	}
	s := t.at(p)
	*s = session{key: key, place: p, queue: q}
	t.enter(newSlot(key, p))
	t.turns[p] = turn{}
	t.queues[q].order.push(p, t.turns)
	return s
}

func (t *sessions) enter(s slot) {
	mask := len(t.index) - 1
	i := t.home(uint64(s))
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = s
}

func (t *sessions) grow() {
	old := t.index
	t.index = make([]slot, 2*len(old))
	for _, s := range old {
		if s != 0 {
			t.enter(s)
		}
	}
}

// slotOf returns the slot of a session that is in the index.
func (t *sessions) slotOf(s *session) int {
	mask := len(t.index) - 1
	i := t.home(s.key)
	for !t.index[i].alike(s.key) || t.at(t.index[i].place()) != s {
		i = (i + 1) & mask
	}
	return i
}

// remove forgets a session in which nothing waits. The gap that it leaves in
// the index is closed, so that every other is still reached from its home.
func (t *sessions) remove(s *session) {
	mask := len(t.index) - 1
	gap := t.slotOf(s)
	p := t.index[gap].place()
	for i := (gap + 1) & mask; t.index[i] != 0; i = (i + 1) & mask {
		if home := t.home(uint64(t.index[i])); (i-home)&mask >= (i-gap)&mask {
			t.index[gap] = t.index[i]
			gap = i
		}
	}
	t.index[gap] = 0
	t.count--
	o := &t.queues[s.queue].order
	if o.leave(t.turns[p].standing); o.count == 0 {
		t.dropQueue(s.queue)
	}
	*s = session{queue: t.free}
	t.free = p
}

// touch notes the time of a line of a session. It keeps its place in the queue
// and gets a second chance when it comes to the front.
func (t *sessions) touch(s *session, now int64) {
	x := &t.turns[s.place]
	x.last, x.spoken = now, true
}

// last returns the time of the last line of a session, in seconds.
func (t *sessions) last(s *session) int64 { return t.turns[s.place].last }

// order is that of a queue: places in a ring, with gaps where sessions have
// left from the middle.
type order struct {
	ring       []place // its length is a power of 2
	head, tail uint32  // where the first stands, and where the next one goes
	count      int     // of sessions, without gaps
}

// push puts a session at the end and notes where it stands.
func (o *order) push(p place, turns []turn) {
	if int(o.tail-o.head) == len(o.ring) {
		o.makeRoom(turns)
	}
	o.ring[o.tail&uint32(len(o.ring)-1)] = p
	turns[p].standing = o.tail
	o.tail++
	o.count++
}

// makeRoom closes the gaps, and takes a larger ring if they are few.
func (o *order) makeRoom(turns []turn) {
	closed := order{ring: make([]place, max(8, len(o.ring)))}
	if 4*o.count > 3*len(o.ring) {
		closed.ring = make([]place, max(8, 2*len(o.ring)))
	}
	for ; o.head != o.tail; o.head++ {
		if p := o.ring[o.head&uint32(len(o.ring)-1)]; p != 0 {
			closed.push(p, turns)
		}
	}
	*o = closed
}

// leave takes out the session that stands somewhere.
func (o *order) leave(at uint32) {
	o.ring[at&uint32(len(o.ring)-1)] = 0
	o.count--
}

// first returns the first of an order that is not empty.
func (o *order) first() place {
	for {
		if p := o.ring[o.head&uint32(len(o.ring)-1)]; p != 0 {
			return p
		}
		o.head++
	}
}

// queueOf returns the queue of a host, a new one if it has none. One without
// sessions is not kept.
func (t *sessions) queueOf(host HostKey) place {
	if q := t.byHost[host]; q != 0 {
		return q
	}
	q := t.freeQueue
	if q != 0 {
		t.freeQueue = t.queues[q].free
	} else {
		q = place(len(t.queues))
		t.queues = append(t.queues, queue{})
	}
	t.queues[q] = queue{host: host}
	t.byHost[host] = q
	return q
}

// clockOf returns what is known of the clocks of a session's host.
func (t *sessions) clockOf(s *session) *idClock { return &t.queues[s.queue].clock }

func (t *sessions) dropQueue(q place) {
	delete(t.byHost, t.queues[q].host)
	t.queues[q] = queue{free: t.freeQueue}
	t.freeQueue = q
}

// secondChances is how many sessions that have spoken are passed over at most.
const secondChances = 8

// oldest returns the place of the session of a queue that has been silent for
// longest, or of one that is not much younger; 0 if the queue is empty. No other is older than it
// if it has not spoken since it got its place.
func (t *sessions) oldest(q place) place {
	o := &t.queues[q].order
	if o.count == 0 {
		return 0
	}
	p := o.first()
	for range secondChances {
		x := &t.turns[p]
		if !x.spoken {
			break
		}
		x.spoken = false
		o.leave(x.standing)
		o.push(p, t.turns)
		p = o.first()
	}
	return p
}

// extrasOf returns a session's extras, new ones if it has none. They are valid
// until the next call.
func (t *sessions) extrasOf(s *session) *extras {
	if s.extras == 0 {
		if s.extras = t.freeWaiting; s.extras != 0 {
			t.freeWaiting = t.waiting[s.extras].free
		} else {
			s.extras = place(len(t.waiting))
			t.waiting = append(t.waiting, extras{})
		}
	}
	return &t.waiting[s.extras]
}

// settle gives a session's extras back if there is nothing in them.
func (t *sessions) settle(s *session) {
	if s.extras == 0 {
		return
	}
	if x := &t.waiting[s.extras]; !x.likely.IsValid() && len(x.held) == 0 && len(x.accepted) == 0 {
		x.free = t.freeWaiting
		t.freeWaiting, s.extras = s.extras, 0
	}
}
