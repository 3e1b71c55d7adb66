package enforcer

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/enforcer/nft"
)

// The proof that the kernel does what the list says. Three things watch, each
// for what the others might miss: the kernel's announcements of what others
// do, the generation number of the ruleset, and single elements asked for at a
// steady pace. What is found is put right at once: changed elements one by
// one, everything else by writing the whole table anew in one transaction.

// Drift is a difference between kernel and list that was found and repaired.
type Drift struct {
	Time    time.Time `json:"time"`
	Kinds   []string  `json:"kinds"` // table, chain, rules, set, counter, missing, unexpected, timeout
	Process string    `json:"process,omitempty"`
	PID     uint32    `json:"pid,omitempty"`
}

const keptDrifts = 20

// watch starts to receive the kernel's announcements.
func (e *Enforcer) watch(others *sync.WaitGroup) (<-chan nft.Change, func()) {
	changes := make(chan nft.Change)
	if e.firewall == nil {
		return changes, func() {}
	}
	e.kernel.unheard = true // what came before the first look
	w, err := e.firewall.Watch()
	if err != nil {
		e.logger.Error("cannot watch for firewall changes; checking periodically instead", "error", err)
		e.deaf.Store(true)
		return changes, func() {}
	}
	stop := make(chan struct{})
	others.Go(func() {
		for {
			c, err := w.Next()
			select {
			case <-stop:
				return
			default:
			}
			if err != nil {
				e.logger.Error("lost the watch on firewall changes; checking periodically instead", "error", err)
				e.deaf.Store(true)
				return
			}
			select {
			case changes <- c:
			case <-stop:
				return
			}
		}
	})
	return changes, func() {
		close(stop)
		_ = w.Close()
	}
}

// idle reports whether there is no table of ours to look after.
func (e *Enforcer) idle() bool { return e.firewall == nil || e.suspended }

// vanished reports whether the last write or question failed because the
// kernel lacks what it names: then somebody else has deleted it, which is a
// drift to be told of, and no reason to wait before it is repaired.
func (e *Enforcer) vanished() bool { return errors.Is(e.kernel.broken, unix.ENOENT) }

// changed looks into what somebody else did to our table.
func (e *Enforcer) changed(c nft.Change) {
	vanished := e.vanished()
	if e.idle() || e.kernel.broken != nil && !vanished {
		return
	}
	if c.Flowtables || c.Layout {
		e.follow(c)
	}
	if touched, err := e.firewall.Touched(); c.Lost && !vanished && err == nil && !touched {
		return // the rest of what is repaired: a large change is lost in many pieces
	}
	if c.Layout || c.Intervals || c.Lost || vanished {
		e.metrics.differ(e.inspect(c, vanished))
	}
	if c.Layout || c.Lost || vanished || len(c.Elements) == 0 || e.kernel.broken != nil {
		return
	}
	found, err := e.firewall.Ask(c.Elements)
	if err != nil {
		e.fail(err)
		return
	}
	kinds, now := map[string]int{}, time.Now()
	for i, p := range c.Elements {
		want, left := e.timeLeft(p, now), found[i].Left
		if want == 0 && left > 0 {
			kinds["unexpected"]++
			if e.config.Foreign == ForeignAdopt {
				e.adopt([]nft.Element{{Prefix: p, Timeout: left}})
			}
		} else if kind := e.judge(want, left); kind != "" {
			kinds[kind]++
		}
	}
	e.note(c, kinds)
	e.metrics.differ(kinds)
	e.write(c.Elements)
	e.journal.settle(func(error) {})
}

// follow keeps our rules in front of flowtables; c is what made us look.
func (e *Enforcer) follow(c nft.Change) {
	if e.around.follow(e.firewall, e.logger, time.Now()) {
		e.note(c, map[string]int{"chain": 1})
		e.metrics.repairs.Inc()
	}
}

// check is the regular look at the kernel: has anybody changed anything, and
// are a few elements what they should be.
func (e *Enforcer) check() {
	if e.idle() {
		return
	}
	if e.kernel.broken != nil {
		switch {
		case time.Now().Before(e.kernel.retryAt):
		case e.vanished():
			e.inspect(nft.Change{}, true)
		default:
			_ = e.rebuild() // it logs
		}
		return
	}
	start := time.Now()
	e.follow(nft.Change{})
	changed, err := e.firewall.Changed()
	e.metrics.observe("list", start, err)
	if err != nil {
		e.fail(err)
		return
	}
	found := map[string]int{}
	if changed || e.kernel.suspect {
		// While nothing is announced, a change may be one of our sets.
		found = e.inspect(nft.Change{Lost: changed && e.kernel.unheard}, e.kernel.suspect)
	}
	e.kernel.unheard = e.deaf.Load()
	for kind, n := range e.sample() {
		found[kind] += n
	}
	e.metrics.differ(found)
	e.drops() // so that little is forgotten when somebody resets the counters
}

