package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"uppercut/detector"
)

// scoresFile holds scores, histories and the memory of duplicates in the state
// directory.
const scoresFile = "scores"

// scoresInterval is how much of the scores a crash costs at most, while saving
// them takes no more than a twentieth of it; with millions of sources it takes
// longer, and the pause grows with it.
const scoresInterval = 10 * time.Second

// restoreScores reads what the last run saved; there may be nothing.
func restoreScores(d *detector.Detector, stateDir string, now time.Time) error {
	f, err := os.Open(filepath.Join(stateDir, scoresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open scores: %w", err)
	}
	defer f.Close()
	if err := d.Restore(bufio.NewReaderSize(f, 1<<20), now); err != nil {
		return fmt.Errorf("read scores %q: %w", f.Name(), err)
	}
	return nil
}

// keepScores saves the scores again and again until ctx ends.
func (a *appliance) keepScores(ctx context.Context) {
	ask := func(question func(*detector.Detector)) error { return a.pipeline.ask(ctx, question) }
	for pause := scoresInterval; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		begin := time.Now()
		if err := a.saveScores(ask); ctx.Err() == nil {
			a.scoresSaved(err)
		}
		pause = max(scoresInterval, 20*time.Since(begin))
	}
}

// scoresSaved notes how saving went.
func (a *appliance) scoresSaved(err error) {
	if err != nil {
		a.metrics.saveFailures.Inc()
		a.logger.Error("scores are not saved", "error", err)
		return
	}
	a.metrics.lastSave.SetToCurrentTime()
}

// saveScores replaces the file in one step: after a crash it is the old one or
// the new one. ask runs its argument where the detector may be touched.
func (a *appliance) saveScores(ask func(func(*detector.Detector)) error) error {
	dir := a.config.Load().StateDir
	// One name, so that a crash while saving leaves one file, however often.
	f, err := os.OpenFile(filepath.Join(dir, scoresFile+".new"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create scores: %w", err)
	}
	defer os.Remove(f.Name()) // gone already if all went well
	var written error
	asked := ask(func(d *detector.Detector) { written = writeBuffered(f, d.Snapshot) })
	if err := errors.Join(asked, written, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write scores: %w", err)
	}
	return os.Rename(f.Name(), filepath.Join(dir, scoresFile))
}

func writeBuffered(w io.Writer, write func(io.Writer) error) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	return errors.Join(write(buffered), buffered.Flush())
}
