package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
)

// contest is a task and those who compete in it.
type contest struct {
	name  string // for -rows
	title string
	// beside says whose figures the others are compared with: the first of
	// the contestants; "" for uppercut.
	beside string
	// limit is the most rounds that make sense, 0 for any number.
	limit int
	// contestants are uppercut and, behind it, its rivals.
	contestants []contestant
	// with returns uppercut's run with another program; nil where there is none.
	with func(uppercut string) func(context.Context) ([]measure, error)
}

// contestant can do a contest's task.
type contestant struct {
	name string
	// needs is the program that must be installed; "" for none.
	needs string
	// run does the task once. The first of the measures is the one that the
	// contest is about.
	run func(context.Context) ([]measure, error)
}

// measure is one figure of a run.
type measure struct {
	name  string // with its unit; a column's head
	value float64
	// digits after the decimal point are printed.
	digits int
}

// outcome is what a contestant showed in all rounds.
type outcome struct {
	name    string
	skipped string // why it did not run; "" if it did
	// rounds holds the measures of each round.
	rounds [][]measure
}

// play lets the contestants compete in turns.
func (c *contest) play(ctx context.Context, rounds int) ([]outcome, error) {
	outcomes := make([]outcome, len(c.contestants))
	if c.limit > 0 {
		rounds = min(rounds, c.limit)
	}
	for range rounds {
		for i := range c.contestants {
			if err := c.contestants[i].play(ctx, &outcomes[i]); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c.name, c.contestants[i].name, err)
			}
		}
	}
	return outcomes, nil
}

func (c *contestant) play(ctx context.Context, o *outcome) error {
	o.name = c.name
	if c.needs != "" {
		if _, err := exec.LookPath(c.needs); errors.Is(err, exec.ErrNotFound) {
			o.skipped = c.needs + " is not installed"
			return nil
		}
	}
	measures, err := c.run(ctx)
	if err != nil {
		return err
	}
	o.rounds = append(o.rounds, measures)
	return nil
}

// values returns a measure of all rounds.
func (o *outcome) values(name string) []float64 {
	var values []float64
	for _, round := range o.rounds {
		for _, m := range round {
			if m.name == name {
				values = append(values, m.value)
			}
		}
	}
	return values
}

// ratio is the median of this outcome's first measure over that of uppercut in
// the same round. It is false where one of them has none.
func (o *outcome) ratio(uppercut *outcome) (float64, bool) {
	if len(o.rounds) == 0 {
		return 0, false
	}
	ratios := o.ratios(uppercut, o.rounds[0][0].name)
	if len(ratios) == 0 {
		return 0, false
	}
	return median(ratios), true
}

// ratios are a measure of this outcome over that of another in the same round.
func (o *outcome) ratios(other *outcome, name string) []float64 {
	var ratios []float64
	ours, theirs := o.values(name), other.values(name)
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] != 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	return ratios
}

// median returns the middle of values, of which there must be one at least; of
// an even number the upper of the two in the middle.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
