package console

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// A chart is drawn in a box of chartWidth by chartHeight units, which the page
// stretches to whatever room there is; words stand outside of it.
const (
	chartHeight = 120
	maxBands    = 6 // names drawn apart; the rest is one band more
)

// chart is a picture of counts over time, stacked by name.
type chart struct {
	ID, Title string
	// Choices are what the picture can be broken down by.
	Choices []choice
	Width   int
	Height  int
	Bands   []band
	Slots   []slotNote
	// Top is what the upper edge means, in counts a minute.
	Top   string
	Hours []string
	Total uint64
	// In is the time that it covers, in words.
	In string
}

// choice is a link to the same page with another picture.
type choice struct {
	By, URL string
	Current bool
}

// band is one name's part of the stack.
type band struct {
	Name  string
	Class string // of its colour
	Path  string // an SVG path
	Total uint64
}

// slotNote is what a column says when it is pointed at.
type slotNote struct {
	X    int
	Text string
}

// newChart stacks trends of the usual span.
func newChart(title string, trends []trend, now time.Time) chart {
	return newChartOver(usualSpan, title, trends, now)
}

// newChartOver stacks trends of a span. Slots are columns of width 1.
func newChartOver(over span, title string, trends []trend, now time.Time) chart {
	bands := foldTrends(trends)
	peak := uint64(1)
	sums := make([]uint64, over.slots)
	for _, t := range bands {
		for i, n := range t.counts {
			sums[i] += n
			peak = max(peak, sums[i])
		}
	}
	top, label := niceTop(peak, over.width)
	c := chart{
		Title: title, Width: over.slots, Height: chartHeight, In: over.words(),
		Top:   label,
		Hours: axisLabels(over, now),
	}
	floor := make([]uint64, over.slots)
	colours := colourBands(bands, len(trends) > len(bands))
	for i, t := range bands {
		c.Bands = append(c.Bands, band{t.Name, fmt.Sprintf("band%d", colours[i]), stackPath(floor, t.counts, top), t.Total})
		c.Total += t.Total
	}
	for i, n := range sums {
		if n > 0 {
			c.Slots = append(c.Slots, slotNote{i, fmt.Sprintf("%s: %s", over.start(now, i).Local().Format(over.layout()), count(n))})
		}
	}
	return c
}

// foldTrends keeps the largest and makes one of the rest.
func foldTrends(ts []trend) []trend {
	if len(ts) <= maxBands+1 {
		return ts
	}
	rest := trend{Name: fmt.Sprintf("%d others", len(ts)-maxBands), counts: make([]uint64, len(ts[0].counts))}
	for _, t := range ts[maxBands:] {
		rest.Total += t.Total
		for i, n := range t.counts {
			rest.counts[i] += n
		}
	}
	return append(ts[:maxBands:maxBands], rest)
}

// colourSalt gives the rules of the default configuration, manual and block list
// included, colours apart.
const colourSalt = "hue"

// colourBands gives each band a colour, 0 to maxBands, that depends on the names
// shown and not on their counts, so that a name keeps its colour while the counts
// change. The last colour is that of the rest, if folded.
func colourBands(bands []trend, folded bool) []int {
	if folded {
		last := len(bands) - 1
		return append(colourBands(bands[:last], false), maxBands)
	}
	order := make([]int, len(bands))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(bands[a].Name, bands[b].Name) })
	colours := make([]int, len(bands))
	var taken [maxBands + 1]bool
	for _, i := range order {
		h := fnv.New32a()
		_, _ = h.Write([]byte(colourSalt + bands[i].Name)) // never fails
		colour := int(h.Sum32() % maxBands)
		for taken[colour] {
			colour = (colour + 1) % (maxBands + 1)
		}
		colours[i], taken[colour] = colour, true
	}
	return colours
}

