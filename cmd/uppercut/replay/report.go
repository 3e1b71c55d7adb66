package replay

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// report gathers what a replay brings to light.
type report struct {
	offences uint64
	// accepted counts messages that were accepted.
	accepted uint64
	reasons  []reasonTotal // by Reason
	hosts    map[string]*hostTotal
	// last is the host of the last event: neighbours often share it.
	last     *hostTotal
	sources  *sourceTable
	timeline timeline
	verdicts []detector.Verdict
	// prevented counts the offences of sources while they would have been
	// blocked.
	prevented uint64
	// takenBack counts the blocks that were lifted when a breaker opened.
	takenBack int
	spared    map[netip.Prefix]*spared
	// reading and unknown are what the session memory counted, and lines of
	// sendmail's that it did not understand.
	reading sendmail.Stats
	unknown []string

	totals  inputTotals
	elapsed time.Duration
}

// reasonTotal is how often a reason occurred, and with how many sources.
type reasonTotal struct {
	Reason   offence.Reason
	Offences uint64
	Sources  uint64
}

// hostTotal is what a mail host reported.
type hostTotal struct {
	Host     string
	Offences uint64
	Accepted uint64
}

// sourceTotal is what a client did.
type sourceTotal struct {
	Addr     netip.Addr
	Offences uint64
	Accepted uint64
	// First and Last are the times of its first and last offence.
	First, Last time.Time
	reasons     []reasonCount
	timeline    timeline
}

type reasonCount struct {
	reason offence.Reason
	count  uint32
}

// spared is a prefix that would have been blocked, had nobody vouched for it.
type spared struct {
	Prefix   netip.Prefix
	Cause    string
	Verdicts uint64
}

func newReport() *report {
	r := &report{
		hosts:   map[string]*hostTotal{},
		sources: newSourceTable(),
		spared:  map[netip.Prefix]*spared{},
	}
	for _, reason := range offence.Reasons() {
		for len(r.reasons) <= int(reason) {
			r.reasons = append(r.reasons, reasonTotal{Reason: offence.Reason(len(r.reasons))})
		}
	}
	return r
}

// blockedSeen takes an event of a source that would have been blocked.
func (r *report) blockedSeen(_ *detector.Line, e *offence.Event, _ netip.Prefix, _ time.Time) {
	if e.Kind == offence.Offence {
		r.prevented += uint64(max(e.Count, 1))
	}
}

// happening is what a report wants to know of an event.
type happening struct {
	addr   netip.Addr
	time   time.Time
	host   *hostTotal
	count  uint64
	kind   offence.Kind
	reason offence.Reason
	source *sourceTotal // of addr; nil until it is looked up
}

// happening takes what line l proved; false if no report tells of it.
func (r *report) happening(l *detector.Line, e *offence.Event) (happening, bool) {
	if e.Kind != offence.Offence && e.Kind != offence.Accepted {
		return happening{}, false
	}
	return happening{
		addr: e.Addr, time: e.Time, host: r.host(l.Host), count: uint64(max(e.Count, 1)), kind: e.Kind, reason: e.Reason,
	}, true
}

// tally counts what happened. It may run beside everything else of a report.
func (r *report) tally(h *happening) {
	s := h.source
	if s == nil {
		s = r.sources.of(h.addr)
	}
	if h.kind == offence.Accepted {
		r.accepted++
		h.host.Accepted++
		s.Accepted++
		return
	}
	r.offences += h.count
	h.host.Offences += h.count
	r.timeline.add(h.time, h.count)
	total := &r.reasons[h.reason]
	total.Offences += h.count
	if s.offence(h) {
		total.Sources++
	}
}

func (r *report) host(name string) *hostTotal {
	if r.last != nil && r.last.Host == name {
		return r.last
	}
	h := r.hosts[name]
	if h == nil {
		h = &hostTotal{Host: strings.Clone(name)}
		r.hosts[h.Host] = h
	}
	r.last = h
	return h
}

// offence counts h and reports whether its reason is new with s.
func (s *sourceTotal) offence(h *happening) (isNew bool) {
	if s.Offences == 0 || h.time.Before(s.First) {
		s.First = h.time
	}
	if h.time.After(s.Last) {
		s.Last = h.time
	}
	s.chart(h.time, h.count)
	s.Offences += h.count
	for i := range s.reasons {
		if s.reasons[i].reason == h.reason {
			s.reasons[i].count += uint32(h.count)
			return false
		}
	}
	s.reasons = append(s.reasons, reasonCount{h.reason, uint32(h.count)})
	return true
}

// chartFrom is from how many offences on a source has a timeline: most have
// few, and a timeline takes as much memory as all the rest.
const chartFrom = 4

