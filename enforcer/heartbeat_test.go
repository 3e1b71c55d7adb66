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
	if h := ahead(); h.Writer < 50*time.Second || h.Ledger != 0 {
		t.Errorf("while it is stuck: %+v", h)
	}
	close(release)
	a.flush()
	a.journal.busy.Store(time.Now().UnixNano()) // a commit that has begun
	if h := ahead(); h.Ledger < 50*time.Second {
		t.Errorf("while the disk does not answer: %+v", h)
	}
	a.journal.busy.Store(0)
	if h := a.Heartbeats(time.Now()); h.Writer > 10*time.Second || h.Ledger != 0 {
		t.Errorf("at rest: %+v", h)
	}
}

// TestADiskThatDoesNotAnswerHoldsUpNoBlock: nobody waits for a commit that has been
// running for long, and what is too much to keep is looked up later.
func TestADiskThatDoesNotAnswerHoldsUpNoBlock(t *testing.T) {
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
	eventually(t, slack*20*time.Second, "all are on the list", func() bool { return a.Count() == n })
	a.journal.mu.Lock()
	full, lean := len(a.journal.blocks), len(a.journal.lean)
	a.journal.mu.Unlock()
	if full > 2*journalBlocks || full+lean < n {
		t.Errorf("%d blocks and %d prefixes wait", full, lean)
	}
	close(answers)
	a.flush()
	a.stop()
	if b := start(t, DefaultConfig(), o); b.Count() != n {
		t.Errorf("%d of %d blocks after a restart", b.Count(), n)
	}
}
