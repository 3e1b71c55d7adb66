package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"uppercut/cmd/uppercut/logfile"
	"uppercut/detector"
	"uppercut/detector/sendmail"
)

// batch is a chunk of a file on its way from the reader through a parser to the
// merge.
type batch struct {
	text string
	// err ends the file; the batch then holds nothing.
	err error
	// parsed is sent to when what follows is there.
	parsed chan struct{}
	// lines are those that have a syslog header, numbered from 1 within the
	// chunk.
	lines []detector.Line
	// count is the number of all lines, unread that of those without header.
	count, unread uint64
	samples       []sample
}

// parsers is the goroutines between the files and the merge.
type parsers struct {
	parser  *sendmail.Parser
	zone    *time.Location
	work    chan *batch
	free    chan *batch
	readers sync.WaitGroup
	workers sync.WaitGroup
}

func (p *parsers) start(ctx context.Context, n int) {
	p.free = make(chan *batch, 16)
	for range n {
		p.workers.Go(func() { p.parse() })
	}
}

// wait returns when no goroutine is left; the readers' context must be done or
// their files at their end.
func (p *parsers) wait() {
	p.readers.Wait()
	close(p.work)
	p.workers.Wait()
}

// read takes a file through to its end, as fast as the merge takes its batches.
func (p *parsers) read(ctx context.Context, f *logfile.File, to chan<- *batch) {
	defer f.Close()
	defer close(to)
	for {
		text, err := f.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		b := p.fresh()
		b.text, b.err = text, err
		select {
		case to <- b:
		case <-ctx.Done():
			return
		}
		if err != nil {
			b.parsed <- struct{}{}
			return
		}
		p.work <- b
	}
}

// fresh returns an empty batch. Most were used before: their lines need not be
// allocated again.
func (p *parsers) fresh() *batch {
	select {
	case b := <-p.free:
		return b
	default:
		return &batch{parsed: make(chan struct{}, 1)}
	}
}

func (p *parsers) recycle(b *batch) {
	*b = batch{parsed: b.parsed, lines: b.lines[:0]}
	select {
	case p.free <- b:
	default:
	}
}

// parse parses batches until there are no more.
func (p *parsers) parse() {
	header := logfile.NewHeaderParser(p.zone)
	for b := range p.work {
		p.parseBatch(header, b)
		b.parsed <- struct{}{}
	}
}

func (p *parsers) parseBatch(header *logfile.HeaderParser, b *batch) {
	var h logfile.Header
	for line := range lines(b.text) {
		b.count++
		if !header.Parse(line, &h) {
			b.miss(line)
			continue
		}
		b.lines = append(b.lines, detector.Line{
			Number:    b.count,
			Transport: "file",
			Time:      h.Time,
			Stamp:     detector.Stamp(h.Stamp),
			Host:      h.Host,
			Tag:       h.Tag,
			PID:       h.PID,
		})
		p.parser.Parse(h.Text, &b.lines[len(b.lines)-1].Record)
	}
}

// miss notes a line without a syslog header. Empty lines are nobody's.
func (b *batch) miss(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	b.unread++
	if len(b.samples) < maxSamples {
		b.samples = append(b.samples, sample{Line: b.count, Text: strings.Clone(line)})
	}
}

// lines yields the lines of text without their LF.
func lines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for text != "" {
			line, rest, _ := strings.Cut(text, "\n")
			if !yield(line) {
				return
			}
			text = rest
		}
	}
}
