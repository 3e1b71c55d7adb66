package receiver

import (
	"container/list"
	"net/netip"
	"sync"
)

// door keeps the limits on stream connections. Where a connection too many
// comes, the one that has been silent for longest makes room: a sender that
// has spoken is never closed for another.
type door struct {
	mu           sync.Mutex
	maxOpen      int
	maxPerSender int
	open         int
	senders      map[netip.Addr]int
	silent       room
	// handshakes are counted apart for listed addresses and for others, so
	// that strangers cannot keep the fleet out of the TLS ports.
	listed, strangers room
}

// room holds guests in the order in which they came.
type room struct {
	max    int
	guests list.List // of *guest
}

// guest is a connection that was let in.
type guest struct {
	addr   netip.Addr
	listed bool // by its address
	// evict closes the connection; it is called at most once, by the door,
	// and must not block.
	evict  func()
	left   bool
	places map[*room]*list.Element
}

func newDoor(c Config) *door {
	d := &door{senders: make(map[netip.Addr]int)}
	d.limit(c)
	return d
}

// limit sets the limits; nobody is closed for them.
func (d *door) limit(c Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.maxOpen, d.maxPerSender, d.silent.max = c.MaxConnections, c.MaxConnectionsPerSender, c.MaxSilentConnections
	d.strangers.max = c.TLS.MaxHandshakes / 2
	d.listed.max = c.TLS.MaxHandshakes - d.strangers.max
}

// enter lets g in, or returns the reason why not. evicted is true if another
// one had to go.
func (d *door) enter(g *guest) (evicted bool, refusal string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.senders[g.addr] >= d.maxPerSender:
		if evicted = d.evictOf(g.addr); !evicted {
			return false, refuseSenderLimit
		}
	case d.open >= d.maxOpen, d.silent.isFull():
		if evicted = d.evictFirst(&d.silent); !evicted {
			return false, refuseLimit
		}
	}
	d.open++
	d.senders[g.addr]++
	g.places = make(map[*room]*list.Element)
	g.sit(&d.silent)
	return evicted, ""
}

// spoke says that g has sent a message that could be read.
func (d *door) spoke(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.stand(&d.silent)
}

// beginHandshake counts a handshake in flight; the oldest one makes room, and
// so fails.
func (d *door) beginHandshake(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := d.handshakes(g)
	if waiting.isFull() {
		d.evictFirst(waiting)
	}
	if !g.left {
		g.sit(waiting)
	}
}

// endHandshake says that the handshake is over, well or not.
func (d *door) endHandshake(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.stand(d.handshakes(g))
}

func (d *door) handshakes(g *guest) *room {
	if g.listed {
		return &d.listed
	}
	return &d.strangers
}

// leave says that g is gone.
func (d *door) leave(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(g)
}

// makeRoom closes the connection that has been silent for longest.
func (d *door) makeRoom() (evicted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.evictFirst(&d.silent)
}

func (d *door) evictFirst(r *room) bool {
	front := r.guests.Front()
	if front == nil {
		return false
	}
	d.evict(front.Value.(*guest))
	return true
}

func (d *door) evictOf(addr netip.Addr) bool {
	for e := d.silent.guests.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); g.addr == addr {
			d.evict(g)
			return true
		}
	}
	return false
}

func (d *door) evict(g *guest) {
	d.forget(g)
	g.evict()
}

func (d *door) forget(g *guest) {
	if g.left {
		return
	}
	g.left = true
	d.open--
	if d.senders[g.addr]--; d.senders[g.addr] == 0 {
		delete(d.senders, g.addr)
	}
	for r := range g.places {
		g.stand(r)
	}
}

func (r *room) isFull() bool { return r.guests.Len() >= r.max }

func (g *guest) sit(r *room) { g.places[r] = r.guests.PushBack(g) }

func (g *guest) stand(r *room) {
	if e, ok := g.places[r]; ok {
		r.guests.Remove(e)
		delete(g.places, r)
	}
}
