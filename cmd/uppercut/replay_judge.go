package main

import (
	"net/netip"
	"slices"
	"time"

	"uppercut/detector"
	"uppercut/detector/sendmail"
)

// judge runs a Detector on log time and tells a report what came of it.
type judge struct {
	detector *detector.Detector
	report   *report
	// tick is when the Detector is due to look at what waits.
	tick time.Time
}

// tickInterval is how often, in log time, the Detector tidies up. Live it does
// so each second; what waits for the ceiling it looks at with each line anyway.
const tickInterval = time.Minute

// patience is how long a replay goes on behind the last line, so that verdicts
// which wait for the ceiling of blocks a minute are given.
const patience = time.Hour

func newJudge(c Config, r *report) (*judge, error) {
	j := &judge{report: r}
	d, err := detector.New(c.Detector, detector.Options{
		Exempt:  j.spare(exemptByConfig(c)),
		OnEvent: func(l *detector.Line, e *sendmail.Event) { r.event(l, e) },
	})
	j.detector = d
	return j, err
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

// exemptByConfig is the part of the guards that needs no gateway: the allow
// list, and the ranges that are nobody's on the Internet.
func exemptByConfig(c Config) func(netip.Prefix) (cause string) {
	return func(p netip.Prefix) string {
		a := p.Addr()
		switch {
		case slices.ContainsFunc(c.Enforcer.Allow, p.Overlaps):
			return "allow list"
		case a.IsPrivate(), a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified():
			return "private range"
		}
		return ""
	}
}

func (j *judge) observe(l *detector.Line) {
	if l.Time.After(j.tick) {
		j.report.block(j.detector.Tick(l.Time))
		j.tick = l.Time.Add(tickInterval)
	}
	j.report.block(j.detector.Observe(l))
}

// finish lets the time behind the last line pass.
func (j *judge) finish() {
	if j.tick.IsZero() {
		return
	}
	for end := j.tick.Add(patience); j.tick.Before(end); j.tick = j.tick.Add(tickInterval) {
		j.report.block(j.detector.Tick(j.tick))
	}
}
