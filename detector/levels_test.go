package detector

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A set of numbers is the same as a sorted list, near and far.
func TestNumberSet(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	for _, span := range []uint32{64, 5000, 1 << 21} {
		var set numberSet
		var model []uint32 // sorted
		for range 5000 {
			n := random.Uint32N(span)
			i, has := slices.BinarySearch(model, n)
			if set.has(n) != has {
				t.Fatalf("has(%d) = %v", n, !has)
			}
			if has {
				set.remove(n)
				model = slices.Delete(model, i, i+1)
			} else {
				set.add(n)
				model = slices.Insert(model, i, n)
			}
			if set.count != len(model) {
				t.Fatalf("%d members, want %d", set.count, len(model))
			}
			n = random.Uint32N(span)
			i, _ = slices.BinarySearch(model, n)
			got, ok := set.from(n)
			if ok != (i < len(model)) || ok && got != model[i] {
				t.Fatalf("from(%d) = %d, %v among %v", n, got, ok, model)
			}
		}
	}
}

// Who came last is told first, whatever left or came again in between, and in
// the end everybody is told.
func TestLevelBackwards(t *testing.T) {
	var l level
	for n := range uint32(3 * maxLatest) {
		l.add(n)
	}
	l.members.remove(3*maxLatest - 2)
	got := slices.Collect(l.backwards())
	if want := []uint32{3*maxLatest - 1, 3*maxLatest - 3, 3*maxLatest - 4}; !slices.Equal(got[:3], want) {
		t.Errorf("%v, want %v", got[:3], want)
	}
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 3*maxLatest-1 {
		t.Errorf("%d members are told, want all but one of %d", n, 3*maxLatest)
	}
}

// Whoever is evicted, everybody of a level goes before anybody that came later.
func TestStalestGoesRound(t *testing.T) {
	tb := newTable(100, [2]uint64{1, 2})
	for n := range uint32(100) {
		key := testKey(tb, n)
		tb.add(&key)
	}
	gone := map[address]bool{}
	for n := range uint32(100) {
		number := tb.least()
		gone[tb.at(number).addr] = true
		tb.remove(number)
		key := testKey(tb, 1000+n)
		tb.add(&key)
	}
	for n := range uint32(100) {
		if key := testKey(tb, n); !gone[key.addr] {
			t.Errorf("source %d is still there, a later one went before it", n)
		}
	}
	// All heard of again: the search ends all the same.
	for n := uint32(1); n < tb.bound; n++ {
		tb.touch(n, 0)
	}
	if tb.least() == 0 {
		t.Error("nobody is left")
	}
	checkLevels(t, tb)
}
