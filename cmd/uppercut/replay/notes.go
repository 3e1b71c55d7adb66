package replay

import (
	"fmt"
	"io"
	"strings"
	"time"

	"uppercut/cmd/uppercut/terminal"
)

// notes tells what makes a report less than it seems: files read once though
// they were given twice, lines dated ahead, and where no line is sendmail's what
// to do about it.
func (t *textReport) notes() {
	notes := append(t.totals.warnings(t.time), t.totals.found.secondNotes()...)
	if len(notes) == 0 {
		return
	}
	t.printf("\n")
	for _, note := range notes {
		t.printf("%s\n", note)
	}
}

// warn writes the warnings where there is no report to hold them.
func (in *input) warn(w io.Writer) error {
	totals := in.totals()
	for _, warning := range totals.warnings(func(at time.Time) string { return at.In(in.zone).Format(timeLayout) }) {
		if _, err := fmt.Fprintln(w, warning); err != nil {
			return err
		}
	}
	return nil
}

// warnings returns sentences, each for a line of its own.
func (t *inputTotals) warnings(timeText func(at time.Time) string) (notes []string) {
	for _, f := range t.files {
		if f.same != "" {
			notes = append(notes, fmt.Sprintf("%s has the same text as %s: it is read only once.", f.name, f.same))
		}
		if f.ahead > 0 {
			notes = append(notes, fmt.Sprintf("%s: %s dated in the future, the first %s, counted at the time of the line before. Is the clock or --zone wrong?",
				f.name, terminal.Plural(f.ahead, "line"), timeText(f.aheadAt)))
		}
	}
	notes = append(notes, t.found.wrappedNotes()...)
	if t.lines > 0 && t.ours() == 0 {
		notes = append(notes, t.nothingOurs()...)
	}
	return notes
}

// secondNotes tells of lines that serve may not read.
func (f *findings) secondNotes() []string {
	if f.second == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s behind the header of a relay: serve reads such lines only from senders that receiver.relays lists.",
		terminal.Plural(f.second, "line"))}
}

// wrappedNotes tells of tags behind which tags of sendmail's stand.
func (f *findings) wrappedNotes() (notes []string) {
	for _, tag := range first(mostFrequent(f.wrapped), tagsShown) {
		notes = append(notes, fmt.Sprintf("%s of %q with a sendmail tag inside: list %q in receiver.wrapping_tags to have such lines read.",
			terminal.Plural(f.wrapped[tag], "line"), printableText(tag), printableText(tag)))
	}
	return notes
}

// tagsShown is how many tags a report names.
const tagsShown = 10

// nothingOurs says what was seen where no line was sendmail's.
func (t *inputTotals) nothingOurs() []string {
	if t.foreign == 0 {
		return []string{"No sendmail lines found: no line has a syslog header."}
	}
	var seen []string
	for _, tag := range first(mostFrequent(t.found.tags), tagsShown) {
		name := printableText(tag)
		if tag == "" {
			name = "(no tag)"
		}
		seen = append(seen, fmt.Sprintf("%s %s", name, terminal.Grouped(t.found.tags[tag])))
	}
	if more := len(t.found.tags) - len(seen); more > 0 || t.found.other > 0 {
		seen = append(seen, "and others")
	}
	return []string{
		"No line has a tag that is read. Tags seen: " + strings.Join(seen, ", ") + ".",
		"If one of them is sendmail under another name, list it: detector: {tags: [sendmail, sm-*, NAME]}.",
	}
}

func printableText(s string) string { return terminal.Shortened(s, 64) }
