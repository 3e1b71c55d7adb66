package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"uppercut/detector"
	"uppercut/enforcer/statedir"
)

// scoresFile holds scores, histories and the memory of duplicates in the state
// directory.
const scoresFile = "scores"

// A crash costs the scores since the last save: at most scoresInterval, and of a
// run that has just begun about half of what it has heard, since its first saves
// come at once. Saving takes no more than a twentieth of the time; with millions
// of sources it takes longer, and the pause grows with it.
const (
	scoresInterval   = 10 * time.Second
	firstScoresPause = 100 * time.Millisecond
)

// restoreScores reads what the last run saved; there may be nothing. A file that
// cannot be read is kept aside, and the next save does not replace it.
func restoreScores(d *detector.Detector, stateDir string, now time.Time) error {
	path := filepath.Join(stateDir, scoresFile)
	f, err := statedir.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open scores: %w", err)
	}
	defer f.Close()
	if err := d.Restore(bufio.NewReaderSize(f, 1<<20), now); err != nil {
		aside, kept := statedir.SetAside(path)
		return errors.Join(fmt.Errorf("read scores, kept as %q: %w", aside, err), kept)
	}
	return nil
}

// keepScores saves the scores again and again until ctx ends.
func (a *Appliance) keepScores(ctx context.Context) {
	ask := func(question func(*detector.Detector)) error { return a.pipeline.ask(ctx, question) }
	for pause, most := firstScoresPause, firstScoresPause; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		begin := time.Now()
		if err := a.saveScores(ask); ctx.Err() == nil {
			a.scoresSaved(err)
		}
		most = min(2*most, scoresInterval)
		pause = max(most, 20*time.Since(begin))
	}
}

// scoresSaved notes how saving went.
func (a *Appliance) scoresSaved(err error) {
	if err != nil {
		a.metrics.saveFailures.Inc()
		a.logger.Error("cannot save the scores", "error", err)
		return
	}
	a.metrics.lastSave.SetToCurrentTime()
}

// saveScores replaces the file in one step: after a crash it is the old one or
// the new one. ask runs its argument where the detector may be touched.
func (a *Appliance) saveScores(ask func(func(*detector.Detector)) error) error {
	err := statedir.Replace(filepath.Join(a.config.Load().StateDir, scoresFile), func(w io.Writer) error {
		var written error
		asked := ask(func(d *detector.Detector) { written = writeBuffered(w, d.Snapshot) })
		return errors.Join(asked, written)
	})
	if err != nil {
		return fmt.Errorf("write scores: %w", err)
	}
	return nil
}

func writeBuffered(w io.Writer, write func(io.Writer) error) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	return errors.Join(write(buffered), buffered.Flush())
}
