package appliance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/cmd/uppercut/config"
	"uppercut/detector"
	"uppercut/detector/sendmail"
)

// savingAppliance is as much of an appliance as saving scores takes.
func savingAppliance(t *testing.T) *Appliance {
	t.Helper()
	d, err := detector.New(detector.DefaultConfig(), detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := &Appliance{
		logger:   slog.New(slog.DiscardHandler),
		metrics:  newApplianceMetrics(prometheus.NewRegistry()),
		pipeline: &pipeline{detector: d},
	}
	a.config.Store(&config.Config{StateDir: t.TempDir()})
	return a
}

// refuse lets the judge see one refused client.
func refuse(t *testing.T, d *detector.Detector, client string, now time.Time) {
	t.Helper()
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	line := detector.Line{
		Number: 1, Sender: "10.0.0.1", Transport: "tcp", Received: now, Time: now, Stamp: detector.StampFull,
		Host: "mx1", Tag: "sendmail", PID: 4711,
	}
	parser.Parse(refused(client), &line.Record)
	d.Observe(&line)
}

func TestScoresSurvive(t *testing.T) {
	const client = "203.0.113.9"
	now := time.Now()
	a := savingAppliance(t)
	refuse(t, a.pipeline.detector, client, now)
	a.scoresSaved(a.saveScores(a.pipeline.own))
	if testutil.ToFloat64(a.metrics.lastSave) == 0 || testutil.ToFloat64(a.metrics.saveFailures) != 0 {
		t.Error("the save is not counted")
	}
	next, err := detector.New(detector.DefaultConfig(), detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := restoreScores(next, a.config.Load().StateDir, now); err != nil {
		t.Fatal(err)
	}
	if s, known := next.Source(netip.MustParseAddr(client), now); !known || s.Rules[0].Score == 0 {
		t.Errorf("the next run knows %+v", s)
	}
}

// A save that fails leaves the last one as it was, and nothing beside it.
func TestScoresAreReplacedWholeOrNotAtAll(t *testing.T) {
	a := savingAppliance(t)
	dir := a.config.Load().StateDir
	a.scoresSaved(a.saveScores(a.pipeline.own))
	before := readFile(t, filepath.Join(dir, scoresFile))
	broken := errors.New("the judge is gone")
	a.scoresSaved(a.saveScores(func(func(*detector.Detector)) error { return broken }))
	if readFile(t, filepath.Join(dir, scoresFile)) != before {
		t.Error("the last save was damaged")
	}
	if testutil.ToFloat64(a.metrics.saveFailures) != 1 {
		t.Error("the failure is not counted")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}
}

func TestScoresThatCannotBeRead(t *testing.T) {
	d, err := detector.New(detector.DefaultConfig(), detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := restoreScores(d, dir, time.Now()); err != nil {
		t.Errorf("without a file: %v", err)
	}
	writeFile(t, filepath.Join(dir, scoresFile), "rubbish")
	if err := restoreScores(d, dir, time.Now()); err == nil || !strings.Contains(err.Error(), scoresFile) {
		t.Errorf("a damaged file: %v", err)
	}
	if kept := readFile(t, filepath.Join(dir, scoresFile+".damaged")); kept != "rubbish" {
		t.Errorf("kept aside: %q", kept)
	}
	if err := restoreScores(d, dir, time.Now()); err != nil {
		t.Errorf("the start after it: %v", err)
	}
}

// TestACrashCostsFewScores: whenever it comes, the last save is at most 10 seconds
// old, and of a run that has just begun no older than the half of it.
func TestACrashCostsFewScores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := savingAppliance(t)
		a.pipeline = newPipeline(nil, a.pipeline.detector, nil, nil)
		go a.pipeline.run()
		defer a.pipeline.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		began := time.Now()
		go a.keepScores(ctx)
		for time.Since(began) < 2*time.Minute {
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
			lives := time.Since(began)
			saved := time.UnixMicro(int64(1e6 * testutil.ToFloat64(a.metrics.lastSave)))
			if lost := time.Since(saved); lives > 2*firstScoresPause && lost > min(lives/2, scoresInterval)+firstScoresPause {
				t.Fatalf("a crash after %v costs %v", lives, lost)
			}
		}
	})
}

// Nothing is written behind an error of the writer.
func TestWriteBuffered(t *testing.T) {
	wanted := errors.New("no")
	if err := writeBuffered(io.Discard, func(io.Writer) error { return wanted }); !errors.Is(err, wanted) {
		t.Errorf("error %v", err)
	}
}
