package receiver

import (
	"context"
	"crypto/tls"
	"sync"
	"time"
)

// expiryCheck is how often open connections are asked whether their
// certificates have expired.
const expiryCheck = time.Minute

// visits are the connections that are served: what they may can end before
// they do. It is safe for concurrent use.
type visits struct {
	mu   sync.Mutex
	open map[*visit]struct{}
}

func (v *visits) add(one *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == nil {
		v.open = make(map[*visit]struct{})
	}
	v.open[one] = struct{}{}
}

func (v *visits) remove(one *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.open, one)
}

func (v *visits) all() []*visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]*visit, 0, len(v.open))
	for one := range v.open {
		list = append(list, one)
	}
	return list
}

// endRights closes the connections of those who may no longer log.
func (r *Receiver) endRights(now time.Time) {
	for _, v := range r.visits.all() {
		r.endIfMayNot(v, now)
	}
}

// endIfMayNot closes v if its sender may not log, and reports whether it did.
func (r *Receiver) endIfMayNot(v *visit, now time.Time) (ended bool) {
	err := r.mayLog(v, now)
	if err == nil {
		return false
	}
	v.ended.Do(func() {
		v.listener.counts.reject(handshakeFailure(err))
		r.log.Info("connection closed: the sender is no longer allowed to log",
			"listener", v.listener.transport.String(), "sender", v.from.sender, "peer", v.tcp.RemoteAddr().String(), "error", err)
		reset(v.tcp)
	})
	return true
}

// mayLog returns why the sender of v may not log, nil if it may.
func (r *Receiver) mayLog(v *visit, now time.Time) error {
	k := v.listener.certificates
	if k == nil || !k.mutual() {
		if !r.policy.Load().allows(v.from.addr) {
			return errNotListed
		}
		return nil
	}
	state := k.current()
	var shown tls.ConnectionState
	if secure, ok := v.conn.(*tls.Conn); ok {
		shown = secure.ConnectionState()
	}
	name, err := state.verify(shown, now)
	if err == nil && name != v.from.sender {
		return errName // another of the certificate's names is listed now
	}
	return err
}

// watchRights looks for changes of the certificates and lists, and for
// certificates that expire, until ctx ends.
func (r *Receiver) watchRights(ctx context.Context) error {
	tick := time.NewTicker(certificateCheck)
	defer tick.Stop()
	reading := r.certificates.current().reading
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			latest := r.certificates.current().reading
			if latest != reading || now.Sub(last) >= expiryCheck {
				reading, last = latest, now
				r.endRights(now)
			}
		}
	}
}