// inspect compares layout and sets, and rebuilds if they differ or if it must. It
// returns the differences by kind.
func (e *Enforcer) inspect(c nft.Change, must bool) (found map[string]int) {
	found = map[string]int{}
	start := time.Now()
	layout, kinds, err := e.firewall.Check()
	e.metrics.observe("list", start, err)
	if err != nil {
		e.fail(err)
		return found
	}
	for _, k := range kinds {
		found[k]++
	}
	if len(kinds) == 0 {
		s := e.survey(c, layout.Elements)
		e.adopt(s.foreign)
		found = s.found
		if s.blind && len(found) == 0 {
			e.logger.Warn("firewall was changed by more than could be followed and is written anew", "process", c.Process, "pid", c.PID)
		}
		must = must || s.blind
	}
	if len(found) > 0 || must {
		e.note(c, found)
		_ = e.rebuild() // it logs
		e.metrics.repairs.Inc()
	}
	e.metrics.reconciles.Inc()
	e.metrics.reconciled.SetToCurrentTime()
	return found
}

// note counts and logs a drift.
func (e *Enforcer) note(c nft.Change, found map[string]int) {
	d := Drift{Time: time.Now(), Process: c.Process, PID: c.PID}
	for _, kind := range driftKinds {
		if n := found[kind]; n > 0 {
			d.Kinds = append(d.Kinds, kind)
			e.metrics.drift.WithLabelValues(kind).Add(float64(n))
		}
	}
	switch {
	case len(d.Kinds) == 0:
		return
	case d.Process == "" && slices.Equal(d.Kinds, []string{"timeout"}):
		// A machine that was busy, a clock that was set: nobody is accused.
		e.logger.Info("elements had another time left than the list says and are set anew", "elements", found["timeout"])
		return
	}
	e.logger.Warn("firewall was changed by another process; repairing it", "kinds", d.Kinds, "process", d.Process, "pid", d.PID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.drift = append(e.drift, d); len(e.drift) > keptDrifts {
		e.drift = e.drift[1:]
	}
}

// sample asks for the next few elements, and returns the differences by kind.
func (e *Enforcer) sample() map[string]int {
	n := int(float64(e.config.VerifyRate) * e.config.CheckInterval.Seconds())
	ps := e.nextSample(n)
	if len(ps) == 0 {
		return nil
	}
	wrong, err := e.compare(ps)
	if err != nil {
		e.fail(err)
		return nil
	}
	if len(wrong.Prefixes) > 0 {
		e.note(nft.Change{}, wrong.Kinds)
		e.write(wrong.Prefixes)
	}
	if wrong.Kinds["missing"] > 0 {
		e.metrics.repairs.Inc()
	}
	return wrong.Kinds
}

// nextSample returns up to n prefixes that should be in the kernel, going
// around the list.
func (e *Enforcer) nextSample(n int) []netip.Prefix {
	ps := make([]netip.Prefix, 0, n)
	for range 2 {
		for slot := range e.list.Slots(e.kernel.asked) {
			if len(ps) == n {
				return ps
			}
			e.kernel.asked = slot + 1
			if entry := e.list.At(slot); !entry.IsNetwork() {
				ps = append(ps, entry.Prefix())
			}
		}
		if e.kernel.asked == 0 || len(ps) > 0 {
			break
		}
		e.kernel.asked = 0
	}
	return ps
}

// findings are the elements that are not what they should be.
type findings struct {
	Kinds    map[string]int
	Prefixes []netip.Prefix
}

// compare asks the kernel for elements and compares them with the list.
func (e *Enforcer) compare(ps []netip.Prefix) (f findings, err error) {
	f.Kinds = map[string]int{}
	found, err := e.firewall.Ask(ps)
	if err != nil {
		return f, err
	}
	e.metrics.verified.Add(float64(len(ps)))
	now := time.Now()
	e.mu.RLock()
	defer e.mu.RUnlock()
	for i, p := range ps {
		kind := e.judge(e.timeLeft(p, now), found[i].Left)
		if kind != "" && !e.list.Knocks(p) {
			f.Kinds[kind]++
			f.Prefixes = append(f.Prefixes, p)
		}
	}
	return f, nil
}

// tolerance is how far an element's time may be from the list's, beside what the
// last write took: times are worked out before it, and begin to run in it.
const tolerance = 2 * time.Second

// judge compares the time that an element should have left with what it has.
func (e *Enforcer) judge(want, left time.Duration) string {
	switch {
	case want <= ending:
		return "" // about to end, or lifted since we asked
	case left == 0:
		return "missing"
	case (left - want).Abs() > tolerance+time.Duration(e.lag.Load()):
		return "timeout"
	}
	return ""
}
