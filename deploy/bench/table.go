package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// printTable prints the outcomes of a contest, one a line: the median of every
// measure, of the first also its range and its ratio to the first contestant's.
func printTable(w io.Writer, c *contest, outcomes []outcome) {
	heads := measuresOf(outcomes)
	fmt.Fprintf(w, "\n### %s\n\n", c.title)
	if len(heads) == 0 {
		heads = []measure{{name: "-"}}
	}
	fmt.Fprintf(w, "| | %s | range | × %s |", heads[0].name, cmp.Or(c.beside, "uppercut"))
	for _, h := range heads[1:] {
		fmt.Fprintf(w, " %s |", h.name)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(heads)+2))
	for i := range outcomes {
		printOutcome(w, &outcomes[i], &outcomes[0], heads)
	}
}

// measuresOf lists what was measured, in the order in which it first appears.
func measuresOf(outcomes []outcome) []measure {
	var heads []measure
	for _, o := range outcomes {
		for _, round := range o.rounds {
			for _, m := range round {
				if !slices.ContainsFunc(heads, func(h measure) bool { return h.name == m.name }) {
					heads = append(heads, m)
				}
			}
		}
	}
	return heads
}

func printOutcome(w io.Writer, o, uppercut *outcome, heads []measure) {
	if o.skipped != "" {
		fmt.Fprintf(w, "| %s | skipped: %s |%s\n", o.name, o.skipped, strings.Repeat(" |", len(heads)+1))
		return
	}
	fmt.Fprintf(w, "| %s |", o.name)
	for i, h := range heads {
		values := o.values(h.name)
		if len(values) == 0 {
			fmt.Fprint(w, " |")
		} else {
			fmt.Fprintf(w, " %s |", number(median(values), h.digits))
		}
		if i == 0 {
			fmt.Fprintf(w, " %s | %s |", spread(values, h.digits), against(o, uppercut))
		}
	}
	fmt.Fprintln(w)
}

// spread is the lowest and the highest of values.
func spread(values []float64, digits int) string {
	if len(values) < 2 {
		return ""
	}
	return number(slices.Min(values), digits) + " to " + number(slices.Max(values), digits)
}

func against(o, uppercut *outcome) string {
	ratio, ok := o.ratio(uppercut)
	if !ok {
		return ""
	}
	return strconv.FormatFloat(ratio, 'g', 3, 64)
}

// number prints v with commas between thousands.
func number(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}
