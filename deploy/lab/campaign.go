package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"uppercut/deploy/netns"
)

// crowding is how many clients are at work at once.
const crowding = 64

// tenacity is how long a Guilty client goes on after it did enough, and pause
// how long it then rests between sessions.
const (
	tenacity = 5 * time.Second
	pause    = 100 * time.Millisecond
)

// enough is the score of the default rule "burst", in points.
const enough = 10

// weights are the default points of an offence, as docs/judging.md gives them.
var weights = map[string]float64{
	"rcpt_trap": 10, "open_proxy": 8, "bogus_cmd": 8, "pregreet": 6, "long_input": 6,
	"dnsbl": 5, "relay_denied": 5, "auth_decode": 5, "access_reject": 4, "bad_command": 4,
	"auth_fail": 3, "ehlo_pipelining": 3, "bad_helo": 3, "no_rdns": 2, "vrfy_expn": 2,
	"milter_reject": 2, "sender_domain": 1, "unknown_user": 1,
}

// Account is what a client knows after its sessions.
type Account struct {
	*Client
	Sessions int
	Refusals []Refusal
	Accepted map[string]int // messages by host
	// Deserved is when the offence was logged that made the score enough;
	// zero if none did.
	Deserved time.Time
	// Silenced is when the gateway stopped answering; zero if it did not.
	Silenced time.Time
	// Err is what did not go as the lab expects.
	Err error
}

// attack lets the crowd loose and returns everybody's account.
func attack(ctx context.Context, internet *netns.Namespace, crowd []*Client) []*Account {
	rand.Shuffle(len(crowd), func(i, j int) { crowd[i], crowd[j] = crowd[j], crowd[i] })
	accounts := make([]*Account, len(crowd))
	queue := make(chan int)
	var workers sync.WaitGroup
	for range crowding {
		workers.Go(func() {
			for i := range queue {
				accounts[i] = crowd[i].work(ctx, internet)
			}
		})
	}
	for i := range crowd {
		queue <- i
	}
	close(queue)
	workers.Wait()
	return accounts
}

// work holds the client's sessions, and again if it is persistent.
func (c *Client) work(ctx context.Context, internet *netns.Namespace) *Account {
	account := &Account{Client: c, Accepted: map[string]int{}}
	for {
		for _, session := range c.sessions {
			account.hold(ctx, internet, session)
			if !account.Silenced.IsZero() || account.Err != nil {
				return account
			}
			if !account.goesOn(ctx) {
				return account
			}
		}
		if !c.persist {
			return account
		}
	}
}

// goesOn rests where the client expects to be blocked, and says whether there
// is to be another session.
func (a *Account) goesOn(ctx context.Context) bool {
	if a.Deserved.IsZero() {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(pause):
		return time.Since(a.Deserved) < tenacity
	case <-ctx.Done():
		return false
	}
}

// hold runs one session and enters what came of it.
func (a *Account) hold(ctx context.Context, internet *netns.Namespace, s session) {
	wait := patience
	if !a.Deserved.IsZero() {
		wait = suspicion
	}
	d := call(ctx, internet, a.Addr, s.host, wait)
	defer d.end()
	d.number, d.wary = a.Sessions, a.persist
	a.Sessions++
	s.act(d)
	for _, refusal := range d.refusals {
		a.Refusals = append(a.Refusals, refusal)
		if a.Deserved.IsZero() && a.Score() >= enough {
			a.Deserved = refusal.At
		}
	}
	a.Accepted[s.host] += d.accepted
	switch {
	case ctx.Err() != nil: // whatever went wrong, we did it
	case errors.Is(d.err, errSilence):
		a.Silenced = time.Now()
	case d.err != nil:
		a.Err = fmt.Errorf("%s, %s from %v: %w", a.Kind, a.Trade, a.Addr, d.err)
	}
}

// Score adds up the refusals, in points.
func (a *Account) Score() float64 {
	var sum float64
	for _, refusal := range a.Refusals {
		sum += weights[refusal.Reason]
	}
	return sum
}

// Tally is how often each host refused for each reason.
type Tally map[Refused]float64

// Refused names a counter of a Tally.
type Refused struct{ Host, Reason string }

func tally(accounts []*Account) Tally {
	count := Tally{}
	for _, account := range accounts {
		for _, refusal := range account.Refusals {
			count[Refused{refusal.Host, refusal.Reason}]++
		}
	}
	return count
}
