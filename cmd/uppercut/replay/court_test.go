package replay

import (
	"testing"

	"uppercut/detector"
)

// TestCourtGivesChunksBack: also where hardly a line is worth judging, so that the
// log of a quiet host does not pile up in memory.
func TestCourtGivesChunksBack(t *testing.T) {
	d, err := detector.New(detector.DefaultConfig(), detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCourt(d, newReport())
	defer c.close()
	back := make(chan struct{})
	for range epochChunks {
		c.retire(func() { back <- struct{}{} })
	}
	for range epochChunks {
		<-back
	}
}
