package enforcer

import (
	"net/netip"
	"sync"
)

// queue holds what was asked for and not yet done, in order. Blocks that
// follow one another are merged by prefix, so it grows with the number of
// prefixes and not with the number of requests.
type queue struct {
	mu    sync.Mutex
	items []*item
	// taken counts items that are done with when settle is called.
	taken  int
	closed bool
	wake   chan struct{}
}

// item is a batch of blocks, or a command of an operator.
type item struct {
	blocks  map[netip.Prefix]Block
	command func()
	// settled are called when the item is in the kernel and in the ledger.
	settled []func()
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// block adds b; it returns false when nobody will take it any more.
func (q *queue) block(b Block) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	it := q.last()
	if it.blocks == nil {
		it.blocks = map[netip.Prefix]Block{}
	}
	if old, ok := it.blocks[b.Prefix]; ok {
		b = merge(old, b)
	}
	it.blocks[b.Prefix] = b
	q.signal()
	return true
}

// merge joins two blocks of one prefix: what is said by hand counts, and of
// two verdicts the longer.
func merge(old, b Block) Block {
	switch {
	case b.Rule == Manual:
		return b
	case old.Rule == Manual || old.Until.After(b.Until):
		return old
	}
	return b
}

// command adds f, to be run after all that was asked for before.
func (q *queue) command(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, &item{command: f})
	q.signal()
	return true
}

// flushed calls f when all that was asked for before is settled: at once if it
// is.
func (q *queue) flushed(f func()) {
	q.mu.Lock()
	if q.closed || len(q.items) == 0 && q.taken == 0 {
		q.mu.Unlock()
		f()
		return
	}
	it := q.last()
	it.settled = append(it.settled, f)
	q.signal()
	q.mu.Unlock()
}

// last returns the item to add blocks to.
func (q *queue) last() *item {
	if n := len(q.items); n > 0 && q.items[n-1].command == nil {
		return q.items[n-1]
	}
	it := &item{}
	q.items = append(q.items, it)
	return it
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the oldest item, nil if there is none. The taker settles it.
func (q *queue) take() *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil
	}
	it := q.items[0]
	q.items = q.items[1:]
	q.taken++
	return it
}

// settle says that an item is in the kernel and in the ledger, or known not to
// be writable.
func (q *queue) settle(it *item) {
	q.mu.Lock()
	q.taken--
	q.mu.Unlock()
	for _, f := range it.settled {
		f()
	}
}

// len is the number of blocks and commands that wait.
func (q *queue) len() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		n += len(it.blocks)
		if it.command != nil {
			n++
		}
	}
	return n
}

// close ends the queue: what comes now is turned away.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
