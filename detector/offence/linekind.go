package offence

// LineKind says what sort of line was read. Its String is a metric label.
type LineKind uint8

const (
	// LineInfo is known, and of no interest for judging clients.
	LineInfo LineKind = iota
	// LineUnknown is of no known form.
	LineUnknown
	// LinePart is a part of a line that its writer has split.
	LinePart
	// LineReject is a command or a message that the server refused.
	LineReject
	// LineMisuse is an offence against the protocol.
	LineMisuse
	// LineAuthFailure says that AUTH failed or was malformed.
	LineAuthFailure
	// LineTLSFailure says that a TLS handshake failed.
	LineTLSFailure
	// LineMilter says that a milter refused, discarded or quarantined.
	LineMilter
	// LineConnect says that a client connected.
	LineConnect
	// LineDisconnect says that a client left without mail, or was lost.
	LineDisconnect
	// LineClient names the client of a session and tells nothing else.
	LineClient
	// LineFrom is the envelope of a message.
	LineFrom
	// LineTo is the delivery of a message.
	LineTo
	// LineAuth says that AUTH succeeded.
	LineAuth
	// NumLineKinds is how many there are.
	NumLineKinds
)

var lineKindNames = [NumLineKinds]string{
	"info", "unknown", "part", "reject", "misuse", "auth_failure", "tls_failure", "milter",
	"connect", "disconnect", "client", "from", "to", "auth",
}

func (k LineKind) String() string { return lineKindNames[k] }

// LineKinds returns every kind, in a fixed order.
func LineKinds() []LineKind {
	all := make([]LineKind, NumLineKinds)
	for i := range all {
		all[i] = LineKind(i)
	}
	return all
}
