package detector

import (
	"testing"
	"time"
	"uppercut/detector/sendmail"
)

// An offence is in the window until the window's whole width has passed.
func TestWindowEdge(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		block bool
	}{
		{0, true},
		{10*time.Minute - time.Nanosecond, true},
		{10 * time.Minute, false},
		{10*time.Minute + time.Nanosecond, false},
	} {
		b := newBench(t, oneRule(10*time.Minute, time.Hour, 12))
		if v := b.offend(noon, "198.51.100.1", sendmail.Pregreet); len(v) > 0 {
			t.Fatalf("6 of 12 points: %v", v)
		}
		v := b.offend(noon.Add(c.after), "198.51.100.1", sendmail.Pregreet)
		if got := len(v) == 1; got != c.block {
			t.Errorf("after %v: blocked %v, want %v", c.after, got, c.block)
		}
	}
}
