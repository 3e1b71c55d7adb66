package sendmail

import "time"

// Input is one line for a Memory.
type Input struct {
	// Line is the caller's number for the line; it comes back in Events.
	Line uint64
	// Time is when the line was written, as far as known.
	Time time.Time
	// Sender is who sent the line, Host who claims to have written it.
	Sender, Host string
	// PID is the syslog PID; 0 if there is none.
	PID uint32
	// Record is the line parsed. The Memory clones what it keeps.
	Record *Record
}

// Memory joins lines to sessions. It is bounded; what it gives up is counted.
// It is not safe for concurrent use.
type Memory struct{}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{} }

// Observe takes a line and appends to dst what is proven now: at most one
// event of the line itself and those that were held for its session.
func (m *Memory) Observe(in Input, dst []Event) []Event { return dst }
