package receiver

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RELP (https://www.rsyslog.com/doc/relp.html) is
//
//	TXNR SP COMMAND SP DATALEN [SP DATA] LF
//
// in both directions. The client opens the session, sends messages, each with
// a transaction number, and keeps each until its number is answered.

const (
	// maxTransactionDigits and maxCommand bound a header (RELP, section 3).
	maxTransactionDigits = 9
	maxCommand           = 32
	// maxRELPHeader is the longest header that can be, with its spaces.
	maxRELPHeader = maxTransactionDigits + 1 + maxCommand + 1 + maxCountDigits + 1
	// answerTimeout is how long a client may take to read its answers.
	answerTimeout = 10 * time.Second
	// maxOwed bounds the answers that a session is owed, in bytes, those to
	// messages that are not yet judged included: about 1,600 messages, 12 times
	// the window of rsyslog. Nothing is read of a session that is owed more.
	maxOwed = 32 << 10
	// answerSize is what is counted for an answer beside its text:
	// "999999999 rsp NNN " and the LF.
	answerSize = 20
	// judgedAnswer is the text of the answer to a message.
	judgedAnswer = "200 OK"
	// lastWordsTimeout is how long beyond the deadline of a stop.
	lastWordsTimeout = time.Second
	// offers is what the server says of itself when a session is opened.
	offers = "200 OK\nrelp_version=0\nrelp_software=uppercut\ncommands=syslog"
)

var (
	// errRELP ends a session: nobody knows where the next frame begins.
	errRELP = errors.New("not a RELP frame")
	// errIdle ends a session in which nothing has come for long.
	errIdle = errors.New("RELP session idle")
	// errShort means that the frame is not whole yet.
	errShort = errors.New("incomplete RELP frame")
)

// relpFrame is one frame within a buffer.
type relpFrame struct {
	transaction int
	command     span
	data        span
}

// relpSplitter cuts a stream into frames. Data longer than max is cut there
// and its rest passed over.
type relpSplitter struct {
	max  int
	skip int  // bytes of data that are still to be passed over
	tail bool // the LF of a frame that was handed out is still to come
}

// next returns the next frame at pos in buf and where it ends. Without a whole
// frame the error is errShort, and end says what is done with.
func (s *relpSplitter) next(buf []byte, pos int) (frame relpFrame, end int, err error) {
	if pos, err = s.finish(buf, pos); err != nil {
		return relpFrame{}, pos, err
	}
	frame, start, size, err := relpHeader(buf, pos)
	if err != nil {
		return relpFrame{}, pos, err
	}
	end = start + min(size, s.max)
	if len(buf) < end {
		return relpFrame{}, pos, errShort
	}
	s.skip, s.tail = size-(end-start), true
	frame.data = span{start: start, end: end, cut: s.skip > 0}
	return frame, end, nil
}

// finish passes over what is left of the frame before.
func (s *relpSplitter) finish(buf []byte, pos int) (next int, err error) {
	n := min(s.skip, len(buf)-pos)
	s.skip -= n
	pos += n
	if pos == len(buf) {
		return pos, errShort
	}
	if s.tail && buf[pos] != '\n' {
		return pos, errRELP
	}
	if s.tail {
		s.tail = false
		pos++
	}
	return pos, nil
}

// relpHeader reads the header at pos, up to where the data begins. A frame
// without data may leave out the space before it.
func relpHeader(buf []byte, pos int) (frame relpFrame, start, size int, err error) {
	transaction, err := relpField(buf, pos, maxTransactionDigits, isDigit, " ")
	if err != nil {
		return relpFrame{}, pos, 0, err
	}
	command, err := relpField(buf, transaction.end+1, maxCommand, isLetter, " ")
	if err != nil {
		return relpFrame{}, pos, 0, err
	}
	length, err := relpField(buf, command.end+1, maxCountDigits, isDigit, " \n")
	if err != nil {
		return relpFrame{}, pos, 0, err
	}
	size = decimal(buf[length.start:length.end])
	start = length.end
	if buf[start] == ' ' {
		start++
	} else if size > 0 {
		return relpFrame{}, pos, 0, errRELP
	}
	return relpFrame{transaction: decimal(buf[transaction.start:transaction.end]), command: command}, start, size, nil
}

// relpField returns the bytes of one class at pos, at most limit and at least
// one. Behind them comes one of the bytes in after.
func relpField(buf []byte, pos, limit int, class func(byte) bool, after string) (span, error) {
	end := pos
	for end < len(buf) && class(buf[end]) {
		end++
	}
	switch {
	case end-pos > limit, end == pos && end < len(buf):
		return span{}, errRELP
	case end >= len(buf):
		return span{}, errShort
	case strings.IndexByte(after, buf[end]) < 0:
		return span{}, errRELP
	}
	return span{start: pos, end: end}, nil
}

// decimal reads digits that are known to be few.
func decimal(digits []byte) int {
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}

// relpSession serves one RELP connection.
type relpSession struct {
	*visit
	intake  intake
	frames  relpSplitter
	buffer  buffer
	answers relpAnswers
	timeout time.Duration // to stop, see Config.StopTimeout

	opened       bool
	closing      int // the transaction that closes the session, 0 for none
	transactions []int
	credit       int // bytes of answers that the session may still be owed
}

// run serves to the end of the session. When ctx is cancelled it reads no
// more, since the client keeps what is not answered, and ends the session when
// all that was read is judged and answered.
func (s *relpSession) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Now()) })
	defer stop()
	var writing sync.WaitGroup
	defer writing.Wait()
	s.answers.begin()
	defer s.answers.end()
	writing.Go(func() {
		if errors.Is(s.answers.write(s.conn), os.ErrDeadlineExceeded) {
			s.intake.counts.reject(refuseUnread)
		}
	})
	err := s.read(ctx)
	switch {
	case errors.Is(err, errRELP):
		s.intake.tear(s.buffer.bytes(), s.from)
	case s.closing != 0:
		s.close(strconv.Itoa(s.closing) + " rsp 0\n0 serverclose 0\n")
	case ctx.Err() != nil, errors.Is(err, errIdle):
		s.close("0 serverclose 0\n")
	}
}

