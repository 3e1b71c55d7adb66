package replay

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
	"uppercut/detector/offence"
)

// timeLayout is how a report writes times, in the zone of the log.
const timeLayout = "2006-01-02 15:04:05"

// textReport writes a report for people.
type textReport struct {
	*report
	out  *bufio.Writer
	top  int
	zone *time.Location
}

// writeText writes the report with up to top sources and blocks, all for 0, and
// times in zone.
func (r *report) writeText(w io.Writer, top int, zone *time.Location) error {
	t := &textReport{report: r, out: bufio.NewWriter(w), top: top, zone: zone}
	t.head()
	t.notes()
	t.byReason()
	t.byHosts()
	t.bySource()
	t.blocked()
	t.sparedOnes()
	t.misread()
	return t.out.Flush()
}

func (t *textReport) printf(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

// title begins a section.
func (t *textReport) title(format string, args ...any) {
	t.printf("\n%s\n", fmt.Sprintf(format, args...))
}

func (t *textReport) head() {
	t.printf("%s in %s", terminal.Plural(t.totals.lines, "line"), terminal.Plural(uint64(len(t.totals.files)), "file"))
	if t.totals.foreign > 0 {
		t.printf(", %s of other programs", terminal.Grouped(t.totals.foreign))
	}
	if !t.totals.begin.IsZero() {
		t.printf(", %s to %s (%s)", t.time(t.totals.begin), t.time(t.totals.end), console.RoundDuration(t.totals.end.Sub(t.totals.begin)))
	}
	t.printf("\n%s of %s, %s\n", terminal.Plural(t.offences, "offence"),
		terminal.Plural(uint64(t.offenders()), "source"), terminal.Plural(t.accepted, "accepted message"))
	if t.offences > 0 {
		t.printf("%s\n", spark(t.timeline.between(t.totals.begin, t.totals.end)))
	}
	t.printf("read in %.1f s, %s lines/s\n", t.elapsed.Seconds(), countText(float64(t.totals.lines)/max(t.elapsed.Seconds(), 1e-9)))
}

func (t *textReport) byReason() {
	top := t.topReasons()
	if len(top) == 0 {
		return
	}
	t.title("%-20s %10s %9s", "Reason", "offences", "sources")
	for _, r := range top {
		t.printf("  %-18s %10s %9s  %s\n", r.Reason, terminal.Grouped(r.Offences), terminal.Grouped(r.Sources), bar(r.Offences, top[0].Offences))
	}
}

// bar draws n as a bar that is full where n equals most.
func bar(n, most uint64) string { return strings.Repeat("█", int((n*20+most/2)/most)) }

func (t *textReport) byHosts() {
	if len(t.hosts) == 0 {
		return
	}
	t.title("%-20s %10s %9s", "Host", "offences", "accepted")
	for _, h := range t.byHost() {
		t.printf("  %-18s %10s %9s\n", h.Host, terminal.Grouped(h.Offences), terminal.Grouped(h.Accepted))
	}
}

func (t *textReport) bySource() {
	all := t.topSources(0)
	if len(all) == 0 {
		return
	}
	blocks := t.blocksBySource()
	t.title("Source%s", ofAll(t.top, len(all)))
	for _, s := range first(all, t.top) {
		t.printf("  %-25s %9s  %s  %s\n", s.Addr, terminal.Grouped(s.Offences),
			spark(s.timeline.between(t.totals.begin, t.totals.end)), s.reasonsText())
		t.printf("  %-25s %9s  %s\n", "", "", t.fate(s, blocks))
	}
}

// fate says what would have become of s.
func (t *textReport) fate(s *sourceTotal, blocks map[netip.Addr][]detector.Verdict) string {
	for prefix, spared := range t.spared {
		if prefix.Contains(s.Addr) {
			return "spared: " + spared.Cause
		}
	}
	mine := blocks[sourceKey(s.Addr)]
	if len(mine) == 0 {
		return "not blocked"
	}
	v := mine[0]
	text := fmt.Sprintf("blocked at %s by rule %s after %s", t.time(v.At), v.Rule, console.RoundDuration(v.At.Sub(s.First)))
	if len(mine) > 1 {
		text += fmt.Sprintf(", %d times in all", len(mine))
	}
	return text
}

// reasonsText lists the three most frequent reasons.
func (s *sourceTotal) reasonsText() string {
	var parts []string
	all := s.topReasons()
	for _, c := range first(all, 3) {
		parts = append(parts, fmt.Sprintf("%s %s", c.reason, terminal.Grouped(uint64(c.count))))
	}
	if len(all) > 3 {
		parts = append(parts, fmt.Sprintf("%d more", len(all)-3))
	}
	return strings.Join(parts, ", ")
}

// sourceKey is what blocks of single sources have in common: the address, of
// IPv6 the /64.
func sourceKey(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

func (t *textReport) blocksBySource() map[netip.Addr][]detector.Verdict {
	blocks := map[netip.Addr][]detector.Verdict{}
	for _, v := range t.verdicts {
		key := sourceKey(v.Prefix.Addr())
		blocks[key] = append(blocks[key], v)
	}
	return blocks
}

func (t *textReport) blocked() {
	if len(t.verdicts) == 0 {
		t.title("Nobody would have been blocked.")
		t.lifted()
		return
	}
	t.title("Blocked%s", ofAll(t.top, len(t.verdicts)))
	for _, v := range first(t.verdicts, t.top) {
		t.printf("  %s  %-25s for %-9s rule %s, score %s, %s\n", t.time(v.At), prefixText(v.Prefix),
			console.RoundDuration(v.Until.Sub(v.At)), v.Rule, strconv.FormatFloat(v.Score, 'f', -1, 64), terminal.Plural(uint64(v.Hosts), "host"))
	}
	t.printf("  by rule: %s\n", t.rulesText())
	t.printf("  %s (%.0f %%) came while their source would already have been blocked\n",
		terminal.Plural(t.prevented, "offence"), 100*float64(t.prevented)/float64(max(t.offences, 1)))
	t.lifted()
}

// lifted says how many blocks would not have lasted.
func (t *textReport) lifted() {
	if t.takenBack > 0 {
		t.printf("  %s not listed: removed when the breaker opened for a host that refused everybody\n", terminal.Plural(uint64(t.takenBack), "block"))
	}
}

// rulesText says how many blocks each rule caused.
func (t *textReport) rulesText() string {
	counts := map[string]int{}
	var rules []string
	for _, v := range t.verdicts {
		if counts[v.Rule] == 0 {
			rules = append(rules, v.Rule)
		}
		counts[v.Rule]++
	}
	slices.SortFunc(rules, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for i, rule := range rules {
		rules[i] = fmt.Sprintf("%s %s", rule, terminal.Grouped(uint64(counts[rule])))
	}
	return strings.Join(rules, ", ")
}

func (t *textReport) sparedOnes() {
	all := t.bySpared()
	if len(all) == 0 {
		return
	}
	t.title("Spared%s", ofAll(t.top, len(all)))
	for _, s := range first(all, t.top) {
		t.printf("  %-25s %9s times  %s\n", prefixText(s.Prefix), terminal.Grouped(s.Verdicts), s.Cause)
	}
}

// misread says what was not understood.
func (t *textReport) misread() {
	stats := &t.reading
	counts := []struct {
		n    uint64
		what string
	}{
		{t.totals.unread, "without a syslog header"},
		{stats.Lines[offence.LineUnknown] + stats.UnknownElsewhere, "in an unrecognised format"},
		{stats.Orphans, "whose client address is unknown: no other line of the session names it"},
		{stats.Torn, "split, with a part missing"},
		{stats.Conflicts, "that name a different client than their session"},
	}
	title := "Not understood"
	for _, c := range counts {
		if c.n == 0 {
			continue
		}
		if title != "" {
			t.title("%s", title)
			title = ""
		}
		t.printf("  %s %s\n", terminal.Plural(c.n, "line"), c.what)
	}
	t.misreadSamples()
}

func (t *textReport) misreadSamples() {
	for _, f := range t.totals.files {
		for _, s := range f.samples {
			t.printf("    %s:%d: %s\n", f.name, s.Line, terminal.Shortened(s.Text, 100))
		}
	}
	for _, text := range first(t.unknown, maxSamples) {
		t.printf("    %s\n", terminal.Shortened(text, 100))
	}
}

func (t *textReport) time(at time.Time) string { return at.In(t.zone).Format(timeLayout) }

// prefixText leaves the length of a single address out.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// ofAll says that a list shows less than there is.
func ofAll(shown, all int) string {
	if shown <= 0 || all <= shown {
		return fmt.Sprintf(" (%s)", terminal.Grouped(uint64(all)))
	}
	return fmt.Sprintf(" (%d of %s; --top 0 lists all)", shown, terminal.Grouped(uint64(all)))
}
