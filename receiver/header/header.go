package header

import "time"

// Header is a syslog message taken apart. Its strings share the memory of the
// frame, except where a JSON string with escapes had to be read.
type Header struct {
	// Time is the time in the header, see Stamp.
	Time time.Time
	// Host is the name or address of the host that wrote the message: a claim.
	// It is "" where the header names none. Of a chain of hosts, "a/b" as
	// syslog-ng writes it, it is the first.
	Host string
	// Tag is the program name without the PID: a claim. It is "" where there
	// is none.
	Tag string
	// Text is the message behind "TAG[PID]: ", without a leading space.
	Text string
	// Wrapper is the outer tag of a message that another program's message
	// holds, such as a container's name; "" otherwise. Processes of two
	// containers may have the same PID.
	Wrapper string
	// PID is the number in brackets behind the tag, or the PROCID of
	// RFC 5424; 0 if there is none.
	PID uint32
	// SequenceID is syslog-ng's [meta sequenceId="N"] (RFC 5424, section
	// 7.3.1); 0 if there is none.
	SequenceID uint32
	// Repeats is how often a syslog daemon says that the message before came
	// again ("last message repeated 3 times"); 0 for every other message. Such
	// a message has no tag of its own.
	Repeats uint32
	// Priority is facility*8+severity (RFC 5424, section 6.2.1), 0 to 191;
	// 13 (user.notice) if the frame had none.
	Priority uint8
	// Stamp says what Time means.
	Stamp Stamp
	// Withheld says what stands in the text and is not believed.
	Withheld Withheld
	// Relayed says that the header shows that another daemon than the one of
	// Host has passed the message on. It may have cut it.
	Relayed bool
	// Cut says that the end of the text is known to be missing.
	Cut bool
	// Second says that Parse was told of a relay, and has taken the second
	// header of the message for that.
	Second bool
}

// Stamp says how much of a header's time is known.
type Stamp uint8

const (
	// StampNone means that the header carries no time.
	StampNone Stamp = iota
	// StampLocal means month, day and time of day of an unknown year or zone
	// (RFC 3164, section 4.1.2). Header.Time holds them as year 0, UTC.
	StampLocal
	// StampFull means an absolute time (RFC 3339, RFC 5424).
	StampFull
)

// Withheld says what a message holds that only configuration can make readable.
type Withheld uint8

const (
	// WithheldNothing means that there is nothing to tell.
	WithheldNothing Withheld = iota
	// WithheldHeader means a second header: its sender may be a relay that
	// Parse was not told of.
	WithheldHeader
	// WithheldTag means one of the tags of Tags in the text of another
	// program, which may be one that wraps what others say.
	WithheldTag
	// WithheldRepeats means Repeats: of which message is not known for certain.
	WithheldRepeats
)

// Error is the kind of a header that could not be read. Its text is a metric
// label, so it never holds a byte of the message.
type Error string

func (e Error) Error() string { return "syslog header: " + string(e) }

// What can be wrong with a header.
const (
	// ErrEmpty means nothing but trailing LF, CR and NUL.
	ErrEmpty Error = "empty"
	// ErrPriority means "<" without one to three digits up to 191 and ">".
	ErrPriority Error = "priority"
	// ErrTimestamp means neither a time of a known shape nor a tag.
	ErrTimestamp Error = "timestamp"
	// ErrHeader means cut before the message, or a header of RFC 5424 that the
	// RFC does not allow.
	ErrHeader Error = "header"
	// ErrCompressed means that the sender compresses: rsyslog's omfwd with
	// compression.mode or ZipLevel.
	ErrCompressed Error = "compressed"
)

// Errors lists every Error.
func Errors() []Error {
	return []Error{ErrEmpty, ErrPriority, ErrTimestamp, ErrHeader, ErrCompressed}
}
