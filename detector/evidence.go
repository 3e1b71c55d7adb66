package detector

import (
	"encoding/binary"
	"slices"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// maxEvidence is the number of lines that go with a verdict.
const maxEvidence = 20

// maxEvidenceText limits the text of one line that is kept, in bytes.
const maxEvidenceText = 2048

// ring keeps the lines of suspected sources in a buffer of fixed size: the
// newest overwrites the oldest. The lines of one source are chained backwards.
// Positions count units of evidenceUnit bytes since the beginning.
type ring struct {
	buffer []byte
	head   uint64 // where the next line goes
}

const evidenceUnit = 16

// evidenceHeader is what stands before a line's text.
type evidenceHeader struct {
	previous  uint32 // position of the source's line before, 0 for none
	check     uint32 // of the source, against positions that went round
	second    int64
	nanos     uint32
	received  int64
	receivedN uint32
	host      uint32 // its number below a generation, for numbers are given away again
	transport transport
	masked    bool // text holds no secrets
	reason    offence.Reason
	length    uint16
}

// maskedBit marks, beside the transport, a text that holds no secrets.
const maskedBit = 0x80

const evidenceHeaderSize = 4 + 4 + 8 + 4 + 8 + 4 + 4 + 1 + 1 + 2

func newRing(size int) *ring {
	return &ring{buffer: make([]byte, size/evidenceUnit*evidenceUnit), head: 1}
}

// resize replaces the ring if it is to have another size; its lines are lost.
func (r *ring) resize(size int) {
	if size/evidenceUnit*evidenceUnit != len(r.buffer) {
		*r = *newRing(size)
	}
}

// transport is a Line.Transport as a number.
type transport uint8

var transports = [...]string{"", "udp", "tcp", "tls", "relp", "unix", "file"}

func transportOf(name string) transport {
	for i, known := range transports {
		if name == known {
			return transport(i)
		}
	}
	return 0
}

// add keeps a line and returns its position.
func (r *ring) add(h evidenceHeader, text string) uint32 {
	text = text[:min(len(text), maxEvidenceText)]
	h.length = uint16(len(text))
	size := evidenceHeaderSize + len(text)
	units := uint64((size + evidenceUnit - 1) / evidenceUnit)
	capacity := uint64(len(r.buffer) / evidenceUnit)
	for uint32(r.head) == 0 || r.head%capacity+units > capacity {
		if uint32(r.head) == 0 {
			r.head++ // 0 means nowhere
		} else {
			r.head += capacity - r.head%capacity // it does not fit before the end
		}
	}
	position := r.head
	b := r.buffer[position%capacity*evidenceUnit:]
	h.write(b)
	copy(b[evidenceHeaderSize:], text)
	r.head += units
	return uint32(position)
}

func (h *evidenceHeader) write(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, h.previous)
	le.PutUint32(b[4:], h.check)
	le.PutUint64(b[8:], uint64(h.second))
	le.PutUint32(b[16:], h.nanos)
	le.PutUint64(b[20:], uint64(h.received))
	le.PutUint32(b[28:], h.receivedN)
	le.PutUint32(b[32:], h.host)
	b[36], b[37] = byte(h.transport), byte(h.reason)
	if h.masked {
		b[36] |= maskedBit
	}
	le.PutUint16(b[38:], h.length)
}

func (h *evidenceHeader) read(b []byte) {
	le := binary.LittleEndian
	h.previous, h.check = le.Uint32(b), le.Uint32(b[4:])
	h.second, h.nanos = int64(le.Uint64(b[8:])), le.Uint32(b[16:])
	h.received, h.receivedN = int64(le.Uint64(b[20:])), le.Uint32(b[28:])
	h.host = le.Uint32(b[32:])
	h.transport, h.reason = transport(b[36]&^maskedBit), offence.Reason(b[37])
	h.masked = b[36]&maskedBit != 0
	h.length = le.Uint16(b[38:])
}

// at returns the line at a position; ok is false if it has been overwritten or
// belongs to another source.
func (r *ring) at(position, check uint32) (h evidenceHeader, text string, ok bool) {
	age := uint64(uint32(r.head) - position)
	capacity := uint64(len(r.buffer) / evidenceUnit)
	if position == 0 || age == 0 || age > capacity || age > r.head {
		return h, "", false
	}
	at := (r.head - age) % capacity * evidenceUnit
	if int(at)+evidenceHeaderSize > len(r.buffer) {
		return h, "", false
	}
	b := r.buffer[at:]
	h.read(b)
	if h.check != check || evidenceHeaderSize+int(h.length) > len(b) {
		return h, "", false
	}
	return h, string(b[evidenceHeaderSize : evidenceHeaderSize+int(h.length)]), true
}

// evidence returns a source's last lines, oldest first.
func (d *Detector) evidence(s *source) []Evidence {
	check := uint32(d.sources.hash(s.addr))
	var lines []Evidence
	for position := s.evidence; len(lines) < maxEvidence; {
		h, text, ok := d.ring.at(position, check)
		if !ok {
			break
		}
		if !h.masked {
			text = sendmail.Mask(text)
		}
		sender, host := d.hosts.whose(h.host)
		lines = append(lines, Evidence{
			Time:     time.Unix(h.second, int64(h.nanos)).UTC(),
			Received: time.Unix(h.received, int64(h.receivedN)).UTC(),
			Sender:   sender, Host: host, Transport: transports[h.transport],
			Reason: h.reason, Text: text,
		})
		position = h.previous
	}
	slices.Reverse(lines)
	return lines
}

// keep puts an event's line into the ring, if it is sendmail's its secrets with
// it: they are masked when it is read, which few lines ever are. hash is that of
// the source's key.
func (d *Detector) keep(s *source, hash uint64, l *Line, e *offence.Event, h *host) {
	text := e.Raw
	if l.program != 0 {
		text = e.Text()
	}
	s.evidence = d.ring.add(evidenceHeader{
		previous: s.evidence, check: uint32(hash),
		second: e.Time.Unix(), nanos: uint32(e.Time.Nanosecond()),
		received: l.Received.Unix(), receivedN: uint32(l.Received.Nanosecond()),
		host: d.hosts.id(h), transport: transportOf(l.Transport), reason: e.Reason, masked: l.program != 0,
	}, text)
}