// read takes frames until the session ends. A client that is owed too much
// waits in TCP until it has read some of it.
func (s *relpSession) read(ctx context.Context) error {
	for s.closing == 0 {
		if s.credit = s.answers.credit(); s.credit <= 0 {
			s.intake.counts.owed.Inc()
			s.credit = s.answers.await(ctx)
			s.intake.counts.owed.Dec()
		}
		if s.credit <= 0 {
			return context.Canceled
		}
		more, err := s.take(time.Now())
		if err != nil {
			return err
		}
		if more {
			continue
		}
		s.arm(time.Now())
		if ctx.Err() != nil { // arm may have moved the deadline of a stop
			return ctx.Err()
		}
		n, err := s.conn.Read(s.buffer.space(s.frames.max + maxRELPHeader))
		s.buffer.filled(n)
		switch {
		case n > 0 || err == nil:
		case s.isIdle(ctx, err):
			return errIdle
		default:
			return err
		}
	}
	return nil
}

// take hands over whole frames in the buffer, as many as the session's credit
// and a batch allow; more reports whether there may be others. The messages are
// answered when they have been judged, also those whose header could not be
// read: sent again they would be no better.
func (s *relpSession) take(received time.Time) (more bool, err error) {
	buf := s.buffer.bytes()
	if len(buf) == 0 {
		return false, nil
	}
	s.intake.begin()
	s.transactions = s.transactions[:0]
	used := 0
	more = true
	for s.closing == 0 && s.credit > 0 && !s.intake.full() {
		var frame relpFrame
		if frame, used, err = s.frames.next(buf, used); err == nil {
			err = s.obey(buf, frame)
		}
		if err != nil {
			more = false
			break
		}
	}
	text, release := s.buffer.take(used)
	if len(s.transactions) > 0 {
		s.intake.addAll(text, received, func(int) *origin { return s.from })
	}
	if len(s.intake.batch.messages) > 0 {
		s.spoke()
	}
	s.intake.flush(s.answers.expect(slices.Clone(s.transactions)), release)
	if errors.Is(err, errShort) {
		return false, nil
	}
	return more, err
}

// obey does what one frame asks for.
func (s *relpSession) obey(buf []byte, f relpFrame) error {
	switch command := buf[f.command.start:f.command.end]; {
	case string(command) == "open" && !s.opened:
		s.open(f.transaction, string(buf[f.data.start:f.data.end]))
	case !s.opened:
		return errRELP
	case string(command) == "syslog":
		s.intake.batch.frames = append(s.intake.batch.frames, f.data)
		s.transactions = append(s.transactions, f.transaction)
		s.credit -= answerSize + len(judgedAnswer)
	case string(command) == "close":
		s.closing = f.transaction
	default:
		s.say(f.transaction, "500 unknown command")
	}
	return nil
}

// open answers the offers of a client. One that does not offer to send syslog
// is told so, and may try again.
func (s *relpSession) open(transaction int, wanted string) {
	for line := range strings.SplitSeq(wanted, "\n") {
		commands, ok := strings.CutPrefix(line, "commands=")
		if ok && slices.Contains(strings.Split(commands, ","), "syslog") {
			s.opened = true
			s.say(transaction, offers)
			return
		}
	}
	s.say(transaction, "500 only the command syslog is served")
}

