package replay

import (
	"sync"

	"uppercut/detector"
)

// court is the judging half of a Detector on a goroutine of its own. What lines
// have said comes to it in epochs, in their order, so that it decides as one
// goroutine for both halves would.
type court struct {
	detector *detector.Detector
	report   *report
	// epochs go round: one is filled, those before it are with the goroutine or
	// back from it.
	epochs [4]epoch
	filled int // which
	queue  chan *epoch
	wait   sync.WaitGroup
}

// epoch is a detector.Epoch on its way.
type epoch struct {
	detector.Epoch
	// retired gives back what its lines and those before lie in.
	retired []func()
	sent    bool
	judged  chan struct{}
}

// An epoch goes when it has so many lines, which share the cost of handing it
// over, or keeps so many chunks from being used again.
const (
	epochLines  = 512
	epochChunks = 2
)

func newCourt(d *detector.Detector, r *report) *court {
	c := &court{detector: d, report: r, queue: make(chan *epoch, 1)}
	for i := range c.epochs {
		c.epochs[i].judged = make(chan struct{}, 1)
	}
	c.wait.Go(c.work)
	return c
}

func (c *court) work() {
	for e := range c.queue {
		c.detector.Judge(&e.Epoch, c.report.block)
		e.Reset()
		for _, recycle := range e.retired {
			recycle()
		}
		e.retired = e.retired[:0]
		e.judged <- struct{}{}
	}
}

// epoch returns the one to be filled.
func (c *court) epoch() *detector.Epoch { return &c.epochs[c.filled].Epoch }

// read notes that a line was read.
func (c *court) read() {
	if c.epoch().Len() >= epochLines {
		c.send()
	}
}

// retire keeps lines until they are judged.
func (c *court) retire(recycle func()) {
	e := &c.epochs[c.filled]
	if e.retired = append(e.retired, recycle); len(e.retired) >= epochChunks {
		c.send()
	}
}

// send hands the epoch over and takes the next, when that is back.
func (c *court) send() {
	c.hand()
	c.filled = (c.filled + 1) % len(c.epochs)
	c.epochs[c.filled].await()
}

// drain returns when all is judged. The same epoch is filled on, from the start.
func (c *court) drain() {
	c.hand()
	c.epochs[c.filled].await()
}

func (c *court) hand() {
	e := &c.epochs[c.filled]
	e.sent = true
	c.queue <- e
}

// await returns when an epoch is back.
func (e *epoch) await() {
	if e.sent {
		<-e.judged
		e.sent = false
	}
}

// close ends the goroutine when all is judged.
func (c *court) close() {
	c.drain()
	close(c.queue)
	c.wait.Wait()
}
