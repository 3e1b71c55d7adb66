package outbox

import (
	"context"
	"sync"
)

// queue holds the events that wait for one sink.
type queue struct {
	mu     sync.Mutex
	events []Event
	limit  int
	wake   chan struct{} // holds one when there is something new
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// setLimit changes how many may wait; those that wait already stay.
func (q *queue) setLimit(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = n
}

// put adds an event, or returns false if too many wait. It never waits.
func (q *queue) put(e Event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) >= q.limit {
		return false
	}
	q.events = append(q.events, e)
	q.rouse()
	return true
}

// rouse ends a take that waits.
func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns up to most events, oldest first. If there is none it waits until
// there is one, somebody rouses it, or ctx ends; then more is false if there is
// still none.
func (q *queue) take(ctx context.Context, most int) (batch []Event, more bool) {
	if batch := q.next(most); len(batch) > 0 {
		return batch, true
	}
	select {
	case <-q.wake:
		return q.next(most), true
	case <-ctx.Done():
		batch := q.next(most)
		return batch, len(batch) > 0
	}
}

func (q *queue) next(most int) []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(most, len(q.events))
	batch := q.events[:n:n]
	q.events = q.events[n:]
	if len(q.events) == 0 {
		q.events = nil // lets go of what was delivered
	}
	return batch
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

func (q *queue) cap() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limit
}
