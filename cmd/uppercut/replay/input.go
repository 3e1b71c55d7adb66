package replay

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"uppercut/cmd/uppercut/replay/logfile"
	"uppercut/detector"
	"uppercut/receiver/header"
)

// input is the log lines of one or more files, in order of time.
//
// Each open file has a goroutine that reads and unpacks it, chunk by chunk. As
// many workers as there are processors split the chunks into lines and parse
// them. The caller's goroutine takes the parsed chunks in the order of their
// file, merges the files by time and hands out line by line.
type input struct {
	paths []string
	stdin io.Reader
	// zone is that of hosts whose lines do not name it.
	zone *time.Location
	// wrapping are the tags of programs that pass on what others write.
	wrapping []string
	// show, if not nil, is shown the lines of a file before they are handed out, at
	// most detector.MaxAhead at once.
	show func([]detector.Line)
	// retire, if not nil, is told when all lines of a chunk of a file have been handed
	// out, and calls recycle when nobody needs them any more. Without it a line is
	// valid until the next one.
	retire func(recycle func())

	progress progress
	sources  []*source
}

// progress is how far reading has come; any goroutine may look.
type progress struct {
	// files holds the open and the finished files.
	mutex sync.Mutex
	files []*logfile.File
	// size is the size on disk of all files, 0 if one has none.
	size  int64
	lines atomic.Int64
}

// consumed is how many bytes of size have been read.
func (p *progress) consumed() (n int64) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, f := range p.files {
		n += f.Consumed()
	}
	return n
}

func (p *progress) add(f *logfile.File) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.files = append(p.files, f)
}

// lineBits is how many bits of a line's number count within its file; the
// others number the files.
const lineBits = 40

// fileOf and lineOf take the number of a line apart.
func fileOf(number uint64) int    { return int(number >> lineBits) }
func lineOf(number uint64) uint64 { return number & (1<<lineBits - 1) }

var errInterrupted = errors.New("interrupted; reporting what was read so far")

