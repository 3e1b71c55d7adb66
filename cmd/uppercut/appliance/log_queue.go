package appliance

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The log must not hold up what it tells of: standard error may be a pipe that
// nobody reads for a while, or for ever.
const (
	// logQueueBytes bounds the lines that wait to be written.
	logQueueBytes = 4 << 20
	// logFlush is how long the end waits for the last lines.
	logFlush = 2 * time.Second
)

// logQueue is a Writer that never waits: lines are written by a goroutine of its
// own, and those that find no room are dropped and counted.
type logQueue struct {
	out     io.Writer
	dropped prometheus.Counter
	// tell writes that lines were dropped, in the log's own format.
	tell func(out io.Writer, lines uint64)

	mu     sync.Mutex
	wake   sync.Cond
	lines  [][]byte
	bytes  int
	lost   uint64 // since it was last told
	closed bool
	ended  chan struct{}
}

func newLogQueue(out io.Writer, reg prometheus.Registerer, tell func(out io.Writer, lines uint64)) *logQueue {
	q := &logQueue{out: out, tell: tell, ended: make(chan struct{}), dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "uppercut_log_dropped_total",
		Help: "Lines of uppercut's own log that were dropped because nobody read them or they could not be written.",
	})}
	reg.MustRegister(q.dropped)
	q.wake.L = &q.mu
	go q.run()
	return q
}

// Write implements io.Writer. It keeps no part of line.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+len(line) > logQueueBytes {
		q.lost++
		q.dropped.Inc()
		return len(line), nil
	}
	q.lines = append(q.lines, bytes.Clone(line))
	q.bytes += len(line)
	q.wake.Signal()
	return len(line), nil
}

// run writes until the queue is closed and empty.
func (q *logQueue) run() {
	defer close(q.ended)
	for {
		lines, lost, more := q.take()
		for _, line := range lines {
			if _, err := q.out.Write(line); err != nil {
				q.dropped.Inc() // there is nowhere to say so
			}
		}
		if lost > 0 {
			q.tell(q.out, lost)
		}
		if !more {
			return
		}
	}
}

// take waits for lines; more is false when these are the last.
func (q *logQueue) take() (lines [][]byte, lost uint64, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lines) == 0 && !q.closed {
		q.wake.Wait()
	}
	lines, lost = q.lines, q.lost
	q.lines, q.bytes, q.lost = nil, 0, 0
	return lines, lost, !q.closed
}

// close writes what is waiting, unless nobody reads it.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.wake.Signal()
	q.mu.Unlock()
	select {
	case <-q.ended:
	case <-time.After(logFlush):
	}
}
