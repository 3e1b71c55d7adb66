package detector

import (
	"testing"
	"time"

	"uppercut/detector/sendmail"
)

// player is who judges lines in a test: a Detector, or its two halves.
type player interface {
	Observe(*Line) []Verdict
	Tick(time.Time) []Verdict
}

// twoHalves has a Detector read on the caller's goroutine and judge on another one.
type twoHalves struct {
	d      *Detector
	lines  int // of an epoch
	filled *Epoch
	queue  chan *Epoch
	judged chan struct{}
}

func newTwoHalves(t *testing.T, d *Detector, lines int, take func([]Verdict)) *twoHalves {
	h := &twoHalves{d: d, lines: lines, filled: &Epoch{}, queue: make(chan *Epoch, 8), judged: make(chan struct{})}
	go func() {
		for e := range h.queue {
			if e == nil {
				h.judged <- struct{}{}
				continue
			}
			d.Judge(e, take)
		}
	}()
	t.Cleanup(func() { close(h.queue) })
	d.Apart(h.drain)
	return h
}

// drain returns when everything is judged. What is filled goes on, empty.
func (h *twoHalves) drain() {
	h.queue <- h.filled
	h.queue <- nil
	<-h.judged
	h.filled.Reset()
}

// Observe reads a line; the verdicts come later.
func (h *twoHalves) Observe(l *Line) []Verdict {
	h.d.AheadRead([]Line{*l})
	h.d.Read(l, h.filled)
	if h.filled.Len() >= h.lines {
		h.queue <- h.filled
		h.filled = &Epoch{}
	}
	return nil
}

// Tick is that of the whole.
func (h *twoHalves) Tick(now time.Time) []Verdict {
	h.drain()
	return h.d.Tick(now)
}

// TestNewHostWaitsForTheJudge: the place of a host is given to another one only
// when nothing that the judge still has to see speaks of it.
func TestNewHostWaitsForTheJudge(t *testing.T) {
	d, err := New(DefaultConfig(), Options{Local: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	var e Epoch
	waited := 0
	d.Apart(func() { waited++ })
	parser, _ := sendmail.NewParser(nil)
	for i, host := range []string{"mx1", "mx1", "mx2", "mx1", "mx2"} {
		l := Line{Number: uint64(i), Received: noon, Time: noon, Stamp: StampFull, Host: host, Tag: "sm-mta", PID: 1}
		parser.Parse("starting daemon (8.18.1): SMTP", &l.Record)
		d.Read(&l, &e)
	}
	if waited != 2 {
		t.Errorf("waited %d times, want once for each of 2 hosts", waited)
	}
}

// TestEpochIsEmptyAfterReset: what a line lies in is used again.
func TestEpochIsEmptyAfterReset(t *testing.T) {
	d, err := New(DefaultConfig(), Options{Local: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	var e Epoch
	parser, _ := sendmail.NewParser(nil)
	l := Line{Number: 1, Received: noon, Time: noon, Stamp: StampFull, Host: "mx1", Tag: "sm-mta", PID: 1}
	parser.Parse("ruleset=check_relay, arg1=[198.51.100.9], arg2=127.0.0.2, relay=[198.51.100.9], reject=550 5.7.1 Access denied", &l.Record)
	d.Read(&l, &e)
	if e.Len() != 1 || len(e.events) != 1 {
		t.Fatalf("%d lines, %d events", e.Len(), len(e.events))
	}
	e.Reset()
	if e.Len() != 0 || e.reads[:1][0].line != nil || e.events[:1][0].Raw != "" {
		t.Errorf("%+v", e)
	}
}
