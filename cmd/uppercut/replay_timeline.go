package main

import (
	"strings"
	"time"
)

// timelineWidth is how many columns a timeline has.
const timelineWidth = 24

// timeline counts in columns of time. It starts with columns of a minute and
// doubles them as often as the span of time asks for, so nobody needs to know
// beforehand how long a log is.
type timeline struct {
	counts []uint32
	// begin and width are of the columns, in seconds.
	begin, width int64
}

// add counts n at a time.
func (t *timeline) add(at time.Time, n uint64) {
	second := at.Unix()
	if t.counts == nil {
		t.counts = make([]uint32, timelineWidth)
		t.width = 60
		t.begin = second - second%t.width
	}
	for second < t.begin {
		t.widenBack()
	}
	for second >= t.begin+t.width*timelineWidth {
		t.widen()
	}
	t.counts[(second-t.begin)/t.width] += uint32(n)
}

// widen doubles the width of the columns and keeps the begin.
func (t *timeline) widen() {
	for i := range timelineWidth {
		sum := uint32(0)
		if 2*i < timelineWidth {
			sum = t.counts[2*i] + t.counts[2*i+1]
		}
		t.counts[i] = sum
	}
	t.width *= 2
}

// widenBack doubles the width of the columns and keeps the end.
func (t *timeline) widenBack() {
	t.begin -= t.width * timelineWidth
	for i := timelineWidth - 1; i >= 0; i-- {
		sum := uint32(0)
		if from := 2*i - timelineWidth; from >= 0 {
			sum = t.counts[from] + t.counts[from+1]
		}
		t.counts[i] = sum
	}
	t.width *= 2
}

// between returns the counts in columns over the time from begin to end.
func (t *timeline) between(begin, end time.Time) []uint32 {
	columns := make([]uint32, timelineWidth)
	span := max(end.Unix()-begin.Unix()+1, 1)
	for i, n := range t.counts {
		middle := t.begin + t.width*int64(i) + t.width/2
		column := (middle - begin.Unix()) * timelineWidth / span
		columns[min(max(column, 0), timelineWidth-1)] += n
	}
	return columns
}

// spark draws the counts as a line of blocks, a dot where there is nothing.
func spark(counts []uint32) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	most := uint64(1)
	for _, n := range counts {
		most = max(most, uint64(n))
	}
	var b strings.Builder
	for _, n := range counts {
		if n == 0 {
			b.WriteRune('·')
			continue
		}
		b.WriteRune(blocks[uint64(n)*uint64(len(blocks)-1)/most])
	}
	return b.String()
}
