package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"uppercut/cmd/uppercut/console"
)

// Printer writes aligned columns for people. Text that came from outside goes
// through console.Visible: a log line must not move the cursor.
type Printer struct {
	out     io.Writer
	colour  bool
	now     time.Time
	columns *tabwriter.Writer
	aligned bytes.Buffer // what columns writes
	styles  []Style      // one for each line
}

// NewPrinter returns one that prints to out, in colour where environ allows it.
func NewPrinter(out io.Writer, environ []string) *Printer {
	p := &Printer{out: out, colour: wantsColour(out, environ), now: time.Now()}
	p.columns = tabwriter.NewWriter(&p.aligned, 0, 8, 2, ' ', 0)
	return p
}

// Row writes one line of columns.
func (p *Printer) Row(columns ...any) { p.Styled(Plain, columns...) }

// Styled writes one line of columns that looks so on a terminal.
func (p *Printer) Styled(s Style, columns ...any) {
	for i, column := range columns {
		if i > 0 {
			fmt.Fprint(p.columns, "\t")
		}
		fmt.Fprint(p.columns, console.Visible(fmt.Sprint(column)))
	}
	fmt.Fprintln(p.columns)
	p.styles = append(p.styles, s)
}

// WarnNotEnforced says why nothing is dropped, where it is not.
func (p *Printer) WarnNotEnforced(cause string) {
	if cause != "" {
		p.Styled(Warning, console.NotEnforcedWords(cause))
	}
}

// Flush writes what has been collected: only now is known how wide columns are.
func (p *Printer) Flush() error {
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

// Left says how long it is until t.
func (p *Printer) Left(t time.Time) string {
	if t.IsZero() {
		return "forever"
	}
	return RoundDuration(t.Sub(p.now))
}

// Lasting says how long from now something lasts.
func (p *Printer) Lasting(until time.Time) string {
	if until.IsZero() {
		return "forever"
	}
	return "for " + p.Left(until)
}

// Ago says how long t is past.
func (p *Printer) Ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return RoundDuration(p.now.Sub(t)) + " ago"
}

// RoundDuration writes a duration for people; below 0 is 0s.
func RoundDuration(d time.Duration) string { return console.RoundDuration(max(0, d)) }
