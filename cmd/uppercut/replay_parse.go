package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"time"
	"unsafe"

	"uppercut/cmd/uppercut/logfile"
	"uppercut/detector"
	"uppercut/detector/sendmail"
)

// chunk is a chunk of a file on its way from the reader through a parser to the
// merge.
type chunk struct {
	// buffer is what text lies in. It is used again once the lines have been
	// judged: whoever keeps a string of a line clones it.
	buffer []byte
	text   []byte
	// err ends the file; the chunk then holds nothing.
	err error
	// parsed is sent to when what follows is there.
	parsed chan struct{}
	// lines are those of sendmail's, numbered from 1 within the chunk.
	lines []detector.Line
	// count is the number of all lines, unread that of those without header,
	// foreign that of other programs' lines.
	count, unread, foreign uint64
	samples                []sample
}

// chunkSize is how much text a chunk holds. It fits the second-level cache, and
// a thousand lines share the cost of one hand-over.
const chunkSize = 256 << 10

// parsers is the goroutines between the files and the merge.
type parsers struct {
	parser  *sendmail.Parser
	tags    tags
	zone    *time.Location
	work    chan *chunk
	free    chan *chunk
	readers sync.WaitGroup
	workers sync.WaitGroup
}

func (p *parsers) start(ctx context.Context, n int) {
	p.free = make(chan *chunk, 16)
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

// read takes a file through to its end, as fast as the merge takes its chunks.
func (p *parsers) read(ctx context.Context, f *logfile.File, to chan<- *chunk) {
	defer f.Close()
	defer close(to)
	for {
		b := p.fresh()
		var err error
		if b.text, err = f.Next(b.buffer); errors.Is(err, io.EOF) {
			return
		}
		b.err = err
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

// fresh returns an empty chunk. Nearly all were used before: allocating 256 KiB
// each time costs more than parsing what they hold.
func (p *parsers) fresh() *chunk {
	select {
	case b := <-p.free:
		return b
	default:
		return &chunk{buffer: make([]byte, chunkSize), parsed: make(chan struct{}, 1)}
	}
}

func (p *parsers) recycle(b *chunk) {
	*b = chunk{buffer: b.buffer, parsed: b.parsed, lines: b.lines[:0]}
	select {
	case p.free <- b:
	default:
	}
}

// parse parses chunks until there are no more.
func (p *parsers) parse() {
	header := logfile.NewHeaderParser(p.zone)
	for b := range p.work {
		p.parseChunk(header, b)
		b.parsed <- struct{}{}
	}
}

func (p *parsers) parseChunk(header *logfile.HeaderParser, b *chunk) {
	var h logfile.Header
	for line := range lines(asString(b.text)) {
		b.count++
		if !header.Parse(line, &h) {
			b.miss(line)
			continue
		}
		if !p.tags.match(h.Tag) {
			b.foreign++
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
func (b *chunk) miss(line string) {
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

// asString returns b as a string without copying it: a copy costs a tenth of
// what parsing costs. Nobody writes to b while the string is used.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// tags are the syslog tags of sendmail.
type tags []string

// match reports whether a tag is one of them; a * at the end matches any rest.
func (t tags) match(tag string) bool {
	for _, pattern := range t {
		stem, open := strings.CutSuffix(pattern, "*")
		if tag == pattern || open && strings.HasPrefix(tag, stem) {
			return true
		}
	}
	return false
}
