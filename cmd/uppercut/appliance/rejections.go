package appliance

import (
	"context"
	"strings"
	"sync"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
	"uppercut/detector/offence"
)

// rejections keeps the last clients that mail hosts refused, for people to watch.
// Of more than 20 a second it keeps some: nobody reads faster. It is safe for
// concurrent use.
type rejections struct {
	last time.Time // when one was kept; of the goroutine that calls event

	mu   sync.Mutex
	ring [100]console.Rejection
	next int
}

const (
	rejectionPause   = 50 * time.Millisecond
	maxRejectionText = 300 // bytes
)

// event takes an event of the judge; the strings may lie in a buffer that is used
// again.
func (r *rejections) event(l *detector.Line, e *offence.Event) {
	if e.Kind != offence.Offence || l.Received.Sub(r.last).Abs() < rejectionPause {
		return
	}
	r.last = l.Received
	kept := console.Rejection{
		Time: e.Time, Addr: e.Addr, Host: strings.Clone(l.Host), Sender: strings.Clone(l.Sender),
		Reason: e.Reason.String(), Text: strings.Clone(terminal.Shortened(e.Text(), maxRejectionText)),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next%len(r.ring)] = kept
	r.next++
}

// latest returns up to n, newest first.
func (r *rejections) latest(n int) []console.Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []console.Rejection{}
	for i := r.next - 1; i >= 0 && i >= r.next-len(r.ring) && len(out) < n; i-- {
		out = append(out, r.ring[i%len(r.ring)])
	}
	return out
}

// Rejections implements console.Reader.
func (a *Appliance) Rejections(_ context.Context, limit int) ([]console.Rejection, error) {
	return a.rejections.latest(limit), nil
}