// each calls handle with every line of the tags that c names, in order of time.
// The line is valid until handle returns, or for longer: see retire. An error of one file does not keep
// the others from being read; all are returned.
func (in *input) each(ctx context.Context, c detector.Config, handle func(*detector.Line)) error {
	reader, err := detector.NewReader(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &parsers{stop: ctx.Done(), reader: reader, tags: header.NewTags(c.Tags, in.wrapping), zone: in.zone}
	p.start(runtime.GOMAXPROCS(0))
	defer p.wait()
	defer cancel()

	waiting := in.queue()
	m := merger{}
	for ctx.Err() == nil {
		waiting = in.openDue(p, waiting, &m)
		s, until := m.next()
		if s == nil {
			break
		}
		if len(waiting) > 0 && (until.IsZero() || waiting[0].first.Before(until)) {
			until = waiting[0].first
		}
		in.drain(s, until, handle)
	}
	if ctx.Err() != nil {
		return errors.Join(in.errors(), errInterrupted)
	}
	return in.errors()
}

// drain hands out lines of s for as long as they are not younger than until.
func (in *input) drain(s *source, until time.Time, handle func(*detector.Line)) {
	for {
		handle(s.line)
		if !s.advance() || !until.IsZero() && s.line.Time.After(until) {
			return
		}
	}
}

// queue looks into every file and returns those that can be read, the one that
// begins first in front.
func (in *input) queue() []*source {
	in.progress.size = 0
	sized := true
	for i, path := range in.paths {
		s := &source{index: i, name: path, sender: logfile.Stem(path), progress: &in.progress, show: in.show, retire: in.retire}
		in.sources = append(in.sources, s)
		size, ok := s.peek(in)
		in.progress.size += size
		sized = sized && ok
	}
	if !sized {
		in.progress.size = 0
	}
	in.markSame()
	waiting := slices.DeleteFunc(slices.Clone(in.sources), func(s *source) bool { return s.err != nil || s.same != "" })
	slices.SortStableFunc(waiting, func(a, b *source) int { return a.first.Compare(b.first) })
	return waiting
}

// openDue opens the files whose first line is due next, and removes them from
// waiting. Rotated logs follow each other, so few files are open at once.
func (in *input) openDue(p *parsers, waiting []*source, m *merger) []*source {
	for len(waiting) > 0 && m.due(waiting[0].first) {
		s := waiting[0]
		waiting = waiting[1:]
		if s.open(p, in); s.err == nil && s.advance() {
			m.add(s)
		}
	}
	return waiting
}

// nothingRead reports whether not one file could be read.
func (in *input) nothingRead() bool {
	return !slices.ContainsFunc(in.sources, func(s *source) bool { return s.err == nil || s.lines > 0 })
}

func (in *input) errors() error {
	var errs []error
	for _, s := range in.sources {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}

// merger picks among open files the one whose next line is the oldest.
type merger struct{ open []*source }

func (m *merger) add(s *source) { m.open = append(m.open, s) }

// due reports whether nothing that is open comes before t.
func (m *merger) due(t time.Time) bool {
	return !slices.ContainsFunc(m.open, func(s *source) bool { return s.line != nil && s.line.Time.Before(t) })
}

// next returns the file with the oldest line, and the time of the oldest line
// of the others, zero if there are none. It returns nil at the end.
func (m *merger) next() (first *source, until time.Time) {
	m.open = slices.DeleteFunc(m.open, func(s *source) bool { return s.line == nil })
	for _, s := range m.open {
		switch {
		case first == nil:
			first = s
		case s.line.Time.Before(first.line.Time):
			first, until = s, first.line.Time
		case until.IsZero() || s.line.Time.Before(until):
			until = s.line.Time
		}
	}
	return first, until
}

// source is a file as the merging goroutine sees it.
type source struct {
	index int
	// name is the path, sender what stands for the sending host: rotated files
	// of one log are one sender.
	name, sender string
	// first is the time of the first line; zero where it cannot be known
	// before reading.
	first time.Time
	// start is a hash of the first lines; 0 where they have not been read.
	start    uint64
	progress *progress
	calendar *logfile.Calendar
	chunks   chan *chunk
	parsers  *parsers
	show     func([]detector.Line)
	retire   func(recycle func())

	chunk *chunk
	next  int
	// line is the next line, nil at the end of the file.
	line *detector.Line
	last time.Time
	// latest is the latest time that can be true.
	latest time.Time

	// lines counts what has been read, unread what has no syslog header,
	// foreign the lines of other programs.
	lines, unread, foreign uint64
	// begin and end are the oldest and the newest time.
	begin, end time.Time
	// samples holds the first lines without a header.
	samples []sample
	// found is what else there is to tell; ahead counts lines dated in the
	// future, the first of which is aheadAt.
	found   findings
	ahead   uint64
	aheadAt time.Time
	// same names the file given before whose text this one has: it is not read.
	same string
	err  error
}

// sample is a line that was not understood.
type sample struct {
	Line uint64
	Text string
}

// peek finds out when a regular file begins, and its size; false if it has none.
func (s *source) peek(in *input) (size int64, ok bool) {
	size, regular := fileSize(s.name)
	if regular && len(in.paths) > 1 {
		s.first, s.start, s.err = look(s.name, in.zone)
	}
	return size, regular
}

// fileSize returns the size of a regular file; false for what can be read only
// once. A file that is not there has no size; opening it will tell.
func fileSize(path string) (size int64, regular bool) {
	if path == "-" {
		return 0, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, true
	}
	return info.Size(), info.Mode().IsRegular()
}

// look returns the time of the first line that has one, and a hash of the first
// lines, 0 without any.
func look(path string, zone *time.Location) (at time.Time, start uint64, err error) {
	f, err := logfile.Open(path)
	if err != nil {
		return time.Time{}, 0, err
	}
	defer f.Close()
	text, err := f.Next(make([]byte, logfile.MaxLine))
	if err != nil {
		return time.Time{}, 0, nil // reading will say what is wrong
	}
	return firstTime(string(text), logfile.NewCalendar(f.Modified(), zone), zone), xxhash.Sum64(text), nil
}

// firstTime returns the time of the first line of text that has one.
func firstTime(text string, calendar *logfile.Calendar, zone *time.Location) time.Time {
	parser := header.Parser{Zone: zone}
	var h header.Header
	for line := range lines(text) {
		if parser.Parse(line, true, &h) != nil || h.Stamp == header.StampNone {
			continue
		}
		if h.Stamp == header.StampLocal {
			return calendar.Place(h.Time)
		}
		return h.Time
	}
	return time.Time{}
}

// open begins to read.
func (s *source) open(p *parsers, in *input) {
	file, err := in.openFile(s.name)
	if err != nil {
		s.err = err
		return
	}
	s.progress.add(file)
	modified := file.Modified()
	if modified.IsZero() {
		modified = time.Now()
	}
	s.last = modified
	s.latest = time.Now().Add(24 * time.Hour)
	s.calendar = logfile.NewCalendar(modified, in.zone)
	s.chunks = make(chan *chunk, 3)
	s.parsers = p
	p.startReader(file, s.sender, s.chunks)
}

func (in *input) openFile(path string) (*logfile.File, error) {
	if path == "-" {
		return logfile.NewStream("standard input", in.stdin), nil
	}
	return logfile.Open(path)
}

// advance goes to the next line; false at the end of the file.
func (s *source) advance() bool {
	for s.chunk == nil || s.next == len(s.chunk.lines) {
		if !s.nextChunk() {
			s.line = nil
			return false
		}
	}
	if s.next%detector.MaxAhead == 0 {
		s.completeNext()
	}
	s.line = &s.chunk.lines[s.next]
	s.next++
	return true
}

// completeNext completes the next lines and shows them.
func (s *source) completeNext() {
	next := s.chunk.lines[s.next:min(s.next+detector.MaxAhead, len(s.chunk.lines))]
	for i := range next {
		s.complete(&next[i])
	}
	if s.show != nil {
		s.show(next)
	}
}

// complete fills in what only the order of lines tells.
func (s *source) complete(l *detector.Line) {
	l.Number += uint64(s.index)<<lineBits + s.lines
	switch l.Stamp {
	case detector.StampLocal:
		l.Time = s.calendar.Place(l.Time)
	case detector.StampNone:
		l.Time = s.last
	case detector.StampFull:
		// No log tells of the future: such a line would make all that follow late.
		if l.Time.After(s.latest) {
			if s.ahead++; s.aheadAt.IsZero() {
				s.aheadAt = l.Time
			}
			l.Time = s.last
		}
	}
	l.Stamp = detector.StampFull
	l.Received = l.Time
	s.last = l.Time
	if s.begin.IsZero() || l.Time.Before(s.begin) {
		s.begin = l.Time
	}
	if l.Time.After(s.end) {
		s.end = l.Time
	}
}

// nextChunk gives the finished chunk back and takes the next.
func (s *source) nextChunk() bool {
	if s.chunk != nil {
		s.lines += s.chunk.count
		if done := s.chunk; s.retire != nil {
			s.retire(func() { s.parsers.recycle(done) })
		} else {
			s.parsers.recycle(done)
		}
		s.chunk = nil
	}
	c := s.parsers.take(s.chunks)
	if c == nil {
		return false
	}
	if c.err != nil {
		s.err = c.err
		return false
	}
	for _, sample := range c.samples {
		if len(s.samples) < maxSamples {
			sample.Line += s.lines
			s.samples = append(s.samples, sample)
		}
	}
	s.unread += c.unread
	s.foreign += c.foreign
	s.found.add(&c.found)
	s.progress.lines.Add(int64(c.count))
	s.chunk, s.next = c, 0
	return true
}

// maxSamples is how many lines that were not understood a report shows.
const maxSamples = 5
