package enforcer

import (
	"net/netip"
	"sync"
	"time"

	"uppercut/enforcer/nft"
)

// queueBlocks and queueBytes bound the blocks that wait: what the kernel takes in
// a second or so. Whoever asks for more waits; orders never do.
const (
	queueBlocks = 8 * nft.MaxBatch
	queueBytes  = 32 << 20
)

// queueMarks bounds the commands that may be left out, see mark.
const queueMarks = 1000

// queue holds what was asked for and not yet done, in order. Blocks that
// follow one another are merged by prefix.
type queue struct {
	mu    sync.Mutex
	room  sync.Cond // blocks were taken, or the queue was closed
	items []*item
	// blocks and bytes are of the blocks that wait, commands of the commands.
	blocks, bytes, commands int
	// taken counts items that are done with when settle is called.
	taken  int
	closed bool
	wake   chan struct{}
	waited time.Duration // by who asked for blocks, in all
}

// item is a batch of blocks, or a command of an operator.
type item struct {
	blocks  map[netip.Prefix]Block
	command func()
	// settled are called when the item is in the kernel and in the ledger.
	settled []func()
}

func newQueue() *queue {
	q := &queue{wake: make(chan struct{}, 1)}
	q.room.L = &q.mu
	return q
}

// block adds b, and waits until there is room for it; it returns false when
// nobody will take it any more.
func (q *queue) block(b Block) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full() {
		start := time.Now()
		for q.full() {
			q.room.Wait()
		}
		q.waited += time.Since(start)
	}
	if q.closed {
		return false
	}
	it := q.last()
	if it.blocks == nil {
		it.blocks = map[netip.Prefix]Block{}
	}
	if old, ok := it.blocks[b.Prefix]; ok {
		q.blocks, q.bytes = q.blocks-1, q.bytes-sizeOf(&old)
		b = merge(old, b)
	}
	it.blocks[b.Prefix] = b
	q.blocks, q.bytes = q.blocks+1, q.bytes+sizeOf(&b)
	q.signal()
	return true
}

func (q *queue) full() bool {
	return !q.closed && (q.blocks >= queueBlocks || q.bytes >= queueBytes)
}

// sizeOf is about what b takes in memory, in bytes.
func sizeOf(b *Block) int {
	n := 256 + len(b.Note) + len(b.Author)
	for i := range b.Evidence {
		n += 128 + len(b.Evidence[i].Text)
	}
	return n
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
	q.commands++
	q.signal()
	return true
}

// mark adds f unless so many commands wait that it is better left out.
func (q *queue) mark(f func()) {
	q.mu.Lock()
	many := q.commands >= queueMarks
	q.mu.Unlock()
	if !many {
		q.command(f)
	}
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
	if it.command != nil {
		q.commands--
	}
	for _, b := range it.blocks {
		q.blocks, q.bytes = q.blocks-1, q.bytes-sizeOf(&b)
	}
	q.room.Broadcast()
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
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.blocks + q.commands
}

// waiting is how long those who asked for blocks have waited, in all.
func (q *queue) waiting() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waited
}

// close ends the queue: what comes now is turned away.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
}
