package console

import (
	"net/netip"
	"sync"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventBlock   EventKind = "block"   // somebody is on the list of the blocked from now on
	EventUnblock EventKind = "unblock" // a block has ended
	EventGuard   EventKind = "guard"   // somebody was not blocked, and why
	EventBreaker EventKind = "breaker" // a host's evidence was set aside, or counts again
)

// Event is something that people want to see happen.
type Event struct {
	Time   time.Time    `json:"time"`
	Kind   EventKind    `json:"kind"`
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Rule   string       `json:"rule,omitempty"`
	// Reason is the class that weighed most, Host the mail host that reported
	// most, both "" where there is none.
	Reason string `json:"reason,omitempty"`
	Host   string `json:"host,omitempty"`
	// Text is more in words, for people.
	Text string `json:"text,omitempty"`
}

// feedSize is how many events are kept for who opens the page.
const feedSize = 50

// feed keeps the last events. Who follows it asks again from time to time:
// nobody who publishes ever waits for a page.
type feed struct {
	mu   sync.Mutex
	ring [feedSize]Event
	next int
}

func newFeed() *feed { return &feed{} }

func (f *feed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring[f.next%feedSize] = e
	f.next++
}

// latest returns up to n events, newest first.
func (f *feed) latest(n int) []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Event, 0, n)
	for i := f.next - 1; i >= 0 && i >= f.next-feedSize && len(out) < n; i-- {
		out = append(out, f.ring[i%feedSize])
	}
	return out
}

// Publish shows an event on open pages and counts blocks into the history. It
// never waits.
func (c *Console) Publish(e Event) {
	c.feed.add(e)
	if e.Kind == EventBlock {
		c.history.blocked(e)
	}
}
