package replay

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/samples"
	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/enforcer/guard"
)

// judge runs a Detector on log time and tells a report what came of it. Its two
// halves have a goroutine each: the caller's reads lines, the other judges what
// they say and keeps the report.
type judge struct {
	detector *detector.Detector
	report   *report
	clerk    *clerk
	court    *court
	// tick is when the Detector is due to look at what waits.
	tick time.Time
	// unknown are lines of sendmail's that are of no known form.
	unknown samples.Samples
	// split is when a part of a split line was last seen, info counts lines
	// that were not worth the Detector's time.
	split time.Time
	info  uint64
	// longest is the length of the longest of them that the Detector has seen.
	longest int
}

// splitAge is how long, in log time, the parts of a split line may lie apart.
const splitAge = 10 * time.Minute

// tickInterval is how often, in log time, the Detector tidies up and closes
// breakers. Live it does so each second, which here would take longer than all
// the rest; what waits for the ceiling it looks at with each line anyway.
const tickInterval = 2 * time.Minute

// patience is how long a replay goes on behind the last line, so that verdicts
// which wait for the ceiling of blocks a minute are given.
const patience = time.Hour

// leastEvidence is the smallest ring of evidence: a report shows none, and one
// that stays in the processor's cache costs less.
const leastEvidence = 64 << 10

func newJudge(c config.Config, r *report) (*judge, error) {
	j := &judge{report: r}
	// Static: these may be the logs of another machine's hosts.
	exempt, err := guard.New(context.Background(), c.ForGuard(), guard.Options{Static: true})
	if err != nil {
		return nil, fmt.Errorf("enforcer.%w", err)
	}
	c.Detector.EvidenceBytes = leastEvidence
	d, err := detector.New(c.Detector, detector.Options{
		Exempt:    j.spare(exempt.Exempt),
		OnUnknown: j.unknown.Line,
		OnEvent:   func(l *detector.Line, e *offence.Event) { j.clerk.event(l, e) },

		OnBlockedSeen: r.blockedSeen,
	})
	if err != nil {
		return nil, err
	}
	j.detector, j.clerk, j.court = d, newClerk(r), newCourt(d, r)
	d.Apart(j.court.drain)
	return j, nil
}

// spare notes whom the guards save.
func (j *judge) spare(exempt func(netip.Prefix) string) func(netip.Prefix) string {
	return func(p netip.Prefix) string {
		cause := exempt(p)
		if cause != "" {
			j.report.spare(p, cause)
		}
		return cause
	}
}

func (j *judge) observe(l *detector.Line) {
	if j.idle(l) {
		j.info++
		return
	}
	if l.Time.After(j.tick) {
		j.court.drain()
		j.report.block(j.detector.Tick(l.Time))
		j.tick = l.Time.Add(tickInterval)
	}
	j.detector.Read(l, j.court.epoch())
	j.court.read()
}

// idle reports whether a line says nothing of a client. Such a line matters only
// while its process may be writing the parts of a split line: it ends them. One
// line in four is idle.
func (j *judge) idle(l *detector.Line) bool {
	switch l.Record.Kind {
	case offence.LinePart:
		j.split = l.Time
	case offence.LineInfo:
		if len(l.Record.Text) > j.longest {
			j.longest = len(l.Record.Text) // lines that are shorter may count as whole now
			return false
		}
		return l.Time.Sub(j.split) > splitAge
	}
	return false
}

// finish lets the time behind the last line pass. The report is complete then.
func (j *judge) finish() {
	defer j.clerk.close()
	j.court.close()
	j.report.reading, j.report.unknown = j.detector.Reading(), j.unknown.Texts()
	j.report.reading.Lines[offence.LineInfo] += j.info
	if j.tick.IsZero() {
		return
	}
	for end := j.tick.Add(patience); j.tick.Before(end); j.tick = j.tick.Add(tickInterval) {
		j.report.block(j.detector.Tick(j.tick))
	}
}
