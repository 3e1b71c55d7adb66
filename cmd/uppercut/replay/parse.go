package replay

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"time"
	"unsafe"

	"uppercut/cmd/uppercut/replay/logfile"
	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/receiver/header"
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
	// sender is that of all lines.
	sender string
	// open says which lines of a container's log go on in the first line.
	open header.Streams
	// count is the number of all lines, unread that of those without header,
	// foreign that of other programs' lines.
	count, unread, foreign uint64
	samples                []sample
	found                  findings
}

// chunkSize is how much text a chunk holds. It fits the second-level cache, and
// a thousand lines share the cost of one hand-over.
const chunkSize = 256 << 10

// parsers is the goroutines between the files and the merge. When stop is
// closed they end.
type parsers struct {
	stop       <-chan struct{}
	reader     *detector.Reader
	tags       *header.Tags
	zone       *time.Location
	work       chan *chunk
	free       chan *chunk
	goroutines sync.WaitGroup
}

// start starts n goroutines that parse.
func (p *parsers) start(n int) {
	p.work = make(chan *chunk)
	p.free = make(chan *chunk, 16)
	for range n {
		p.goroutines.Go(p.parse)
	}
}

// startReader starts a goroutine that reads f, the log of sender.
func (p *parsers) startReader(f *logfile.File, sender string, to chan<- *chunk) {
	if f.Size() == 0 {
		// A stream may be silent for ever, and nothing takes a goroutine out
		// of a read from standard input: nobody waits for it.
		go p.read(f, sender, to)
		return
	}
	p.goroutines.Go(func() { p.read(f, sender, to) })
}

// wait returns when no goroutine is left but readers of silent streams. stop
// must be closed.
func (p *parsers) wait() { p.goroutines.Wait() }

// read takes a file through to its end, as fast as the merge takes its chunks.
func (p *parsers) read(f *logfile.File, sender string, to chan<- *chunk) {
	defer f.Close()
	defer close(to)
	var open header.Streams
	for {
		c := p.fresh()
		c.sender, c.open = sender, open
		if c.text, c.err = f.Next(c.buffer); errors.Is(c.err, io.EOF) {
			return
		}
		last := c.err != nil
		if !send(to, c, p.stop) {
			return
		}
		if last {
			c.parsed <- struct{}{}
			return
		}
		open = openAfter(c.text)
		if !send(p.work, c, p.stop) {
			return
		}
	}
}

// openAfter says which lines of a container's log go on behind text: as a rule
// none.
func openAfter(text []byte) header.Streams {
	text = bytes.TrimSuffix(text, []byte("\n"))
	last := text[bytes.LastIndexByte(text, '\n')+1:]
	var (
		p header.Parser
		h header.Header
	)
	_ = p.Parse(string(last), true, &h)
	return p.Open()
}

// send sends c unless stop is closed first.
func send(to chan<- *chunk, c *chunk, stop <-chan struct{}) bool {
	select {
	case to <- c:
		return true
	case <-stop:
		return false
	}
}

// take returns the next parsed chunk of a file, nil at its end.
func (p *parsers) take(from <-chan *chunk) *chunk {
	select {
	case c := <-from:
		if c == nil {
			return nil
		}
		select {
		case <-c.parsed:
			return c
		case <-p.stop:
		}
	case <-p.stop:
	}
	return nil
}

// fresh returns an empty chunk. Nearly all were used before: allocating 256 KiB
// each time costs more than parsing what they hold.
func (p *parsers) fresh() *chunk {
	select {
	case c := <-p.free:
		return c
	default:
		return &chunk{buffer: make([]byte, chunkSize), parsed: make(chan struct{}, 1)}
	}
}

func (p *parsers) recycle(c *chunk) {
	*c = chunk{buffer: c.buffer, parsed: c.parsed, lines: c.lines[:0], found: c.found.emptied()}
	select {
	case p.free <- c:
	default:
	}
}

// parse parses chunks until it is told to stop.
func (p *parsers) parse() {
	headers := &header.Parser{Zone: p.zone, Tags: p.tags}
	for {
		select {
		case c := <-p.work:
			p.parseChunk(headers, c)
			c.parsed <- struct{}{}
		case <-p.stop:
			return
		}
	}
}

func (p *parsers) parseChunk(headers *header.Parser, c *chunk) {
	var h header.Header
	var names detector.Names
	headers.Resume(c.open)
	mine := false // the line before is the last of c.lines
	for line := range lines(asString(c.text)) {
		c.count++
		if headers.Parse(line, true, &h) != nil {
			c.miss(line)
			mine = false
			continue
		}
		if mine && h.Repeats > 0 && c.repeat(&h) {
			mine = false
			continue
		}
		if mine = p.reader.Ours(h.Tag); !mine {
			c.foreign++
			c.found.foreign(&h)
			continue
		}
		c.found.own(&h)
		c.lines = append(c.lines, detector.Line{Number: c.count, Sender: c.sender, Transport: "file"})
		l := &c.lines[len(c.lines)-1]
		fillLine(l, &h, line)
		p.reader.Read(l, h.Text)
		l.Digest()
		names.Share(l)
	}
}

// fillLine fills in what the header says of a line that is read.
func fillLine(l *detector.Line, h *header.Header, line string) {
	l.Time, l.Stamp = h.Time, detector.Stamp(h.Stamp)
	l.Host, l.Tag, l.PID, l.Wrapper = h.Host, h.Tag, h.PID, h.Wrapper
	l.Size, l.Relayed = len(line), h.Relayed
	l.Cut = h.Cut || len(line) >= logfile.MaxLine-1
}

// repeat counts the line before, one that is read, as often again as h says
// that it came. Nothing can have been lost between the two: the same daemon has
// written both.
func (c *chunk) repeat(h *header.Header) bool {
	previous := &c.lines[len(c.lines)-1]
	if h.Host != previous.Host || previous.Record.Count != 1 || previous.Record.Kind == offence.LinePart {
		return false
	}
	again := *previous
	again.Number, again.Time, again.Stamp = c.count, h.Time, detector.Stamp(h.Stamp)
	again.Record.Count = h.Repeats
	c.lines = append(c.lines, again)
	return true
}

// miss notes a line without a syslog header. Empty lines are nobody's.
func (c *chunk) miss(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	c.unread++
	if len(c.samples) < maxSamples {
		c.samples = append(c.samples, sample{Line: c.count, Text: strings.Clone(line)})
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
