package detector

import (
	"time"

	"uppercut/detector/sendmail"
)

const (
	// maxHostLines bounds the hosts of which it is known what was made of their
	// lines; one of a few that were silent for longest is forgotten for a new
	// one.
	maxHostLines = 8192
	// hostLinesSample is among how many it is chosen.
	hostLinesSample = 8
	// fewLines is how many lines of a host may be of no use before it is said
	// that nothing of it is understood.
	fewLines = 10
	// understoodFor is for how long a host that was understood is taken to be.
	understoodFor = 24 * time.Hour
	// maxCounters bounds the counters of a host's log daemons that are followed.
	maxCounters = 64
)

// HostLines is what was made of the lines of one host at one sender. A relay
// sends for many.
type HostLines struct {
	// Sender is Line.Sender, Host what Options.HostRow says of the host.
	Sender, Host string
	// Understood lines are sendmail's and of a known form, Unknown ones
	// sendmail's and of none. Foreign lines have a tag that is none of
	// sendmail's, LastTag that of the last of them: a claim.
	Understood, Unknown, Foreign uint64
	LastTag                      string
	// LastUnderstood is when the last of them arrived; zero if there was none.
	LastUnderstood time.Time
	// Lost is how many lines the host's log daemons say they have dropped,
	// LostUntold how often they did not say how many. LastLoss is when that was
	// said last, and LossText how: a claim.
	Lost, LostUntold uint64
	LastLoss         time.Time
	LossText         string

	// useless is how many lines there were since the last that was understood.
	useless uint64
}

// NothingUnderstood reports whether lines come, and none is of use: ten or more
// since the last that was understood, and none of those within a day.
func (r *HostLines) NothingUnderstood(now time.Time) bool {
	return r.useless >= fewLines && now.Sub(r.LastUnderstood) > understoodFor
}

// lineTable knows what was made of whose lines.
type lineTable struct {
	label   func(sender, host string) string
	row     func(sender, host string) string
	metrics *metrics
	byName  map[hostLinesKey]*hostLines
	byKey   map[sendmail.HostKey]*hostLines // what of byName was asked for
	last    *hostLines                      // of the last line: lines come in batches
	lastKey sendmail.HostKey
	// restored is what the log daemons of hosts that were not heard yet had
	// counted in the last run.
	restored map[hostLinesKey]map[string]uint64
}

type hostLinesKey struct{ sender, row string }

// hostLines is a HostLines with what goes with it.
type hostLines struct {
	HostLines
	heard    time.Time
	lastTag  []byte // HostLines.LastTag
	counters lineCounters
	drops    map[string]uint64 // what the host's log daemons count since they started
}

func newLineTable(o Options, m *metrics) *lineTable {
	r := &lineTable{
		label: o.HostLabel, metrics: m,
		byName: map[hostLinesKey]*hostLines{}, byKey: map[sendmail.HostKey]*hostLines{},
	}
	if r.label == nil {
		r.label = func(string, string) string { return "other" }
	}
	if r.row = o.HostRow; r.row == nil {
		r.row = r.label
	}
	return r
}

// of returns what is known of the lines of a line's host.
func (r *lineTable) of(l *Line) *hostLines {
	if r.last == nil || l.hostKey != r.lastKey {
		known, ok := r.byKey[l.hostKey]
		if !ok {
			known = r.named(l)
			if len(r.byKey) >= maxHostLines {
				clear(r.byKey)
			}
			r.byKey[l.hostKey] = known
		}
		r.last, r.lastKey = known, l.hostKey
	}
	r.last.heard = l.Received
	return r.last
}

func (r *lineTable) named(l *Line) *hostLines {
	key := hostLinesKey{l.Sender, r.row(l.Sender, l.Host)}
	if known, ok := r.byName[key]; ok {
		return known
	}
	if len(r.byName) >= maxHostLines {
		r.forgetOne()
	}
	key = hostLinesKey{clone(key.sender), clone(key.row)}
	added := &hostLines{
		HostLines: HostLines{Sender: key.sender, Host: key.row},
		counters:  r.metrics.forHostLines(clone(r.label(l.Sender, l.Host))),
	}
	added.drops = r.restored[key]
	delete(r.restored, key)
	r.byName[key] = added
	return added
}

// forgetLabels has every host asked for its label again: it may have another one.
func (r *lineTable) forgetLabels() {
	clear(r.byKey)
	r.last = nil
}

// forgetOne forgets of a few hosts the one that was heard of longest ago.
func (r *lineTable) forgetOne() {
	var oldest *hostLines
	looked := 0
	for _, known := range r.byName { // begins anywhere
		if oldest == nil || known.heard.Before(oldest.heard) {
			oldest = known
		}
		if looked++; looked == hostLinesSample {
			break
		}
	}
	delete(r.byName, hostLinesKey{oldest.Sender, oldest.Host})
	r.forgetLabels()
}

// read takes a line of sendmail's.
func (r *hostLines) read(unknown bool, now time.Time) {
	if unknown {
		r.Unknown++
		r.useless++
		r.counters.unknown.Inc()
		return
	}
	r.Understood++
	r.LastUnderstood, r.useless = now, 0
	r.counters.understood.Inc()
}

// foreign takes a line of another program. What a log daemon writes on its own
// account is expected of it.
func (r *hostLines) foreign(l *Line) {
	r.Foreign++
	r.counters.foreign.Inc()
	if daemonOf(l.Tag) == noDaemon {
		r.useless++
		if string(r.lastTag) != l.Tag {
			r.lastTag = append(r.lastTag[:0], l.Tag...)
		}
	}
}

// lost takes what a log daemon says of lines that it has dropped.
func (r *hostLines) lost(l loss, line *Line) {
	if l.counter != "" {
		l.lines = r.growth(l)
	}
	if l.lines == 0 && !l.unknown {
		return
	}
	r.Lost += l.lines
	r.counters.lost.Add(float64(l.lines))
	if l.unknown {
		r.LostUntold++
		r.counters.lostUntold.Inc()
	}
	text := line.Record.Text
	r.LastLoss, r.LossText = line.Received, clone(sendmail.Mask(text[:min(len(text), maxLossText)]))
}

// maxLossText bounds the text of a loss that is kept, in bytes.
const maxLossText = 200

// growth returns by how much a counter has grown since it was told last. One
// that has fallen is of a daemon that started anew.
func (r *hostLines) growth(l loss) uint64 {
	before := r.drops[l.counter]
	if l.lines < before {
		before = 0
	}
	if r.drops == nil {
		r.drops = make(map[string]uint64)
	}
	if _, known := r.drops[l.counter]; !known && len(r.drops) >= maxCounters {
		clear(r.drops)
	}
	r.drops[clone(l.counter)] = l.lines
	return l.lines - before
}

// HostLines returns what was made of the lines of every host, in no order.
func (d *Detector) HostLines() []HostLines {
	all := make([]HostLines, 0, len(d.lines.byName))
	for _, r := range d.lines.byName {
		lines := r.HostLines
		lines.LastTag = string(r.lastTag)
		all = append(all, lines)
	}
	return all
}
