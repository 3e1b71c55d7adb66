package detector

import (
	"io"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"uppercut/detector/sendmail"
)

// Line is one log line of a mail host, header taken off and text parsed.
type Line struct {
	// Number is the caller's number for the line, for evidence and replay.
	Number uint64
	// Sender is who sent it: a fact (certificate name, address, file name).
	Sender string
	// Transport is how it came in: udp, tcp, tls, relp, unix, file.
	Transport string
	// Received is when it came in; in a replay the same as the line's time.
	Received time.Time
	// Time is the time in the header; Stamp says what is known of it.
	Time  time.Time
	Stamp Stamp
	// Host and Tag are what the header says: a claim.
	Host, Tag string
	// PID is the number behind the tag; 0 if there is none.
	PID uint32
	// Record is the parsed text.
	Record sendmail.Record
}

// Stamp says how much of a header's time is known.
type Stamp uint8

// The values agree with the receiver's.
const (
	StampNone  Stamp = iota // no time
	StampLocal              // no year and no zone: year 0, UTC
	StampFull               // absolute
)

// Evidence is a line that led to a verdict. Secrets are masked.
type Evidence struct {
	Time      time.Time
	Received  time.Time
	Sender    string
	Host      string
	Transport string
	Reason    sendmail.Reason
	Text      string
}

// Verdict says: block Prefix until Until.
type Verdict struct {
	Prefix netip.Prefix
	// At is the time of the deciding offence, Received when its line came in.
	At, Received time.Time
	// Until is when the block ends: offence plus duration, not arrival plus
	// duration.
	Until time.Time
	// Rule is the name of the rule that fired.
	Rule string
	// Score is the sum in the rule's window, in points.
	Score float64
	// Hosts is the number of distinct reporting hosts.
	Hosts int
	// Evidence holds up to 20 lines, oldest first.
	Evidence []Evidence
}

// Options are a Detector's collaborators.
type Options struct {
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Exempt says why a prefix must not be blocked, "" if it may be. It is
	// asked before each verdict and must answer from memory. nil exempts
	// nobody.
	Exempt func(netip.Prefix) (cause string)
	// OnEvent, if not nil, sees every event before it is judged (replay
	// reports, per-host metrics).
	OnEvent func(*Line, *sendmail.Event)
}

// Detector is the judge.
type Detector struct{}

// New returns a Detector with the rules of c.
func New(c Config, o Options) (*Detector, error) { return &Detector{}, nil }

// Observe judges one line. The verdicts are valid until the next call.
func (d *Detector) Observe(l *Line) []Verdict { return nil }

// Tick does what is due by now without a line: waiting verdicts, breakers that
// close. The verdicts are valid until the next call.
func (d *Detector) Tick(now time.Time) []Verdict { return nil }

// Pardon clears what is held against p and leaves it alone until until.
func (d *Detector) Pardon(p netip.Prefix, until time.Time) {}

// Reconfigure replaces rules and weights and keeps every score.
func (d *Detector) Reconfigure(c Config) error { return nil }

// Snapshot writes scores, histories and duplicate memory to w.
func (d *Detector) Snapshot(w io.Writer) error { return nil }

// Restore reads a snapshot; what has expired by now is left out.
func (d *Detector) Restore(r io.Reader, now time.Time) error { return nil }
