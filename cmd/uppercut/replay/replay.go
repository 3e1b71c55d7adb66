// Package replay puts old logs through the parser, session memory and windows of
// the running appliance, on the time in the log, and says what would have come of
// them: as a report, by what two configurations differ, line by line, or as a
// list of offences. Files are merged in order of time; parsing has goroutines of
// its own, and of a report each half of the detector, reading and judging, has one.
package replay

import (
	"context"
	"errors"
	"io"
	"time"

	"uppercut/cmd/uppercut/config"
)

// Options are what every kind of replay takes.
type Options struct {
	Config config.Config
	// Paths are the files, "-" is Stdin.
	Paths []string
	Stdin io.Reader
	// Zone is that of lines which do not name theirs.
	Zone *time.Location
	// JSON is instead of text.
	JSON bool
	// Top is how many sources and blocks a text lists, 0 for all.
	Top int
	// Stdout gets the answer, Stderr how far reading has come.
	Stdout, Stderr io.Writer
}

func (o *Options) input() *input {
	return &input{paths: o.Paths, stdin: o.Stdin, zone: o.Zone, wrapping: o.Config.Receiver.WrappingTags}
}

// Report prints what came of the logs, also when a file could not be read
// to its end.
func Report(ctx context.Context, o Options) error {
	in := o.input()
	r, readErr := judgeAll(ctx, in, o.Config, o.Stderr)
	if r == nil {
		return readErr
	}
	var err error
	if o.JSON {
		err = r.writeJSON(o.Stdout)
	} else {
		err = r.writeText(o.Stdout, o.Top, in.zone)
	}
	return errors.Join(readErr, err)
}

// judgeAll judges every line and returns what came of it. The report is nil if
// nothing could be read; otherwise the error is of reading.
func judgeAll(ctx context.Context, in *input, c config.Config, progress io.Writer) (*report, error) {
	r := newReport()
	judge, err := newJudge(c, r)
	if err != nil {
		return nil, err
	}
	in.show, in.retire = judge.detector.AheadRead, judge.court.retire
	stop := showProgress(progress, &in.progress)
	defer stop()
	begin := time.Now()
	err = in.each(ctx, c.Detector, judge.observe)
	judge.finish()
	if in.nothingRead() {
		return nil, err
	}
	r.finish(in.totals(), time.Since(begin))
	return r, err
}
