package enforcer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/enforcer/nft"
)

// Report is what Verify or Repair found.
type Report struct {
	Suspended bool `json:"suspended"`
	// Checked is how many elements were asked for one by one.
	Checked int `json:"checked"`
	// Found counts differences by kind, as in Drift.
	Found map[string]int `json:"found"`
	// Prefixes names the first elements that differ.
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	// Unsearched names the sets in which nobody looked for elements that are not
	// on the list: they are large, and the kernel does not count them (before
	// Linux 6.16).
	Unsearched []string      `json:"unsearched,omitempty"`
	Took       time.Duration `json:"took"`
}

// Sound reports whether the kernel has all that it should have.
func (r Report) Sound() bool { return !r.Suspended && len(r.Found) == 0 }

const maxReported = 100

// Verify compares the kernel with the list: table, chain, rules, sets, and
// every element, one by one, which takes some seconds a million. It changes
// nothing, and blocking goes on meanwhile. It needs Run.
func (e *Enforcer) Verify(ctx context.Context) (r Report, err error) {
	r.Found = map[string]int{}
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	if e.firewall == nil {
		return r, ErrObserving
	}
	e.mu.RLock()
	r.Suspended = e.suspended
	e.mu.RUnlock()
	v, err := order(ctx, e, e.verifyLayout)
	if err != nil {
		return r, err
	}
	r.Found = v.found
	if err := e.verifySets(ctx, &r, v.doubtful); err != nil {
		return r, err
	}
	return r, e.verifyElements(ctx, &r)
}

// verified is what a look at objects and counts found.
type verified struct {
	found map[string]int
	// doubtful are the sets whose counts do not rule out foreign elements, and
	// how many each should have at most.
	doubtful map[int]int
}

// verifyLayout runs on Run's goroutine, between two writes.
func (e *Enforcer) verifyLayout() (v verified, err error) {
	layout, kinds, err := e.firewall.Check()
	if err != nil {
		return v, explain(err)
	}
	v = verified{map[string]int{}, map[int]int{}}
	for _, k := range kinds {
		v.found[k]++
	}
	_, high := e.expected()
	for i, n := range layout.Elements {
		switch excess := n - high[i] - e.kernel.ended.since(i, time.Now()); {
		case i >= firstNet && 0 < n && n <= adoptLimit:
			// A piece that is about to end may be gone, and leave room in the
			// count for a network of somebody else's. They are few: all are listed.
			v.doubtful[i] = high[i]
		case n >= 0 && excess <= 0:
		case i < firstNet && n > adoptLimit:
			v.found["unexpected"] += excess
		default:
			v.doubtful[i] = high[i]
		}
	}
	return v, nil
}

// verifySets looks in the doubtful sets for what is not on the list.
func (e *Enforcer) verifySets(ctx context.Context, r *Report, doubtful map[int]int) error {
	for set, wanted := range doubtful {
		name := nft.Sets[set]
		if wanted > adoptLimit {
			r.Unsearched = append(r.Unsearched, name)
			continue
		}
		elems, whole, err := e.firewall.List(name, adoptLimit)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue // no such set, as was found
		case err != nil:
			return explain(err)
		case !whole:
			r.Unsearched = append(r.Unsearched, name)
		}
		var there []nft.Element
		err = e.do(ctx, func() (err error) {
			foreign, _ := e.suspects(elems)
			there, err = e.present(foreign)
			return err
		})
		if err != nil {
			return explain(err)
		}
		if len(there) > 0 {
			r.Found["unexpected"] += len(there)
		}
		for _, el := range there[:min(len(there), maxReported-len(r.Prefixes))] {
			r.Prefixes = append(r.Prefixes, el.Prefix)
		}
	}
	slices.Sort(r.Unsearched)
	return nil
}

// ErrObserving says that there is no firewall to look at.
var ErrObserving = errors.New("mode is observe: no firewall is touched")

func (e *Enforcer) verifyElements(ctx context.Context, r *Report) error {
	var pending []netip.Prefix
	ask := func() error {
		f, err := e.compare(pending)
		if err != nil {
			return explain(err)
		}
		r.Checked += len(pending)
		if len(f.Prefixes) > 0 {
			f, err = e.compareAgain(ctx, f.Prefixes)
			if err != nil {
				return err
			}
		}
		for k, n := range f.Kinds {
			r.Found[k] += n
		}
		r.Prefixes = append(r.Prefixes, f.Prefixes[:min(len(f.Prefixes), maxReported-len(r.Prefixes))]...)
		pending = pending[:0]
		return ctx.Err()
	}
	for p := range e.elementPrefixes() {
		if pending = append(pending, p); len(pending) == nft.MaxBatch {
			if err := ask(); err != nil {
				return err
			}
		}
	}
	return ask()
}

// compareAgain looks a second time at what seemed wrong: the list may have been
// ahead of the kernel by what was being written.
func (e *Enforcer) compareAgain(ctx context.Context, ps []netip.Prefix) (f findings, err error) {
	f, err = order(ctx, e, func() (findings, error) { return e.compare(ps) })
	if err != nil {
		return f, explain(err)
	}
	return f, nil
}

// elementPrefixes yields what the kernel should have as elements.
func (e *Enforcer) elementPrefixes() func(func(netip.Prefix) bool) {
	return func(yield func(netip.Prefix) bool) {
		for b := range e.Blocks() {
			e.mu.RLock()
			single := e.list.Hashed(b.Prefix)
			e.mu.RUnlock()
			if single && !yield(b.Prefix) {
				return
			}
		}
		e.mu.RLock()
		var pieces []netip.Prefix
		for p := range e.list.Pieces() {
			pieces = append(pieces, p)
		}
		e.mu.RUnlock()
		for _, p := range pieces {
			if !yield(p) {
				return
			}
		}
	}
}

// Repair verifies, and writes the whole table anew whatever was found. It
// returns what was.
func (e *Enforcer) Repair(ctx context.Context, author, note string) (Report, error) {
	r, err := e.Verify(ctx)
	if err != nil && r.Found == nil {
		return r, err
	}
	if r.Suspended {
		return r, ErrSuspended
	}
	err = e.do(ctx, func() error {
		e.record(ActionRepair, author, note, nil, 0)
		e.note(nft.Change{}, r.Found)
		if err := e.rebuild(); err != nil {
			return explain(err)
		}
		e.metrics.repairs.Inc()
		return nil
	})
	return r, err
}

// ErrSuspended says that an operator has flushed the firewall.
var ErrSuspended = errors.New("firewall is suspended: resume it first")
