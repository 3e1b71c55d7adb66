package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"uppercut/detector"
	"uppercut/detector/offence"
)

// offenceJSON is a line of replay --events. Its names are an interface.
type offenceJSON struct {
	// File is there only if several files were given.
	File   string     `json:"file,omitempty"`
	Line   uint64     `json:"line"`
	Time   string     `json:"time"`
	Host   string     `json:"host"`
	Addr   netip.Addr `json:"addr"`
	Reason string     `json:"reason"`
	Count  uint32     `json:"count"`
	Via    string     `json:"via"`
}

// Events prints every offence as a JSON object on a line of its own.
func Events(ctx context.Context, o Options) error {
	in, out := o.input(), bufio.NewWriter(o.Stdout)
	encoder := json.NewEncoder(out)
	var writeErr error
	d, err := detector.New(o.Config.Detector, detector.Options{
		OnEvent: func(l *detector.Line, e *offence.Event) {
			if e.Kind == offence.Offence && writeErr == nil {
				writeErr = encoder.Encode(in.offence(l, e))
			}
		},
	})
	if err != nil {
		return err
	}
	err = in.each(ctx, o.Config.Detector, func(l *detector.Line) { d.Observe(l) })
	d.Tick(theEnd)
	return errors.Join(err, writeErr, out.Flush(), in.warn(o.Stderr))
}

// theEnd is later than any line: nothing has to wait for another one.
var theEnd = time.Unix(1<<32-1, 0)

// offence describes e, which line l proved.
func (in *input) offence(l *detector.Line, e *offence.Event) offenceJSON {
	o := offenceJSON{
		Line:   lineOf(e.Line),
		Time:   e.Time.UTC().Format(time.RFC3339),
		Host:   l.Host,
		Addr:   e.Addr,
		Reason: e.Reason.String(),
		Count:  e.Count,
		Via:    "line",
	}
	if e.ViaSession {
		o.Via = "session"
	}
	if len(in.paths) > 1 {
		o.File = in.paths[fileOf(e.Line)]
	}
	return o
}
