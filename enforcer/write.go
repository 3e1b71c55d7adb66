package enforcer

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"uppercut/enforcer/nft"
)

// All of this file runs on the goroutine of Run.

// write makes the kernel's elements of these prefixes what the list wants. It
// returns those that the kernel refuses, taken out of the list.
func (e *Enforcer) write(ps []netip.Prefix) []Refusal {
	if e.firewall == nil || e.suspended || e.kernel.broken != nil || len(ps) == 0 {
		return nil // in the list they are written by the next rebuild
	}
	now := time.Now()
	elems := make([]nft.Element, 0, len(ps))
	ps = compact(ps)
	e.knockNoMore(slices.Values(ps))
	for _, p := range ps {
		elems = append(elems, nft.Element{Prefix: p, Timeout: e.timeLeft(p, now)})
	}
	// What goes makes room for what comes, also from one batch to the next.
	slices.SortStableFunc(elems, func(a, b nft.Element) int { return rank(a) - rank(b) })
	var refused []nft.Refusal
	for batch := range slices.Chunk(elems, nft.MaxBatch) {
		start := time.Now()
		r, err := e.firewall.Apply(batch)
		e.metrics.observe(operationOf(batch), start, err)
		if err != nil {
			e.fail(err)
			return nil
		}
		e.lag.Store(max(e.lag.Load(), int64(time.Since(start))))
		refused = append(refused, r...)
	}
	if e.stuffed(refused) && e.rebuild() == nil {
		return nil
	}
	return e.refuse(refused)
}

// stuffed reports whether the kernel refused a network because its set is full of
// what has run out: from Linux 6.12 on that is collected when a transaction
// changes the set, and none does that is refused. Writing all anew takes it.
func (e *Enforcer) stuffed(refused []nft.Refusal) bool {
	for _, r := range refused {
		i := e.firewall.Config().SetIndex(r.Prefix)
		if i < firstNet || !nft.Full(r.Err) {
			continue
		}
		if _, expected := e.expected(); uint32(expected[i]) <= e.firewall.Config().NetSize {
			return true
		}
	}
	return false
}

func operationOf(batch []nft.Element) string {
	if batch[len(batch)-1].Timeout > 0 {
		return "add"
	}
	return "delete"
}

func rank(el nft.Element) int {
	if el.Timeout > 0 {
		return 1
	}
	return 0
}

func compact(ps []netip.Prefix) []netip.Prefix {
	slices.SortFunc(ps, netip.Prefix.Compare)
	return slices.Compact(ps)
}

// timeLeft is how long the kernel should keep p; 0 is not at all, nft.Forever has
// no timeout.
func (e *Enforcer) timeLeft(p netip.Prefix, now time.Time) time.Duration {
	want := e.list.Want(p)
	if want == Forever.UnixNano() {
		return nft.Forever
	}
	return max(0, time.Unix(0, want).Sub(now))
}

// refuse takes out of the list what the kernel does not take.
func (e *Enforcer) refuse(refused []nft.Refusal) (out []Refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range refused {
		e.logger.Error("kernel rejected an element", "prefix", r.Prefix, "timeout", r.Timeout, "error", r.Err)
		if _, ok := e.list.Find(r.Prefix); !ok || r.Timeout <= 0 {
			e.kernel.suspect = true // a piece of a network: all anew
			continue
		}
		cause := causeError
		if nft.Full(r.Err) {
			cause = causeSetFull
		}
		b, _ := e.list.Remove(r.Prefix)
		e.changes.add(&b, cause)
		e.journal.refused(r.Prefix)
		out = append(out, Refusal{r.Prefix, cause})
	}
	return out
}

// kernelState is what is known of the kernel; of the goroutine of Run.
type kernelState struct {
	broken  error // the last write failed: the list is ahead of the kernel
	retryAt time.Time
	pause   time.Duration
	suspect bool // elements are not what they should be
	unheard bool // since the last look, changes may not have been announced
	asked   uint32
	ended   recent
}

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// fail notes that the kernel did not take a batch. The list goes on, and is
// written as a whole when the kernel answers again.
func (e *Enforcer) fail(err error) {
	k := &e.kernel
	if k.broken == nil {
		e.logger.Error("cannot write the firewall; retrying", "error", explain(err))
		k.pause = firstPause
	} else {
		k.pause = min(2*k.pause, lastPause)
	}
	if errors.Is(err, nft.ErrAnswerLost) && k.broken == nil {
		k.pause = 0 // it may well have been done
	}
	k.broken = err
	k.retryAt = time.Now().Add(k.pause)
	e.setTrouble(err)
}

// rebuild writes the whole list, in one transaction.
func (e *Enforcer) rebuild() error {
	if err := e.reopen(); err != nil {
		e.fail(err)
		return err
	}
	start := time.Now()
	err := e.firewall.Replace(e.elementsWanted)
	e.metrics.observe("setup", start, err)
	if err != nil {
		e.fail(err)
		return err
	}
	if e.kernel.broken != nil {
		e.logger.Info("firewall is writable again")
	}
	e.kernel.broken, e.kernel.suspect = nil, false
	e.lag.Store(int64(time.Since(start)))
	e.knockNoMore(e.list.Overlapping(nil))
	e.setTrouble(nil)
	return nil
}

// reopen opens new sockets after a failure that another try may not mend.
func (e *Enforcer) reopen() error {
	if e.kernel.broken == nil || errors.Is(e.kernel.broken, fs.ErrPermission) {
		return nil
	}
	return e.firewall.Reopen()
}

// elementsWanted yields what the kernel should hold.
func (e *Enforcer) elementsWanted(yield func(nft.Element) bool) {
	now := time.Now()
	for slot := range e.list.Slots(0) {
		entry := e.list.At(slot)
		if entry.IsNetwork() {
			continue
		}
		p := entry.Prefix()
		if left := e.timeLeft(p, now); left > 0 && !yield(nft.Element{Prefix: p, Timeout: left}) {
			return
		}
	}
	for p := range e.list.Pieces() {
		if e.list.Hashed(p) {
			continue
		}
		if left := e.timeLeft(p, now); left > 0 && !yield(nft.Element{Prefix: p, Timeout: left}) {
			return
		}
	}
}
