package receiver

import "bytes"

// maxCountDigits is how many digits an octet count may have. More are not a
// count: no sender has messages of 10 MB.
const maxCountDigits = 7

// span is a frame within a buffer.
type span struct {
	start, end int
	// cut says that the frame was longer than the limit.
	cut bool
}

// splitter cuts a stream into frames, by octet count ("LENGTH SP <...") or at
// LF (RFC 6587, sections 3.4.1 and 3.4.2), each frame by how it begins. A
// frame that is longer than max is cut there and its rest passed over. A count
// that lies costs the frames that it covers; what then begins in the middle of
// a message is a bad frame that ends at its LF, and the next one is good again.
type splitter struct {
	max     int  // the size at which a frame is cut, in bytes
	scanned int  // bytes of the pending frame that are known to hold no LF
	skip    int  // bytes of a counted frame that are still to be passed over
	discard bool // everything up to the next LF is to be passed over
}

// split appends the whole frames in buf to spans, which holds at most MaxBatch
// then, and returns how many bytes they, and what is to be passed over, take.
// The rest must come again: if spans is not full it is the start of a frame, and
// there must be more behind it.
func (s *splitter) split(buf []byte, spans []span) (frames []span, used int) {
	for pos := 0; ; {
		pos += s.pass(buf[pos:])
		if pos == len(buf) || len(spans) == MaxBatch {
			return spans, pos
		}
		frame, next, ok := s.next(buf, pos)
		if !ok {
			return spans, pos
		}
		spans, pos = append(spans, frame), next
	}
}

// rest returns what the end of the stream makes of the bytes that split left:
// a line without its LF is a frame, a counted frame without its end is none.
func (s *splitter) rest(buf []byte) (frame span, ok bool) {
	if len(buf) == 0 {
		return span{}, false
	}
	if _, _, answer := octetCount(buf); answer == isCount {
		return span{}, false
	}
	return span{start: 0, end: len(buf)}, true
}

// pass returns how many bytes at the start of buf belong to no frame.
func (s *splitter) pass(buf []byte) int {
	n := min(s.skip, len(buf))
	s.skip -= n
	if s.discard {
		i := bytes.IndexByte(buf[n:], '\n')
		if i < 0 {
			return len(buf)
		}
		s.discard = false
		n += i + 1
	}
	for n < len(buf) && (buf[n] == '\n' || buf[n] == '\r' || buf[n] == 0) {
		n++
	}
	return n
}

// next returns the frame at pos and where the next one begins; ok is false
// when the end of the frame is not in buf.
func (s *splitter) next(buf []byte, pos int) (frame span, next int, ok bool) {
	width, count, answer := octetCount(buf[pos:])
	switch answer {
	case notYet:
		return span{}, pos, false
	case isCount:
		return s.counted(len(buf), pos+width, count)
	default:
		return s.line(buf, pos)
	}
}

// counted returns the frame of count bytes that begins at start; have is the
// length of the buffer.
func (s *splitter) counted(have, start, count int) (frame span, next int, ok bool) {
	end := start + min(count, s.max)
	if have < end {
		return span{}, 0, false
	}
	s.skip = count - (end - start)
	return span{start: start, end: end, cut: s.skip > 0}, end, true
}

// line returns the frame at pos that ends before an LF.
func (s *splitter) line(buf []byte, pos int) (frame span, next int, ok bool) {
	limit := pos + s.max
	if i := bytes.IndexByte(buf[pos+s.scanned:], '\n'); i >= 0 {
		end := pos + s.scanned + i
		s.scanned = 0
		return span{start: pos, end: min(end, limit), cut: end > limit}, end + 1, true
	}
	if len(buf) > limit {
		s.scanned, s.discard = 0, true
		return span{start: pos, end: limit, cut: true}, limit, true
	}
	s.scanned = len(buf) - pos
	return span{}, 0, false
}

// countAnswer says whether a frame begins with an octet count.
type countAnswer uint8

const (
	noCount countAnswer = iota
	isCount
	notYet // more bytes will tell
)

// octetCount reads "LENGTH SP" at the start of buf. The "<" of PRI must
// follow, so that a line which happens to begin with a number stays a line.
func octetCount(buf []byte) (width, count int, answer countAnswer) {
	i := 0
	for i < len(buf) && i < maxCountDigits && isDigit(buf[i]) {
		count = count*10 + int(buf[i]-'0')
		i++
	}
	switch {
	case i == 0 || buf[0] == '0':
		return 0, 0, noCount
	case i+1 < len(buf) && buf[i] == ' ' && buf[i+1] == '<':
		return i + 1, count, isCount
	case i == len(buf), i+1 == len(buf) && buf[i] == ' ':
		return 0, 0, notYet
	default:
		return 0, 0, noCount
	}
}
