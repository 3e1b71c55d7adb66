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
	maxOpen, maxPerSender, maxSilent int

	mu      sync.Mutex
	open    int
	senders map[netip.Addr]int
	silent  list.List // of *guest, the oldest first
}

// guest is a connection that was let in.
type guest struct {
	addr netip.Addr
	// evict closes the connection; it is called at most once, by the door,
	// and must not block.
	evict func()
	place *list.Element // in door.silent; nil once the guest has spoken or left
	left  bool
}

func newDoor(c Config) *door {
	return &door{
		maxOpen:      c.MaxConnections,
		maxPerSender: c.MaxConnectionsPerSender,
		maxSilent:    c.MaxSilentConnections,
		senders:      make(map[netip.Addr]int),
	}
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
	case d.open >= d.maxOpen, d.silent.Len() >= d.maxSilent:
		if evicted = d.evictOldest(); !evicted {
			return false, refuseLimit
		}
	}
	d.open++
	d.senders[g.addr]++
	g.place = d.silent.PushBack(g)
	return evicted, ""
}

// spoke says that g has sent a whole message.
func (d *door) spoke(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.place != nil {
		d.silent.Remove(g.place)
		g.place = nil
	}
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
	return d.evictOldest()
}

func (d *door) evictOldest() bool {
	if front := d.silent.Front(); front != nil {
		d.evict(front.Value.(*guest))
		return true
	}
	return false
}

func (d *door) evictOf(addr netip.Addr) bool {
	for e := d.silent.Front(); e != nil; e = e.Next() {
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
	if g.place != nil {
		d.silent.Remove(g.place)
		g.place = nil
	}
}
