package feed

import (
	"net/http"
	"time"
)

// Clients get an answer in pieces of about so many bytes, and have so long to
// take each.
const (
	pieceSize    = 32 << 10
	pieceTimeout = 30 * time.Second
)

// writer writes an answer piece by piece. After an error it writes no more.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  []byte
	open    string // written before the first thing
	first   bool   // no decision has been written since the bracket
	err     error
}

func newWriter(w http.ResponseWriter) *writer {
	return &writer{w: w, control: http.NewResponseController(w), buffer: make([]byte, 0, pieceSize+1024), first: true}
}

// text appends to the answer.
func (o *writer) text(s string) {
	o.buffer = append(append(o.buffer, o.open...), s...)
	o.open = ""
}

// room sends a piece when it is large enough. It returns false if nobody takes it.
func (o *writer) room() bool {
	if len(o.buffer) >= pieceSize {
		o.send()
	}
	return o.err == nil
}

func (o *writer) send() {
	if o.err != nil {
		return
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(pieceTimeout)) // a test's recorder has none
	_, o.err = o.w.Write(o.buffer)
	o.buffer = o.buffer[:0]
}

// flush sends what is left and returns the first error.
func (o *writer) flush() error {
	o.send()
	if o.err == nil {
		o.err = o.control.Flush()
	}
	return o.err
}
