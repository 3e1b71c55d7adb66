package offence

import (
	"net/netip"
	"time"
)

// Kind says what an Event tells of its address.
type Kind uint8

const (
	// Offence says that the client was refused or misbehaved; Event.Reason says how.
	Offence Kind = iota
	// Connected says that a session began (connect from, LogLevel 10).
	Connected
	// Accepted says that a message was accepted from the client: its envelope
	// (from= with nrcpts > 0, which is the event's line) and then a mailer or
	// the queue that took it. Event.Count is the number of accepted recipients.
	Accepted
	// Authenticated says that AUTH succeeded (AUTH=server, LogLevel 9).
	Authenticated
	// Delivered says that our host delivered a message to the address (to= with
	// stat=Sent and a remote relay).
	Delivered
)

// Event is what one line proves, alone or with its session.
type Event struct {
	// Line is the caller's number of the line that the event is about, not of
	// the line that proved the address.
	Line uint64
	// Time is when that same line was written, as far as known.
	Time time.Time
	// Addr is the client's address, unmapped and without zone.
	Addr netip.Addr
	// Session numbers the session within the process that reads; never 0.
	Session uint64
	// User is a keyed hash of the AUTH user name, 0 if the line names none.
	// The name itself is never kept.
	User uint64
	// Count is how many times it happened: the N of "message repeated N
	// times", else 1. For Accepted see there.
	Count uint32
	Kind  Kind
	// Reason is the class of an Offence, ReasonNone for other kinds.
	Reason Reason
	// Ruleset names the rules of the mail server's that refused the client with
	// a reply, as its configuration does (check_rcpt); "" if none did.
	Ruleset string
	// Temporary: the client got a 4xx reply.
	Temporary bool
	// NullSender: the envelope sender of the transaction is <> as far as the
	// session's lines tell.
	NullSender bool
	// ViaSession: the address came from another line of the session.
	ViaSession bool
	// Raw is the line's text as it came, for Text only. It may share the memory
	// of the line.
	Raw string
	// Mask takes the secrets out of Raw: the reader of the line knows where they
	// stand. nil if they are out.
	Mask func(string) string
}

// Text returns the line's text with secrets masked. It is a method because few
// events' texts are ever read: masking costs as much as parsing.
func (e *Event) Text() string {
	if e.Mask == nil {
		return e.Raw
	}
	return e.Mask(e.Raw)
}
