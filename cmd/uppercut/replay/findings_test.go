package replay

import (
	"fmt"
	"testing"

	"uppercut/receiver/header"
)

// TestFindingsCountEachTag: lines of many programs, in turns, over two chunks.
func TestFindingsCountEachTag(t *testing.T) {
	for _, programs := range []int{1, 2, 8, 9, maxTagsSeen, maxTagsSeen + 20} {
		var all, chunk findings
		for range 2 {
			for i := range 100 * programs {
				chunk.foreign(&header.Header{Tag: fmt.Sprint("tag", i%programs)})
			}
			all.add(&chunk)
			chunk = chunk.emptied()
		}
		sum := all.other
		for tag, n := range all.tags {
			if n != 200 {
				t.Errorf("%d programs: %d lines of %s", programs, n, tag)
			}
			sum += n
		}
		if len(all.tags) != min(programs, maxTagsSeen) || sum != uint64(200*programs) {
			t.Errorf("%d programs: %d tags, %d lines in all", programs, len(all.tags), sum)
		}
	}
}
