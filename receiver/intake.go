package receiver

import (
	"cmp"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"uppercut/receiver/header"
)

// origin is what is known of the other end of a connection or a datagram,
// without a look at what it says.
type origin struct {
	sender    string
	addr      netip.Addr
	transport Transport
	host      string    // the name that the configuration or the certificate gives, "" for none
	expires   time.Time // the end of the certificate; zero without one
	encrypted bool      // by TLS
	sequence  uint32    // the last sequence number, 0 for none
	policy    *policy   // that relay was asked of
	relay     bool
}

// isRelay reports what p says of the sender. It asks once for each policy.
func (o *origin) isRelay(p *policy) bool {
	if o.policy != p {
		o.policy, o.relay = p, p.isRelay(o)
	}
	return o.relay
}

const (
	// MaxBatch bounds the messages of one batch. A full buffer of log lines
	// holds fewer; of two-byte frames it holds 16,000, and each becomes a
	// Message a hundred times its size.
	MaxBatch = 512
	// MaxBatches bounds the batches that connections have in hand at once:
	// while the judge is behind, all others wait with their bytes alone.
	MaxBatches = 64
)

// intake turns the frames of one reader into batches for the Handler. Each
// reader has its own.
type intake struct {
	handle Handler
	counts *counters
	fleet  *fleet
	rules  *atomic.Pointer[policy]
	policy *policy      // the rules that hold for the batch
	unread func(Unread) // may be nil
	parser header.Parser
	batch  *batch
	places chan struct{} // see MaxBatches; nil for readers that are few
	// read says that a frame could be read, compressed that the stream began with
	// one that was.
	read, compressed bool
}

// batch is the memory that one read needs and that idle readers do not hold.
type batch struct {
	messages []Message
	frames   []span
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// begin must be called before add. It waits for a place.
func (in *intake) begin() {
	if in.places != nil {
		in.waitForPlace()
	}
	in.batch = batches.Get().(*batch)
	in.policy = in.rules.Load()
	in.parser.Tags = in.policy.tags
}

func (in *intake) waitForPlace() {
	select {
	case in.places <- struct{}{}:
	default:
		in.counts.behind.Inc()
		in.places <- struct{}{}
		in.counts.behind.Dec()
	}
}

// full reports whether the batch holds as many frames as it may.
func (in *intake) full() bool { return len(in.batch.frames) >= MaxBatch }

// addAll reads the headers of the frames of the batch, all of which are
// substrings of text, and keeps the messages for flush.
func (in *intake) addAll(text string, received time.Time, from func(i int) *origin) {
	var (
		b     = in.batch
		size  = 0
		start = 0 // where the messages of the sender begin
	)
	for i, f := range b.frames {
		sender := from(i)
		if i > 0 && from(i-1) != sender {
			in.observe(from(i-1), b.messages[start:])
			start = len(b.messages)
		}
		size += f.end - f.start
		if f.cut {
			in.counts.truncated.Inc()
		}
		in.add(text[f.start:f.end], f.cut, sender, received)
	}
	if n := len(b.frames); n > 0 {
		in.observe(from(n-1), b.messages[start:])
		in.counts.received.Add(float64(n))
		in.counts.bytes.Add(float64(size))
	}
}

func (in *intake) observe(from *origin, messages []Message) {
	if lost := in.fleet.observe(from, messages); lost > 0 {
		in.counts.lost.Add(float64(lost))
	}
}

// add reads the header of frame; a frame that cannot be read is counted.
func (in *intake) add(frame string, cut bool, from *origin, received time.Time) {
	b := in.batch
	b.messages = append(b.messages, Message{
		Sender:    from.sender,
		Addr:      from.addr,
		Transport: from.transport,
		Received:  received,
		Size:      len(frame),
	})
	m := &b.messages[len(b.messages)-1]
	err := in.parser.Parse(frame, from.isRelay(in.policy), &m.Header)
	if err == nil {
		m.Cut = m.Cut || cut
		in.read = true
		in.counts.withhold(m.Withheld)
		return
	}
	b.messages = b.messages[:len(b.messages)-1]
	in.counts.syslogFailures.Inc()
	reason := ""
	if kind, ok := errors.AsType[header.Error](err); ok {
		kind = in.reasonOf(kind, from.transport)
		reason = string(kind)
		in.counts.drop(reason)
	}
	in.tell(Unread{Stage: "syslog", Reason: reason, Text: frame, Received: received}, from)
}

// reasonOf returns why a frame could not be read: what a compressed stream falls
// into looks like anything.
func (in *intake) reasonOf(kind header.Error, t Transport) header.Error {
	if kind == header.ErrCompressed && !in.read && (t == TCP || t == TLS) {
		in.compressed = true
	}
	if in.compressed {
		return header.ErrCompressed
	}
	return kind
}

// tear counts what a stream left that is no whole frame, or not the beginning of
// one.
func (in *intake) tear(left []byte, from *origin) {
	in.counts.drop(dropFraming)
	in.counts.framingFailures.Inc()
	in.tell(Unread{Stage: "framing", Text: string(left[:min(len(left), maxUnreadText)]), Received: time.Now()}, from)
}

// maxUnreadText bounds the copy of what a stream left, in bytes.
const maxUnreadText = 1024

// tell counts and tells of what cannot be read.
func (in *intake) tell(u Unread, from *origin) {
	in.fleet.refused(from, cmp.Or(u.Reason, u.Stage))
	if in.unread != nil && u.Text != "" {
		u.Sender, u.Host = from.sender, from.host
		in.unread(u)
	}
}

// flush hands the batch over and ends what begin began. It blocks for as long
// as the Handler does. Both functions may be nil; they are called for an empty
// batch too.
func (in *intake) flush(judged, release func()) {
	b := in.batch
	in.batch = nil
	if len(b.messages) > 0 {
		in.handle(b.messages, judged, release)
	} else {
		for _, done := range [...]func(){judged, release} {
			if done != nil {
				done()
			}
		}
	}
	clear(b.messages)
	b.messages, b.frames = b.messages[:0], b.frames[:0]
	batches.Put(b)
	if in.places != nil {
		<-in.places
	}
}
