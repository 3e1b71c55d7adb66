package blocklist

import (
	"fmt"
	"testing"
	"time"
)

// TestSharesCountWhatIsThere: the counts of the shares are those of the list,
// whatever has come and gone.
func TestSharesCountWhatIsThere(t *testing.T) {
	l := New(64, epoch)
	put := func(p, witness string) {
		l.Put(&Block{Prefix: prefix(p), Witness: witness, Until: epoch.Add(time.Hour), Rule: "r"})
	}
	for i := range 50 {
		put(fmt.Sprintf("192.0.2.%d/32", i), fmt.Sprint("mx", i%3))
		put(fmt.Sprintf("2001:db8:0:%x::/64", i), fmt.Sprint("mx", i%2))
		put(fmt.Sprintf("10.%d.0.0/16", i), "mx9")
	}
	put("192.0.2.1/32", "")
	put("192.0.2.2/32", "mx0")
	l.Remove(prefix("192.0.2.3/32"))
	l.AddHole(prefix("2001:db8:0:5::1/128"))
	want := map[group]int{}
	for slot := range l.Slots(0) {
		if g := l.groupOf(l.At(slot)); g.witness != 0 {
			want[g]++
		}
	}
	if len(want) != len(l.shares.alone) {
		t.Errorf("%v, want %v", l.shares.alone, want)
	}
	for g, n := range want {
		if l.shares.alone[g] != n {
			t.Errorf("%v: %d, want %d", g, l.shares.alone[g], n)
		}
	}
}

// TestWitnessesWithoutANumber share one, and are not taken for many who agree.
func TestWitnessesWithoutANumber(t *testing.T) {
	l := New(64, epoch)
	for i := range 1 << 16 {
		l.number(fmt.Sprint("name ", i))
	}
	e := l.Put(&Block{Prefix: prefix("192.0.2.1/32"), Witness: "late", Until: epoch, Rule: "r"})
	if e.witness == 0 || l.names[e.witness] != otherWitness {
		t.Errorf("witness %d, %q", e.witness, l.names[e.witness])
	}
}