// say answers at once.
func (s *relpSession) say(transaction int, text string) {
	s.credit -= answerSize + len(text)
	s.answers.say(transaction, text)
}

// close waits until all is judged and answered, says the last words, and lets
// the client end the connection: closing it with data unread would take the
// answers back.
func (s *relpSession) close(last string) {
	deadline := time.Now().Add(s.timeout)
	s.answers.settle(s.timeout)
	_ = s.conn.SetWriteDeadline(deadline.Add(lastWordsTimeout))
	if _, err := io.WriteString(s.conn, last); err != nil {
		return
	}
	_ = s.tcp.CloseWrite()
	_ = s.conn.SetReadDeadline(time.Now().Add(min(drainIdle, s.timeout)))
	_, _ = io.Copy(io.Discard, io.LimitReader(s.conn, 64<<20))
}

// relpAnswers collects the answers of a session and writes them on a goroutine
// of its own, so that who judges never waits for a client.
type relpAnswers struct {
	wake    chan struct{} // something changed; holds one
	paid    chan struct{} // answers were written; holds one
	done    chan struct{} // the session is over
	settled chan struct{} // all that was expected is written, or the client is given up

	mu       sync.Mutex
	pending  []byte
	writing  int // bytes that are being written
	open     int // messages that are not yet judged
	settling bool
}

func (a *relpAnswers) begin() {
	a.wake, a.paid = make(chan struct{}, 1), make(chan struct{}, 1)
	a.done, a.settled = make(chan struct{}), make(chan struct{})
}

func (a *relpAnswers) end() { close(a.done) }

// await waits while the client is owed as much as it may be, and returns how
// many bytes of answers it may still be owed: none if ctx has ended or the
// client is given up.
func (a *relpAnswers) await(ctx context.Context) (credit int) {
	for {
		if credit = a.credit(); credit > 0 {
			return credit
		}
		select {
		case <-a.paid:
		case <-a.settled:
			return 0
		case <-ctx.Done():
			return 0
		}
	}
}

// credit returns how many bytes of answers the client may still be owed.
func (a *relpAnswers) credit() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maxOwed - len(a.pending) - a.writing - a.open*(answerSize+len(judgedAnswer))
}

// expect returns the function that answers these transactions.
func (a *relpAnswers) expect(transactions []int) (judged func()) {
	if len(transactions) == 0 {
		return nil
	}
	a.mu.Lock()
	a.open += len(transactions)
	a.mu.Unlock()
	return func() {
		a.mu.Lock()
		a.open -= len(transactions)
		for _, t := range transactions {
			a.pending = appendAnswer(a.pending, t, judgedAnswer)
		}
		a.mu.Unlock()
		signal(a.wake)
	}
}

// say answers at once.
func (a *relpAnswers) say(transaction int, text string) {
	a.mu.Lock()
	a.pending = appendAnswer(a.pending, transaction, text)
	a.mu.Unlock()
	signal(a.wake)
}

func appendAnswer(b []byte, transaction int, text string) []byte {
	b = strconv.AppendInt(b, int64(transaction), 10)
	b = append(b, " rsp "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, ' ')
	b = append(b, text...)
	return append(b, '\n')
}

// signal wakes who waits for c, which holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write writes answers until the session is over; a client that does not read
// them loses the connection.
func (a *relpAnswers) write(conn connection) error {
	var out []byte
	for {
		select {
		case <-a.done:
			return nil
		case <-a.wake:
		}
		var settled bool
		out, settled = a.collect(out[:0])
		_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout))
		_, err := conn.Write(out)
		if err != nil {
			conn.Close()
		}
		a.wrote()
		if settled || err != nil { // after an error there is nothing to wait for
			close(a.settled)
			return err
		}
	}
}

// connection is what answers are written to.
type connection interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
}

// collect moves what is pending to out.
func (a *relpAnswers) collect(out []byte) (answers []byte, settled bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out = append(out, a.pending...)
	a.pending, a.writing = a.pending[:0], len(out)
	return out, a.settling && a.open == 0
}

// wrote says that what was collected is on its way.
func (a *relpAnswers) wrote() {
	a.mu.Lock()
	a.writing = 0
	a.mu.Unlock()
	signal(a.paid)
}

// settle waits until everything that is expected is written, at most for
// timeout. Nothing may be expected after it.
func (a *relpAnswers) settle(timeout time.Duration) {
	a.mu.Lock()
	a.settling = true
	a.mu.Unlock()
	signal(a.wake)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-a.settled:
	case <-timer.C:
	}
}
