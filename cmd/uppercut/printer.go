package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"uppercut/cmd/uppercut/console"
)

// printer writes aligned columns for people. Text that came from outside goes
// through console.Visible: a log line must not move the cursor.
type printer struct {
	out     io.Writer
	colour  bool
	now     time.Time
	columns *tabwriter.Writer
	aligned bytes.Buffer // what columns writes
	styles  []style      // one for each line
}

// newPrinter returns one that prints to out, in colour where environ allows it.
func newPrinter(out io.Writer, environ []string) *printer {
	p := &printer{out: out, colour: wantsColour(out, environ), now: time.Now()}
	p.columns = tabwriter.NewWriter(&p.aligned, 0, 8, 2, ' ', 0)
	return p
}

// row writes one line of columns.
func (p *printer) row(columns ...any) { p.styled(plain, columns...) }

// styled writes one line of columns that looks so on a terminal.
func (p *printer) styled(s style, columns ...any) {
	for i, column := range columns {
		if i > 0 {
			fmt.Fprint(p.columns, "\t")
		}
		fmt.Fprint(p.columns, console.Visible(fmt.Sprint(column)))
	}
	fmt.Fprintln(p.columns)
	p.styles = append(p.styles, s)
}

// warnNotEnforced says why nothing is dropped, where it is not.
func (p *printer) warnNotEnforced(cause string) {
	if cause != "" {
		p.styled(warning, console.NotEnforcedWords(cause))
	}
}

// Flush writes what has been collected: only now is known how wide columns are.
func (p *printer) Flush() error {
	if err := p.columns.Flush(); err != nil {
		return err
	}
	number := 0
	for line := range strings.Lines(p.aligned.String()) {
		text := strings.TrimRight(line, " \n")
		if p.colour {
			text = p.styles[number].paint(text)
		}
		if _, err := fmt.Fprintln(p.out, text); err != nil {
			return err
		}
		number++
	}
	return nil
}

// left says how long it is until t.
func (p *printer) left(t time.Time) string {
	if t.IsZero() {
		return "forever"
	}
	return roundDuration(t.Sub(p.now))
}

// lasting says how long from now something lasts.
func (p *printer) lasting(until time.Time) string {
	if until.IsZero() {
		return "forever"
	}
	return "for " + p.left(until)
}

// ago says how long t is past.
func (p *printer) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return roundDuration(p.now.Sub(t)) + " ago"
}

// roundDuration writes a duration for people; below 0 is 0s.
func roundDuration(d time.Duration) string { return console.RoundDuration(max(0, d)) }
