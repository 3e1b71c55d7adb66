package nft

import (
	"iter"

	"golang.org/x/sys/unix"
)

// bulkChunk is where a buffer of a bulk ends and the next begins, so that
// nothing has to be copied as it grows. sendmsg takes 1,024 of them.
const bulkChunk = 1 << 20

// bulk holds the messages that add any number of elements to the four sets.
type bulk struct {
	config Config
	sets   [len(Sets)]setWriter
}

// setWriter fills messages for one set.
type setWriter struct {
	set   set
	limit int // elements in a message
	done  [][]byte
	enc   encoder
	// An open message: where it and its list start, and what is in it.
	message, list, n int
}

func newBulk(c Config) *bulk {
	b := &bulk{config: c}
	for i, s := range c.sets() {
		b.sets[i] = setWriter{set: s, limit: MaxBatch}
		if s.interval {
			b.sets[i].limit = maxInterval
		}
	}
	return b
}

func (b *bulk) addAll(elems iter.Seq[Element]) {
	for el := range elems {
		b.sets[b.config.SetIndex(el.Prefix)].add(el)
	}
}

// buffers closes all messages and returns them.
func (b *bulk) buffers() (bufs [][]byte) {
	for i := range b.sets {
		w := &b.sets[i]
		w.close()
		bufs = append(append(bufs, w.done...), w.enc.buf)
	}
	return bufs
}

func (w *setWriter) add(el Element) {
	if w.n == 0 {
		w.open()
	}
	encodeStart(&w.enc, el.Prefix, el.Timeout)
	if w.set.interval {
		encodeEnd(&w.enc, el.Prefix)
	}
	if w.n++; w.n == w.limit {
		w.close()
	}
}

func (w *setWriter) open() {
	if cap(w.enc.buf)-len(w.enc.buf) < 1<<16 {
		if len(w.enc.buf) > 0 {
			w.done = append(w.done, w.enc.buf)
		}
		w.enc.buf = make([]byte, 0, bulkChunk)
	}
	w.message = w.enc.open(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE)
	w.list = encodeListHead(&w.enc, w.set.name)
}

func (w *setWriter) close() {
	if w.n == 0 {
		return
	}
	w.enc.unnest(w.list)
	w.enc.close(w.message)
	w.n = 0
}
