package appliance

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"uppercut/cmd/uppercut/samples"
	"uppercut/deploy/loggen"
	"uppercut/detector"
	"uppercut/receiver"
	"uppercut/receiver/header"
)

// testPipeline has the default rules and no ledger to wait for.
func testPipeline(tb testing.TB, block func(detector.Verdict)) *pipeline {
	tb.Helper()
	reader, err := detector.NewReader(detector.DefaultConfig())
	if err != nil {
		tb.Fatal(err)
	}
	return newPipeline(reader, testDetector(tb, detector.Options{}), block, func(done func()) { done() })
}

// testDetector has the default rules.
func testDetector(tb testing.TB, o detector.Options) *detector.Detector {
	tb.Helper()
	d, err := detector.New(detector.DefaultConfig(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// judgedLog is what a pipeline made of a log.
type judgedLog struct {
	verdicts []detector.Verdict
	top      []detector.SourceStatus
	unknown  []string
	breakers []detector.BreakerStatus
}

// judgeLog sends lines through a pipeline in batches. Each batch is one read;
// with reuse its memory is overwritten as soon as the pipeline releases it.
func judgeLog(t *testing.T, lines []*loggen.Line, reuse bool) (j judgedLog) {
	pl := testPipeline(t, func(v detector.Verdict) { j.verdicts = append(j.verdicts, v) })
	var unknown samples.Samples
	pl.detector = testDetector(t, detector.Options{OnUnknown: unknown.Line})
	var last time.Time
	for len(lines) > 0 {
		n := min(150, len(lines))
		messages, memory := readOf(lines[:n])
		pl.handle(messages, nil, func() {
			if reuse {
				copy(memory, strings.Repeat("\x00#", len(memory)))
			}
		})
		pl.judge(<-pl.queue)
		last, lines = lines[n-1].Time, lines[n:]
	}
	_ = pl.own(func(d *detector.Detector) {
		d.Tick(last)
		j.top, j.unknown, j.breakers = d.Top(1000, last), unknown.Texts(), d.Breakers()
	})
	return j
}

// readOf returns messages whose strings lie in one piece of memory.
func readOf(lines []*loggen.Line) (messages []receiver.Message, memory []byte) {
	for _, l := range lines {
		memory = append(append(append(memory, l.Host...), l.Tag...), l.Text...)
	}
	at := 0
	next := func(n int) string {
		at += n
		return unsafe.String(&memory[at-n], n)
	}
	for _, l := range lines {
		messages = append(messages, receiver.Message{
			Sender: "10.0.0.1", Transport: receiver.TCP, Received: l.Time,
			Header: header.Header{
				Stamp: header.StampFull, Time: l.Time, PID: l.PID,
				Host: next(len(l.Host)), Tag: next(len(l.Tag)), Text: next(len(l.Text)),
			},
		})
	}
	return messages, memory
}

// Nobody keeps a string of a read: its memory is used again as soon as its lines
// are judged.
func TestMemoryOfAReadIsUsedAgain(t *testing.T) {
	c := loggen.DefaultConfig()
	c.Lines, c.Hosts, c.Abuse = 40_000, 3, 0.5
	var lines []*loggen.Line
	for l := range loggen.Lines(c) {
		if len(lines)%997 == 0 {
			odd := *l
			odd.Text = "a line that no sendmail writes, number " + l.Time.String()
			lines = append(lines, &odd)
		}
		same := *l
		lines = append(lines, &same)
	}
	want, got := judgeLog(t, lines, false), judgeLog(t, lines, true)
	if len(want.verdicts) < 100 || len(want.top) < 100 || len(want.unknown) == 0 {
		t.Fatalf("%d verdicts, %d sources and %d unknown lines: too few to tell", len(want.verdicts), len(want.top), len(want.unknown))
	}
	for _, c := range []struct {
		name      string
		want, got any
	}{
		{"verdicts", want.verdicts, got.verdicts},
		{"sources", want.top, got.top},
		{"unknown lines", want.unknown, got.unknown},
		{"breakers", want.breakers, got.breakers},
	} {
		if diff := cmp.Diff(c.want, c.got, cmpopts.EquateComparable(want.verdicts[0].Prefix)); diff != "" {
			t.Errorf("other %s:\n%.2000s", c.name, diff)
		}
	}
}
