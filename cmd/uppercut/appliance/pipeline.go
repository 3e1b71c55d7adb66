package appliance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"uppercut/detector"
	"uppercut/receiver"
)

// queueBatches is how many batches may wait for the judge. A batch holds at
// most receiver.MaxBatch messages of one read; when the queue is full the readers
// wait, and with them the senders.
const queueBatches = 256

// pipelineStall is how long the judge may be away before it counts as stuck.
// It comes around every second unless a snapshot of millions of sources keeps
// it.
const pipelineStall = 30 * time.Second

// batch is what one read brought, parsed.
type batch struct {
	lines           []detector.Line
	judged, release func() // nil if nobody waits
}

// pipeline carries lines from the reading goroutines, where they are parsed, to
// the one goroutine that judges. The detector belongs to that goroutine: others
// use ask.
type pipeline struct {
	reader   atomic.Pointer[detector.Reader]
	detector *detector.Detector
	block    func(detector.Verdict)
	// durable calls its argument when every block so far is safe.
	durable func(func())

	queue     chan *batch
	questions chan func(*detector.Detector)
	ended     chan struct{} // closed when the judge has ended
	free      sync.Pool
	lines     uint64       // judged so far; the judge's own
	heartbeat atomic.Int64 // Unix seconds when the judge last came around; 0 before the first time
}

func newPipeline(r *detector.Reader, d *detector.Detector, block func(detector.Verdict), durable func(func())) *pipeline {
	pl := &pipeline{
		detector:  d,
		block:     block,
		durable:   durable,
		queue:     make(chan *batch, queueBatches),
		questions: make(chan func(*detector.Detector)),
		ended:     make(chan struct{}),
	}
	pl.free.New = func() any { return new(batch) }
	pl.reader.Store(r)
	return pl
}

// handle is the receiver.Handler: it parses on the caller's goroutine and
// waits for room in the queue.
func (pl *pipeline) handle(messages []receiver.Message, judged, release func()) {
	reader := pl.reader.Load()
	b := pl.free.Get().(*batch)
	b.judged, b.release = judged, release
	b.lines = b.lines[:0]
	var names detector.Names
	for i := range messages {
		b.lines = append(b.lines, detector.Line{})
		FillLine(&b.lines[i], &messages[i], reader)
		names.Share(&b.lines[i])
	}
	pl.queue <- b
}

// FillLine reads m into l.
func FillLine(l *detector.Line, m *receiver.Message, reader *detector.Reader) {
	l.Sender = m.Sender
	l.Transport = m.Transport.String()
	l.Received = m.Received
	l.Time = m.Time
	l.Stamp = detector.Stamp(m.Stamp)
	l.Host = m.Host
	l.Tag = m.Tag
	l.PID = m.PID
	l.Wrapper = m.Wrapper
	l.Size, l.Cut, l.Relayed = m.Size, m.Cut, m.Relayed
	reader.Read(l, m.Text)
	l.Digest()
}

// run judges until the queue is closed and empty.
func (pl *pipeline) run() {
	defer close(pl.ended)
	pl.heartbeat.Store(time.Now().Unix())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case b, open := <-pl.queue:
			if !open {
				return
			}
			pl.judge(b)
		case question := <-pl.questions:
			question(pl.detector)
		case now := <-tick.C:
			pl.heartbeat.Store(now.Unix())
			pl.carryOut(pl.detector.Tick(now))
		}
	}
}

func (pl *pipeline) judge(b *batch) {
	for lines := range slices.Chunk(b.lines, detector.MaxAhead) {
		pl.detector.Ahead(lines)
		for i := range lines {
			pl.lines++
			lines[i].Number = pl.lines // by which the detector tells held lines apart
			pl.carryOut(pl.detector.Observe(&lines[i]))
		}
	}
	if b.judged != nil {
		pl.durable(b.judged)
	}
	clear(b.lines) // the strings pin what was read
	if b.release != nil {
		b.release()
	}
	pl.free.Put(b)
}

func (pl *pipeline) carryOut(verdicts []detector.Verdict) {
	for _, v := range verdicts {
		pl.block(v)
	}
}

// alive tells whether the judge came around lately.
func (pl *pipeline) alive(now time.Time) bool {
	last := pl.heartbeat.Load()
	return last != 0 && now.Sub(time.Unix(last, 0)) < pipelineStall
}

// age is how long ago the judge last came around, 0 before its first time.
func (pl *pipeline) age(now time.Time) time.Duration {
	last := pl.heartbeat.Load()
	if last == 0 {
		return 0
	}
	return max(0, now.Sub(time.Unix(last, 0)))
}

// errStopping says that the judge has ended and can be asked no more.
var errStopping = errors.New("uppercut is stopping")

// ask runs question on the judge's goroutine and waits for it.
func (pl *pipeline) ask(ctx context.Context, question func(*detector.Detector)) error {
	done := make(chan struct{})
	select {
	case pl.questions <- func(d *detector.Detector) { question(d); close(done) }:
	case <-pl.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// own runs question on the caller's goroutine; run must have returned.
func (pl *pipeline) own(question func(*detector.Detector)) error {
	question(pl.detector)
	return nil
}

// close says that handle will not be called again; run returns when the queue
// is empty.
func (pl *pipeline) close() { close(pl.queue) }
