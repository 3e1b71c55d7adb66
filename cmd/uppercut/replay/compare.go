package replay

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
)

// sentence is what became of a prefix under one configuration.
type sentence struct {
	Blocks int       `json:"blocks"`
	First  time.Time `json:"first,omitzero"`
	Rule   string    `json:"rule,omitempty"`
	// Blocked is the sum of all blocks, Seconds the same for JSON.
	Blocked time.Duration `json:"-"`
	Seconds float64       `json:"seconds"`
}

// difference is a prefix that two configurations treat differently.
type difference struct {
	Prefix netip.Prefix `json:"prefix"`
	Base   sentence     `json:"base"`
	Other  sentence     `json:"other"`
}

// longer is by how much the other configuration blocks longer.
func (d difference) longer() time.Duration { return d.Other.Blocked - d.Base.Blocked }

// comparison is the outcome of two configurations on the same logs.
type comparison struct {
	names        [2]string
	reports      [2]*report
	more, less   []difference
	equalBlocked int
}

// Compare judges the logs twice, since configurations may also differ in
// how lines are read. It prints the configurations by these names.
func Compare(ctx context.Context, o Options, name string, other config.Config, otherName string) error {
	base, errBase := judgeAll(ctx, o.input(), o.Config, o.Stderr)
	if base == nil {
		return errBase
	}
	again := o
	again.Config = other
	changed, errOther := judgeAll(ctx, again.input(), other, o.Stderr)
	if changed == nil {
		return errors.Join(errBase, errOther)
	}
	result := compare(name, base, otherName, changed)
	var err error
	if o.JSON {
		err = result.writeJSON(o.Stdout)
	} else {
		err = result.writeText(o.Stdout, o.Top, o.Zone)
	}
	return errors.Join(errBase, err) // the second pass fails as the first did
}

// NeedFiles returns an error if something cannot be read twice.
func NeedFiles(paths []string) error {
	for _, path := range paths {
		if _, regular := fileSize(path); !regular {
			return fmt.Errorf("%s cannot be read twice", path)
		}
	}
	return nil
}

func compare(baseName string, base *report, otherName string, other *report) *comparison {
	c := &comparison{names: [2]string{baseName, otherName}, reports: [2]*report{base, other}}
	before, after := sentences(base.verdicts), sentences(other.verdicts)
	for prefix := range after {
		if _, ok := before[prefix]; !ok {
			before[prefix] = sentence{}
		}
	}
	for prefix, s := range before {
		d := difference{prefix, s, after[prefix]}
		switch longer := d.longer(); {
		case longer > 0:
			c.more = append(c.more, d)
		case longer < 0:
			c.less = append(c.less, d)
		default:
			c.equalBlocked++
		}
	}
	slices.SortFunc(c.more, func(a, b difference) int {
		return cmp.Or(cmp.Compare(b.longer(), a.longer()), a.Prefix.Compare(b.Prefix))
	})
	slices.SortFunc(c.less, func(a, b difference) int {
		return cmp.Or(cmp.Compare(a.longer(), b.longer()), a.Prefix.Compare(b.Prefix))
	})
	return c
}

// sentences sums the verdicts up by prefix.
func sentences(verdicts []detector.Verdict) map[netip.Prefix]sentence {
	all := map[netip.Prefix]sentence{}
	for _, v := range verdicts {
		s := all[v.Prefix]
		if s.Blocks == 0 {
			s.First, s.Rule = v.At, v.Rule
		}
		s.Blocks++
		s.Blocked += v.Until.Sub(v.At)
		s.Seconds = s.Blocked.Seconds()
		all[v.Prefix] = s
	}
	return all
}

// writeText prints up to top prefixes of each kind, all for 0.
func (c *comparison) writeText(w io.Writer, top int, zone *time.Location) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s, %s\n\n", terminal.Plural(c.reports[0].totals.lines, "line"), terminal.Plural(c.reports[0].offences, "offence"))
	for i, name := range c.names {
		r := c.reports[i]
		fmt.Fprintf(out, "%s of %s by %s\n", terminal.Plural(uint64(len(r.verdicts)), "block"), terminal.Plural(uint64(len(sentences(r.verdicts))), "source"), name)
	}
	fmt.Fprintf(out, "%s treated the same\n", terminal.Plural(uint64(c.equalBlocked), "source"))
	for _, part := range []struct {
		title string
		list  []difference
	}{{"Blocked more", c.more}, {"Blocked less", c.less}} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s by %s%s\n", part.title, c.names[1], ofAll(top, len(part.list)))
		for _, d := range first(part.list, top) {
			fmt.Fprintf(out, "  %-25s %s, instead of %s\n", prefixText(d.Prefix), d.Other.text(zone), d.Base.text(zone))
		}
	}
	return out.Flush()
}

func (s sentence) text(zone *time.Location) string {
	switch s.Blocks {
	case 0:
		return "not at all"
	case 1:
		return fmt.Sprintf("%s from %s by %s", console.RoundDuration(s.Blocked), s.First.In(zone).Format(timeLayout), s.Rule)
	}
	return fmt.Sprintf("%s in %d blocks from %s by %s", console.RoundDuration(s.Blocked), s.Blocks, s.First.In(zone).Format(timeLayout), s.Rule)
}

// comparisonJSON is replay --compare --format json.
type comparisonJSON struct {
	Base  reportJSON   `json:"base"`
	Other reportJSON   `json:"other"`
	More  []difference `json:"more"`
	Less  []difference `json:"less"`
}

func (c *comparison) writeJSON(w io.Writer) error {
	return terminal.WriteJSON(w, comparisonJSON{
		c.reports[0].json(), c.reports[1].json(),
		append([]difference{}, c.more...), append([]difference{}, c.less...),
	})
}
