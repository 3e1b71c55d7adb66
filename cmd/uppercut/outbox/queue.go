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
	wake   chan struct{} // holds one when there is something
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
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns up to most events, oldest first, and waits for the first until
// ctx ends.
func (q *queue) take(ctx context.Context, most int) []Event {
	for {
		if batch := q.next(most); len(batch) > 0 {
			return batch
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return q.next(most)
		}
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
