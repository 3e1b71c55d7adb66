package feed

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A cursor is how far a client has come. What was sent has not arrived by that
// alone: it has if the next request comes over the same connection. One that comes
// over another gets once more what the last answer held, which costs it nothing.

// cursorKey says whose cursor it is: bouncers with one key at several addresses,
// or with several filters, each have one.
type cursorKey struct {
	client string
	addr   netip.Addr
	view   string
}

type cursor struct {
	mu   sync.Mutex // held while an answer is written
	had  position   // what the client surely has
	last position   // what the last answer brought it to
	over uint64     // the connection over which that went

	used time.Time // guarded by cursors.mu
}

// position is a place in the mirror's changes; the zero value is none.
type position struct {
	number uint64
	known  bool
}

// from returns the position from which a client needs changes.
func (c *cursor) from(connection uint64) position {
	if connection == c.over {
		c.had = c.last
	}
	return c.had
}

// sent notes that an answer went out, up to a position, or why it did not.
func (c *cursor) sent(number uint64, connection uint64, err error) error {
	if err != nil {
		return err
	}
	c.had, c.last, c.over = c.last, position{number, true}, connection
	return nil
}

// forget makes the client one of whom nothing is known.
func (c *cursor) forget() { c.had, c.last = position{}, position{} }

// maxCursors bounds them; the one that was used longest ago makes room.
const maxCursors = 4096

type cursors struct {
	mu  sync.Mutex
	all map[cursorKey]*cursor
}

// of returns the cursor of a client.
func (c *cursors) of(key cursorKey) *cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.all[key]
	if one == nil {
		if len(c.all) >= maxCursors {
			c.evict()
		}
		one = new(cursor)
		c.all[key] = one
	}
	one.used = time.Now()
	return one
}

func (c *cursors) evict() {
	var oldest cursorKey
	var at time.Time
	for key, one := range c.all {
		if at.IsZero() || one.used.Before(at) {
			oldest, at = key, one.used
		}
	}
	delete(c.all, oldest)
}

// connections gives each connection a number.
type connections struct{ last atomic.Uint64 }

type connectionKey struct{}

// context is an http.Server.ConnContext.
func (c *connections) context(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c.last.Add(1))
}

func connectionOf(r *http.Request) uint64 {
	n, _ := r.Context().Value(connectionKey{}).(uint64)
	return n
}
