package detector

import (
	"fmt"
	"testing"
	"time"

	"uppercut/detector/offence"
)

func TestTop(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 100))
	points := map[string]int{"198.51.100.1": 3, "198.51.100.2": 12, "198.51.100.3": 7}
	for addr, n := range points { // 4 points each time
		for range n {
			b.offend(noon, addr, offence.AccessReject)
		}
	}
	// Many that have done the same, fewer than a level remembers in order.
	for i := range 500 {
		b.offend(noon.Add(time.Duration(i)*time.Second), fmt.Sprintf("203.0.113.%d", i%250+1), offence.NullConnection)
	}
	list := b.d.Top(5, noon.Add(time.Minute))
	if len(list) != 5 {
		t.Fatalf("%d sources, want 5", len(list))
	}
	for i, want := range []string{"198.51.100.2/32", "198.51.100.3/32", "198.51.100.1/32", "203.0.113.250/32", "203.0.113.249/32"} {
		if got := list[i].Prefix.String(); got != want {
			t.Errorf("place %d is %s, want %s", i+1, got, want)
		}
	}
	for n, want := range map[int]int{-1: 1, 0: 1, 253: 253, 100_000: 253} {
		if got := len(b.d.Top(n, noon)); got != want {
			t.Errorf("Top(%d) has %d sources, want %d", n, got, want)
		}
	}
}

// Who is blocked is no longer next to a block, and a relay with much accepted
// mail never was.
func TestTopLeavesOut(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 10))
	for i := range 50 {
		b.accept(noon, fmt.Sprintf("192.0.2.%d", i), 70)
	}
	for range 2 {
		b.offend(noon, "198.51.100.1", offence.AccessReject)
	}
	for range 3 {
		b.offend(noon, "198.51.100.2", offence.AccessReject)
	}
	if len(b.verdicts) != 1 {
		t.Fatalf("verdicts: %v", b.verdicts)
	}
	for _, n := range []int{1, 10} {
		if list := b.d.Top(n, noon.Add(time.Minute)); len(list) != 1 || list[0].Prefix != mustPrefix("198.51.100.1/32") {
			t.Errorf("Top(%d): %+v", n, list)
		}
	}
}

// However many there are of a level, a place in the list is not left empty.
func TestTopOfManyEquals(t *testing.T) {
	b := newBench(t, nil)
	for i := range 3 * maxLatest {
		b.offend(noon, client(i).String(), offence.NullConnection)
	}
	b.d.Pardon(noon.Add(time.Minute), b.d.Top(1, noon)[0].Prefix)
	if got := len(b.d.Top(1000, noon)); got != 1000 {
		t.Errorf("%d sources, want 1000", got)
	}
}
