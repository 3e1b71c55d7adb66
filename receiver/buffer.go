package receiver

import (
	"sync"
	"unsafe"
)

const (
	// smallBuffer is what a connection holds until it sends more at once.
	smallBuffer = 4 << 10
	// largeBuffer is what a busy connection reads at once: some hundred messages,
	// which are still in the processor's cache when they have been parsed and
	// are judged. With 128 KiB a tenth fewer go through.
	largeBuffer = 32 << 10
	// calmReads is after how many small reads a busy connection's buffer
	// shrinks again.
	calmReads = 256
)

// buffer holds what was read of a stream and is not yet a whole frame. It
// starts small, since most connections are idle, and grows with the load.
type buffer struct {
	data []byte
	have int
	full bool // the last read filled it: there is more
	calm int  // reads since the last one that filled a quarter
}

// space returns where to read to. The buffer grows with the load, and up to a
// frame of limit bytes with its count.
func (b *buffer) space(limit int) []byte {
	if twice := max(2*len(b.data), smallBuffer); b.have == len(b.data) {
		b.resize(min(twice, max(largeBuffer, limit+maxCountDigits+2)))
	} else if b.full && len(b.data) < largeBuffer {
		b.resize(min(twice, largeBuffer))
	} else if b.have == 0 && b.calm > calmReads && len(b.data) > smallBuffer {
		b.resize(smallBuffer)
	}
	return b.data[b.have:]
}

func (b *buffer) resize(size int) {
	data := make([]byte, size)
	copy(data, b.data[:b.have])
	b.data, b.full, b.calm = data, false, 0
}

func (b *buffer) filled(n int) {
	b.have += n
	b.full = b.have == len(b.data)
	if b.calm++; n > len(b.data)/4 {
		b.calm = 0
	}
}

func (b *buffer) bytes() []byte { return b.data[:b.have] }

// spare are large buffers that were released. They are still in the cache, and
// fresh memory costs a page fault each 4 KiB until the collector has been round.
var spare = sync.Pool{New: func() any {
	b := make([]byte, largeBuffer)
	return &b
}}

// take removes the first n bytes and returns them. Where they are most of a
// large buffer they keep its memory until release is called, and only the rest
// is copied; else release is nil.
func (b *buffer) take(n int) (text string, release func()) {
	if len(b.data) != largeBuffer || n <= largeBuffer/2 {
		text = string(b.data[:n])
		b.have = copy(b.data, b.data[n:b.have])
		return text, nil
	}
	given, fresh := b.data, *spare.Get().(*[]byte)
	b.data, b.have = fresh, copy(fresh, given[n:b.have])
	return unsafe.String(&given[0], n), func() {
		if scribble {
			clear(given)
		}
		spare.Put(&given)
	}
}
