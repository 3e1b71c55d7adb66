package receiver

import (
	"net/netip"
	"time"
)

// Transport says how a message came in. Its String is a metric label.
type Transport uint8

// The transports, in the order of the listeners in Config.
const (
	UDP Transport = iota
	TCP
	TLS
	RELP
	Unix
)

func (t Transport) String() string {
	return [...]string{"udp", "tcp", "tls", "relp", "unix"}[t]
}

// Stamp says how much of a header's time is known.
type Stamp uint8

const (
	// StampNone means that the header carries no time.
	StampNone Stamp = iota
	// StampLocal means month, day and time of day of an unknown year and zone
	// (RFC 3164, section 4.1.2). Message.Time holds them as year 0, UTC.
	StampLocal
	// StampFull means an absolute time (RFC 3339, RFC 5424).
	StampFull
)

// Message is one syslog message. Strings share the memory of a whole read, which
// is used again when the batch is released (see Handler): a consumer that keeps
// one for longer than it takes to judge the message clones it.
type Message struct {
	// Sender identifies who sent the message: the name in the client
	// certificate with mutual TLS, the peer's address in canonical form
	// otherwise, "unix" for the local socket. It is never taken from the
	// message itself.
	Sender string
	// Addr is the sender's address; invalid for the local socket.
	Addr netip.Addr
	// Transport is how the message came in.
	Transport Transport
	// Priority is facility*8+severity (RFC 5424, section 6.2.1), 0 to 191;
	// 13 (user.notice) if the frame had none.
	Priority uint8
	// Stamp says what Time means.
	Stamp Stamp
	// PID is the number in brackets behind the tag, or the PROCID of
	// RFC 5424; 0 if there is none.
	PID uint32
	// SequenceID is syslog-ng's [meta sequenceId="N"] (RFC 5424, section
	// 7.3.1); 0 if there is none.
	SequenceID uint32
	// Received is when the message was taken off the wire.
	Received time.Time
	// Time is the time in the header, see Stamp.
	Time time.Time
	// Host is the host name in the header as the sender wrote it: a claim.
	Host string
	// Tag is the program name without the PID: a claim.
	Tag string
	// Text is the message behind "TAG[PID]: ", without a leading space.
	Text string
}
