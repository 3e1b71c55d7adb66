package detector

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// TestLineNames: names stay what they are, and equal ones that come close together
// become one.
func TestLineNames(t *testing.T) {
	var n Names
	first := map[string]*byte{}
	for i := range 100 {
		want := fmt.Sprint("mx", i%7)
		l := Line{Host: strings.Clone(want), Tag: strings.Clone("sm-mta")}
		n.Share(&l)
		if l.Host != want || l.Tag != "sm-mta" {
			t.Fatalf("line %d is %s of %s, want sm-mta of %s", i, l.Tag, l.Host, want)
		}
		for _, name := range []string{l.Host, l.Tag} {
			at := unsafe.StringData(name)
			if known := first[name]; known != nil && known != at {
				t.Errorf("line %d: %s has a memory of its own", i, name)
			}
			first[name] = at
		}
	}
	for i := range 100 { // more than are remembered
		want := fmt.Sprint("host", i)
		if got := n.same(want); got != want {
			t.Errorf("%s became %s", want, got)
		}
	}
}
