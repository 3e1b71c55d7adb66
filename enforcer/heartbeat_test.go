package enforcer

import (
	"testing"
	"time"
)

// TestHeartbeatsTellWhatStandsStill: an enforcer that is stuck, and a disk that does
// not answer, have an age.
func TestHeartbeatsTellWhatStandsStill(t *testing.T) {
	o := options(t, nil)
	o.Observe = true
	a := start(t, DefaultConfig(), o)
	ahead := func() Heartbeats { return a.Heartbeats(time.Now().Add(time.Minute)) }
	release, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = a.do(t.Context(), func() error { close(held); <-release; return nil })
	}()
	<-held
	// What it noted at its start may still be on its way to the disk.
	eventually(t, slack*20*time.Second, "it is stuck, and the disk is not", func() bool {
		h := ahead()
		return h.Writer >= 50*time.Second && h.Ledger == 0
	})
	close(release)
	a.flush()
	a.journal.busy.Store(time.Now().UnixNano()) // a commit that has begun
	if h := ahead(); h.Ledger < 50*time.Second {
		t.Errorf("while the disk does not answer: %+v", h)
	}
	a.journal.busy.Store(0)
	eventually(t, slack*20*time.Second, "it is at rest", func() bool {
		h := a.Heartbeats(time.Now())
		return h.Writer <= 10*time.Second && h.Ledger == 0
	})
}

// TestADiskThatDoesNotAnswerHoldsUpNoBlock: nobody waits for a commit that has been
// running for long, and what is too much to keep is looked up later.
func TestADiskThatDoesNotAnswerHoldsUpNoBlock(t *testing.T) {
	t.Parallel()
	o := options(t, nil)
	o.Observe, o.Logger = true, nil
	a := start(t, DefaultConfig(), o)
	a.journal.settle(func(error) {})
	stuck, answers := make(chan struct{}), make(chan struct{})
	a.journal.settle(func(error) { close(stuck); <-answers }) // the journal's goroutine
	<-stuck
	a.journal.busy.Store(time.Now().Add(-time.Minute).UnixNano())
	const n = 5 * journalBlocks / 2
	for i := range n {
		a.Block(said("mx1", flooded(1, i), 1, time.Now().Add(time.Hour)))
	}
	var full int
	eventually(t, slack*20*time.Second, "all are on the list and wait for the disk", func() bool {
		a.journal.mu.Lock()
		defer a.journal.mu.Unlock()
		full = len(a.journal.blocks)
		return a.Count() == n && full+len(a.journal.lean) >= n
	})
	if full > 2*journalBlocks {
		t.Errorf("%d whole blocks wait", full)
	}
	close(answers)
	a.flush()
	a.stop()
	if b := start(t, DefaultConfig(), o); b.Count() != n {
		t.Errorf("%d of %d blocks after a restart", b.Count(), n)
	}
}