// chart puts n offences into the timeline; s.Offences does not count them yet.
func (s *sourceTotal) chart(at time.Time, n uint64) {
	if s.Offences+n < chartFrom {
		return
	}
	if s.timeline.counts == nil && s.Offences > 0 {
		s.timeline.add(s.First, s.Offences)
	}
	s.timeline.add(at, n)
}

func (r *report) block(verdicts []detector.Verdict) {
	for _, v := range verdicts {
		if len(v.Lift) > 0 {
			r.lift(v.Lift)
			continue
		}
		v.Evidence = nil // belongs to the Detector
		r.verdicts = append(r.verdicts, v)
	}
}

// lift takes the last blocks of some prefixes off the list.
func (r *report) lift(ps []netip.Prefix) {
	for i := len(r.verdicts) - 1; i >= 0 && len(ps) > 0; i-- {
		if at := slices.Index(ps, r.verdicts[i].Prefix); at >= 0 {
			ps = slices.Delete(ps, at, at+1)
			r.verdicts = slices.Delete(r.verdicts, i, i+1)
			r.takenBack++
		}
	}
}

func (r *report) spare(p netip.Prefix, cause string) {
	s := r.spared[p]
	if s == nil {
		s = &spared{Prefix: p, Cause: cause}
		r.spared[p] = s
	}
	s.Verdicts++
}

// finish takes what is known at the end.
func (r *report) finish(t inputTotals, elapsed time.Duration) {
	r.totals, r.elapsed = t, elapsed
}

// topReasons returns the reasons that occurred, the most frequent first.
func (r *report) topReasons() []reasonTotal {
	top := slices.DeleteFunc(slices.Clone(r.reasons), func(t reasonTotal) bool { return t.Offences == 0 })
	slices.SortStableFunc(top, func(a, b reasonTotal) int { return cmp.Compare(b.Offences, a.Offences) })
	return top
}

// byHost returns the mail hosts by name.
func (r *report) byHost() []*hostTotal {
	return slices.SortedFunc(maps.Values(r.hosts), func(a, b *hostTotal) int { return cmp.Compare(a.Host, b.Host) })
}

// topSources returns the n sources that offended most, all for n 0.
func (r *report) topSources(n int) []*sourceTotal {
	top := make([]*sourceTotal, 0, r.sources.count)
	for s := range r.sources.all() {
		if s.Offences > 0 {
			top = append(top, s)
		}
	}
	slices.SortFunc(top, func(a, b *sourceTotal) int {
		return cmp.Or(cmp.Compare(b.Offences, a.Offences), a.Addr.Compare(b.Addr))
	})
	return first(top, n)
}

// offenders is how many sources offended.
func (r *report) offenders() int {
	n := 0
	for s := range r.sources.all() {
		if s.Offences > 0 {
			n++
		}
	}
	return n
}

// topReasons returns the reasons of s, the most frequent first.
func (s *sourceTotal) topReasons() []reasonCount {
	return slices.SortedStableFunc(slices.Values(s.reasons), func(a, b reasonCount) int { return cmp.Compare(b.count, a.count) })
}

// bySpared returns whom the guards saved, the most nearly blocked first.
func (r *report) bySpared() []*spared {
	return slices.SortedFunc(maps.Values(r.spared), func(a, b *spared) int {
		return cmp.Or(cmp.Compare(b.Verdicts, a.Verdicts), a.Prefix.Compare(b.Prefix))
	})
}

// first returns the first n of s, all for n 0.
func first[T any](s []T, n int) []T {
	if n <= 0 || n > len(s) {
		return s
	}
	return s[:n]
}

// inputTotals is what was read, understood or not.
type inputTotals struct {
	files []fileTotal
	// lines counts all, unread those without a syslog header, foreign those of
	// other programs.
	lines, unread, foreign uint64
	// begin and end are the oldest and the newest time of sendmail's lines.
	begin, end time.Time
	found      findings
}

// ours is how many lines are sendmail's.
func (t *inputTotals) ours() uint64 { return t.lines - t.unread - t.foreign }

type fileTotal struct {
	name          string
	lines, unread uint64
	samples       []sample
	// ahead counts lines dated in the future, the first of which is aheadAt;
	// same names the file whose text this one has, too.
	ahead   uint64
	aheadAt time.Time
	same    string
	err     error
}

// totals sums up what was read.
func (in *input) totals() inputTotals {
	var t inputTotals
	for _, s := range in.sources {
		t.files = append(t.files, fileTotal{
			name: s.name, lines: s.lines, unread: s.unread, samples: s.samples,
			ahead: s.ahead, aheadAt: s.aheadAt, same: s.same, err: s.err,
		})
		t.found.add(&s.found)
		t.lines += s.lines
		t.unread += s.unread
		t.foreign += s.foreign
		if !s.begin.IsZero() && (t.begin.IsZero() || s.begin.Before(t.begin)) {
			t.begin = s.begin
		}
		if s.end.After(t.end) {
			t.end = s.end
		}
	}
	return t
}
