package console

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Passwords are compared by bcrypt, which is slow on purpose: 50 ms of a core at
// cost 10. Who guesses must neither take that core from the judge nor go on for
// long: each wrong password is paid for by its address and by its user, checks
// are made one at a time, and after one that found a wrong password the next
// waits.
const (
	// An address may be wrong 5 times, then once in 10 seconds.
	addressFailures = 5
	addressPause    = 10 * time.Second
	// All addresses together may be wrong 20 times about one user, then once in
	// 3 seconds.
	userFailures = 20
	userPause    = 3 * time.Second
	// maxOwing bounds the addresses and users that are remembered for it; the
	// one that is free soonest is forgotten for another.
	maxOwing = 4096
	// maxWaiting bounds the requests that wait for their password to be checked.
	maxWaiting = 8
	// checkRest is how long checks rest after a wrong password, in times of what
	// the check took: guessing takes a quarter of a core at most.
	checkRest = 3
)

// attempts slows those who guess passwords. It is safe for concurrent use.
type attempts struct {
	desk chan struct{} // holds one while a password is checked
	wait chan struct{} // holds those who wait or are checked

	mu    sync.Mutex
	owing map[string]time.Time // when a key has paid for all that it got wrong
}

func newAttempts() *attempts {
	return &attempts{
		desk: make(chan struct{}, 1), wait: make(chan struct{}, maxWaiting),
		owing: make(map[string]time.Time),
	}
}

// price is what a wrong password costs a key.
type price struct {
	key   string
	free  int
	pause time.Duration
}

// prices returns who pays for a wrong password of that user from that address.
func prices(user string, addr netip.Addr) []price {
	prefix, err := addr.Prefix(addressBits(addr))
	if err != nil {
		prefix = netip.Prefix{} // an address of no network: all of them together
	}
	return []price{
		{"address " + prefix.String(), addressFailures, addressPause},
		{"user " + user, userFailures, userPause},
	}
}

// addressBits is how much of an address stands for one machine.
func addressBits(a netip.Addr) int {
	if a.Is4() {
		return 32
	}
	return 64
}

// charge takes the price of a wrong password in advance, or returns for how long
// the caller must wait.
func (a *attempts) charge(now time.Time, all []price) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range all {
		if until, owes := a.owing[p.key]; owes {
			wait = max(wait, until.Sub(now)-time.Duration(p.free-1)*p.pause)
		}
	}
	if wait > 0 {
		return wait
	}
	for _, p := range all {
		a.owe(now, p, p.pause)
	}
	return 0
}

// refund gives back what charge took: the password was right.
func (a *attempts) refund(now time.Time, all []price) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range all {
		a.owe(now, p, -p.pause)
	}
}

func (a *attempts) owe(now time.Time, p price, more time.Duration) {
	until := a.owing[p.key]
	if until.Before(now) {
		until = now
	}
	if until = until.Add(more); !until.After(now) {
		delete(a.owing, p.key)
		return
	}
	if _, known := a.owing[p.key]; !known && len(a.owing) >= maxOwing {
		a.forget(now)
	}
	a.owing[p.key] = until
}

// forget makes room for a key.
func (a *attempts) forget(now time.Time) {
	maps.DeleteFunc(a.owing, func(_ string, until time.Time) bool { return !until.After(now) })
	if len(a.owing) < maxOwing {
		return
	}
	soonest := ""
	for key, until := range a.owing {
		if soonest == "" || until.Before(a.owing[soonest]) {
			soonest = key
		}
	}
	delete(a.owing, soonest)
}

// check runs compare when its turn comes. done is false if too many wait
// already, or ctx has ended.
func (a *attempts) check(ctx context.Context, compare func() bool) (right, done bool) {
	select {
	case a.wait <- struct{}{}:
	default:
		return false, false
	}
	defer func() { <-a.wait }()
	select {
	case a.desk <- struct{}{}:
	case <-ctx.Done():
		return false, false
	}
	began := time.Now()
	right = compare()
	if right {
		<-a.desk
	} else {
		time.AfterFunc(checkRest*time.Since(began), func() { <-a.desk })
	}
	return right, true
}

// withPasswords stands before the exporter-toolkit, which checks passwords, too,
// but neither counts nor slows those who guess.
func (c *Console) withPasswords(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.mayTry(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// mayTry reports whether the password in r, if there is one and there are users,
// is right. Else it has answered.
func (c *Console) mayTry(w http.ResponseWriter, r *http.Request) bool {
	name, password, given := r.BasicAuth()
	hashes, err := c.users.read()
	if !given || err != nil || len(hashes) == 0 {
		return true // the toolkit knows what to say
	}
	hash, known := hashes[name]
	if known && c.users.remembers(hash, password) {
		return true
	}
	if !known {
		hash = nobodysHash
	}
	payers := prices(name, peerAddr(r))
	if wait := c.attempts.charge(time.Now(), payers); wait > 0 {
		c.slowDown(w, r, wait)
		return false
	}
	right, done := c.attempts.check(r.Context(), func() bool { return c.users.matches(hash, password) && known })
	switch {
	case !done:
		c.attempts.refund(time.Now(), payers)
		c.slowDown(w, r, time.Second)
	case right:
		c.attempts.refund(time.Now(), payers)
		return true
	default:
		c.refusePassword(w, r, name, known)
	}
	return false
}

// slowDown answers who guesses, or who comes while others guess.
func (c *Console) slowDown(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	c.metrics.denied.WithLabelValues(deniedSlow).Inc()
	c.logger.Debug("request denied", "cause", deniedSlow, "remote", r.RemoteAddr)
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	http.Error(w, "Too many wrong passwords came from this address or for this user. Wait, then try again.", http.StatusTooManyRequests)
}

// refusePassword answers a wrong password. A name that is none of the users' is
// not logged: it may be a password.
func (c *Console) refusePassword(w http.ResponseWriter, r *http.Request, name string, known bool) {
	c.metrics.denied.WithLabelValues(deniedPassword).Inc()
	if !known {
		name = "(unknown)"
	}
	c.logger.Warn("wrong password for the page", "user", Visible(name), "remote", r.RemoteAddr)
	w.Header().Set("WWW-Authenticate", "Basic")
	http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
}

// peerAddr is the address of who sends r; invalid if it has none.
func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
