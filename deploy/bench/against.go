package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// duel makes a contest of two builds out of one of uppercut and its rivals: the
// other build comes first, so that figures are set against it.
func (b *bench) duel(r row) (*contest, error) {
	c, err := r.contest(b)
	if err != nil {
		return nil, err
	}
	if c.with == nil {
		return nil, errors.New("no row for two builds")
	}
	ours := c.contestants[0]
	theirs := ours
	theirs.run = c.with(b.against)
	theirs.name, ours.name = "the other build", "this build"
	c.beside, c.contestants = "the other build", []contestant{theirs, ours}
	return c, nil
}

// printRatios prints a last row for a duel: each measure over that of the other
// build in the same round, the median of the rounds.
func printRatios(w io.Writer, outcomes []outcome) {
	theirs, ours := &outcomes[0], &outcomes[1]
	fmt.Fprint(w, "| this / other |")
	for i, h := range measuresOf(outcomes) {
		fmt.Fprintf(w, " %s |", ratioText(ours.ratios(theirs, h.name)))
		if i == 0 {
			fmt.Fprint(w, " | |")
		}
	}
	fmt.Fprintln(w)
}

func ratioText(ratios []float64) string {
	if len(ratios) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}
