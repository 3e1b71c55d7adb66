package replay

import (
	"slices"
	"strings"
	"time"
)

const (
	// timelineWidth is how many columns a timeline counts in; between half of
	// them and all are in use.
	timelineWidth = 48
	// sparkWidth is how many columns it is drawn in.
	sparkWidth = 24
)

// timeline counts in columns of time. It starts with columns of 64 s and doubles them as often as the span of time asks for, so nobody needs to know
// beforehand how long a log is.
type timeline struct {
	counts []uint32
	// begin is when the first column begins, in seconds; a column is 2^shift
	// seconds wide, because to divide by anything else would take a tenth of
	// the time that judging takes.
	begin int64
	shift uint8
}

// width is how wide a column is, in seconds.
func (t *timeline) width() int64 { return 1 << t.shift }

// add counts n at a time.
func (t *timeline) add(at time.Time, n uint64) {
	second := at.Unix()
	if t.counts == nil {
		t.counts = make([]uint32, timelineWidth)
		t.shift = 6
		t.begin = second &^ (t.width() - 1)
	}
	for second < t.begin {
		t.widenBack()
	}
	for second >= t.begin+t.width()*timelineWidth {
		t.widen()
	}
	t.counts[(second-t.begin)>>t.shift] += uint32(n)
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
	t.shift++
}

// widenBack doubles the width of the columns and keeps the end.
func (t *timeline) widenBack() {
	t.begin -= t.width() * timelineWidth
	for i := timelineWidth - 1; i >= 0; i-- {
		sum := uint32(0)
		if from := 2*i - timelineWidth; from >= 0 {
			sum = t.counts[from] + t.counts[from+1]
		}
		t.counts[i] = sum
	}
	t.shift++
}

// between returns the counts in columns over the time from begin to end. A
// column that lies in two of those is shared out.
func (t *timeline) between(begin, end time.Time) []float64 {
	columns := make([]float64, sparkWidth)
	width := float64(max(end.Unix()-begin.Unix()+1, 1)) / sparkWidth
	for i, n := range t.counts {
		from := float64(t.begin+t.width()*int64(i)-begin.Unix()) / width
		to := from + float64(t.width())/width
		share(columns, max(from, 0), min(to, sparkWidth), float64(n))
	}
	return columns
}

// share adds n to columns, evenly between from and to.
func share(columns []float64, from, to, n float64) {
	for i := int(from); i < len(columns) && float64(i) < to; i++ {
		overlap := min(to, float64(i+1)) - max(from, float64(i))
		columns[i] += n * overlap / (to - from)
	}
}

// spark draws the counts as a line of blocks, a dot where there is nothing.
func spark(counts []float64) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	most := slices.Max(counts)
	var b strings.Builder
	for _, n := range counts {
		if n == 0 {
			b.WriteRune('·')
			continue
		}
		b.WriteRune(blocks[int(n/most*float64(len(blocks)-1))])
	}
	return b.String()
}
