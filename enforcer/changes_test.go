package enforcer

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// follower holds what it has heard of a list.
type follower struct {
	enforcer *Enforcer
	position uint64
	ids      map[netip.Prefix]uint64
	wholes   int
}

func follow(e *Enforcer) *follower { return &follower{enforcer: e} }

// catchUp hears all that has changed, and returns it in words.
func (f *follower) catchUp() (said []string) {
	for {
		changes, next, ok := f.enforcer.Changes(f.position)
		if !ok {
			f.position, _ = f.enforcer.Position()
			f.ids = map[netip.Prefix]uint64{}
			f.wholes++
			for b := range f.enforcer.Blocks() {
				f.ids[b.Prefix] = b.ID
			}
			said = append(said, "whole")
			continue
		}
		for _, c := range changes {
			if c.Ended == "" {
				f.ids[c.Prefix] = c.ID
			} else {
				delete(f.ids, c.Prefix)
			}
			said = append(said, fmt.Sprint(c.Prefix, " ", c.Rule, " ", c.Ended))
		}
		if f.position = next; len(changes) == 0 {
			return said
		}
	}
}

func ids(e *Enforcer) map[netip.Prefix]uint64 {
	m := map[netip.Prefix]uint64{}
	for b := range e.Blocks() {
		m[b.Prefix] = b.ID
	}
	return m
}

// TestChanges: a follower hears of each step in order, and asks for the whole
// when something changes that is none.
func TestChanges(t *testing.T) {
	o := Options{StateDir: t.TempDir(), Observe: true}
	a := start(t, DefaultConfig(), o)
	ctx, f := t.Context(), follow(a.Enforcer)
	hear := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, f.catchUp()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if diff := cmp.Diff(ids(a.Enforcer), f.ids, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: the follower's list: %s", what, diff)
		}
	}
	hear("at the start", "whole")
	_, changed := a.Position()
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	<-changed
	hear("a verdict", "192.0.2.1/32 burst ")
	a.Block(verdict("192.0.2.1/32", 2*time.Hour))
	a.flush()
	hear("a longer one", "192.0.2.1/32 burst ")
	if _, err := a.BlockNow(ctx, "op", "", time.Now().Add(time.Hour), prefix("198.51.100.0/24")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Unblock(ctx, "op", "", prefix("192.0.2.1/32")); err != nil {
		t.Fatal(err)
	}
	hear("orders", "198.51.100.0/24 manual ", "192.0.2.1/32 burst manual")
	for _, list := range [][]netip.Prefix{{prefix("203.0.113.1/32")}, nil} {
		if _, err := a.SetListed(ctx, list); err != nil {
			t.Fatal(err)
		}
	}
	hear("a block list", "203.0.113.1/32 blocklist ", "203.0.113.1/32 blocklist delisted")
	if _, err := a.Allow(ctx, AllowEntry{Prefix: prefix("198.51.100.7/32")}); err != nil {
		t.Fatal(err)
	}
	hear("a hole", "whole")
	if _, err := a.Disallow(ctx, "op", "", prefix("198.51.100.7/32")); err != nil {
		t.Fatal(err)
	}
	hear("a hole that is closed", "whole")
	if err := a.Flush(ctx, "op", "", time.Time{}, false); err != nil {
		t.Fatal(err)
	}
	hear("a flush", "whole")
	if err := a.Resume(ctx, "op", ""); err != nil {
		t.Fatal(err)
	}
	hear("the end of it", "whole")
	hear("nothing")
}

// TestChangesOfAFullSet: who makes room, and a verdict for which there is none.
func TestChangesOfAFullSet(t *testing.T) {
	c := DefaultConfig()
	c.MaxAddresses = 1
	a := start(t, c, Options{StateDir: t.TempDir(), Observe: true})
	f := follow(a.Enforcer)
	f.catchUp()
	for i, score := range []float64{10, 20, 5} {
		b := verdict(fmt.Sprintf("192.0.2.%d/32", i+1), time.Hour)
		b.Score = score
		a.Block(b)
		a.flush()
	}
	want := []string{
		"192.0.2.1/32 burst ", "192.0.2.2/32 burst ", "192.0.2.1/32 burst capacity",
		"192.0.2.3/32 burst ", "192.0.2.3/32 burst set_full",
	}
	if diff := cmp.Diff(want, f.catchUp()); diff != "" {
		t.Error(diff)
	}
}

// TestSlowFollower: one that falls behind by more than is kept is told so, and has
// the same list in the end; it never holds up a block.
func TestSlowFollower(t *testing.T) {
	a := start(t, DefaultConfig(), Options{StateDir: t.TempDir(), Observe: true})
	slow, quick := follow(a.Enforcer), follow(a.Enforcer)
	slow.catchUp()
	quick.catchUp()
	done := make(chan struct{})
	var following sync.WaitGroup
	following.Go(func() {
		for {
			_, changed := a.Position()
			quick.catchUp()
			select {
			case <-changed:
			case <-done:
				return
			}
		}
	})
	for i := range keptChanges + 1 {
		a.Block(verdict(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), time.Hour))
	}
	a.flush()
	close(done)
	following.Wait()
	if slow.catchUp(); slow.wholes != 2 {
		t.Errorf("the slow follower has asked for the whole %d times, want 2", slow.wholes)
	}
	quick.catchUp()
	for name, f := range map[string]*follower{"slow": slow, "quick": quick} {
		if diff := cmp.Diff(ids(a.Enforcer), f.ids, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestPositions: exactly what is kept is told, and positions of others are refused.
func TestPositions(t *testing.T) {
	began := time.Unix(1_700_000_000, 123)
	c := newChanges(began)
	first, _ := c.position()
	for i := range keptChanges {
		c.add(&Block{ID: uint64(i)}, "")
	}
	var told []uint64
	for from := first; ; {
		page, next, ok := c.after(from)
		if !ok {
			t.Fatal("what is kept is not told")
		}
		for _, change := range page {
			told = append(told, change.ID)
		}
		if from = next; len(page) == 0 {
			break
		}
	}
	if len(told) != keptChanges || !slices.IsSorted(told) {
		t.Errorf("%d changes, in order: %v", len(told), slices.IsSorted(told))
	}
	c.add(&Block{ID: 1}, causeManual)
	if _, _, ok := c.after(first); ok {
		t.Error("one more, and the oldest is still told")
	}
	if page, _, ok := c.after(first + 1); !ok || page[0].ID != 1 {
		t.Errorf("the oldest that is kept: %v, %v", page, ok)
	}
	now, _ := c.position()
	if _, _, ok := c.after(now + 1); ok {
		t.Error("a position to come is known")
	}
	later := newChanges(began.Add(time.Minute))
	if _, _, ok := later.after(now); ok {
		t.Error("a position of the last run is known")
	}
	c.reset()
	if _, _, ok := c.after(now); ok {
		t.Error("after a reset the follower need not ask for the whole")
	}
}