// stackPath draws columns of counts upon floor, and raises floor by them.
func stackPath(floor, counts []uint64, top uint64) string {
	var p strings.Builder
	y := func(n uint64) float64 { return chartHeight * (1 - float64(n)/float64(top)) }
	for i, n := range counts {
		if n > 0 {
			fmt.Fprintf(&p, "M%d %.5gV%.5gh1V%.5gz", i, y(floor[i]), y(floor[i]+n), y(floor[i]))
			floor[i] += n
		}
	}
	return p.String()
}

// niceTop returns the least of 1, 2 or 5 times a power of ten, times the minutes
// of a slot of that width, or its hours, that is not below n, so that the axis
// says a round number; and what it says.
func niceTop(n uint64, width time.Duration) (top uint64, label string) {
	per, unit := uint64(width/time.Minute), "/min"
	if hours := uint64(width / time.Hour); hours > 0 {
		per, unit = hours, "/h"
	}
	for power := uint64(1); ; power *= 10 {
		for _, step := range []uint64{1, 2, 5} {
			if step*power*per >= n {
				return step * power * per, count(step*power) + unit
			}
		}
	}
}

// layout is how the times of a span are written.
func (s span) layout() string {
	if s.length() > 24*time.Hour {
		return "Jan 2 15:04"
	}
	return "15:04"
}

// axisLabels are seven times evenly along the axis.
func axisLabels(over span, now time.Time) []string {
	layout := "15:04"
	if over.length() > 24*time.Hour {
		layout = "Jan 2"
	}
	labels := make([]string, 0, 7)
	for i := range 6 {
		labels = append(labels, over.start(now, i*over.slots/6).Local().Format(layout))
	}
	return append(labels, "now")
}

// scoreChart is a source's score against one rule over the rule's window.
type scoreChart struct {
	RuleScore
	Width, Height int
	Line, Area    string  // SVG paths
	LimitY        float64 // where the rule fires
	BlockX        float64 // where the block began, 0 if it did not within the window
	From, To      time.Time
	Steps         []scoreStep
}

// scoreStep is what the picture says when it is pointed at.
type scoreStep struct {
	X, Width float64
	Text     string
}

const scoreWidth = 600

// newScoreChart draws the course of a score in the window that ends now.
// blocked is when the source was blocked, zero if it was not.
func newScoreChart(r RuleScore, blocked, now time.Time) scoreChart {
	const height = chartHeight
	from := now.Add(-time.Duration(r.Window))
	c := scoreChart{RuleScore: r, Width: scoreWidth, Height: height, From: from, To: now}
	top := max(r.Limit, r.Score)
	for _, p := range r.Course {
		top = max(top, p.Score)
	}
	if top *= 1.15; top <= 0 {
		return c
	}
	x := func(t time.Time) float64 {
		return scoreWidth * min(1, max(0, float64(t.Sub(from))/float64(r.Window)))
	}
	y := func(score float64) float64 { return height * (1 - score/top) }
	var line strings.Builder
	fmt.Fprintf(&line, "M0 %d", height)
	for i, p := range r.Course {
		fmt.Fprintf(&line, "H%.5gV%.5g", x(p.Time), y(p.Score))
		end := now
		if i+1 < len(r.Course) {
			end = r.Course[i+1].Time
		}
		c.Steps = append(c.Steps, scoreStep{
			X: x(p.Time), Width: x(end) - x(p.Time), Text: fmt.Sprintf("%s: %.4g", clock(now, p.Time), p.Score),
		})
	}
	fmt.Fprintf(&line, "H%d", scoreWidth)
	c.Line = line.String()
	c.Area = fmt.Sprintf("%sV%dH0z", c.Line, height)
	c.LimitY = y(r.Limit)
	if blocked.After(from) {
		c.BlockX = x(blocked)
	}
	return c
}

// Percent is the score's share of the limit, at most 100.
func (c scoreChart) Percent() int {
	if c.Limit <= 0 {
		return 0
	}
	return int(min(100, 100*c.Score/c.Limit))
}
