package postfix

import (
	"strings"

	"uppercut/detector/offence"
)

// screen is a kind of lines of postscreen's: the client stands behind start, or
// behind the first " from [" if apart says so, before which only numbers are.
type screen struct {
	start  string
	apart  bool
	kind   offence.LineKind
	reason offence.Reason
}

// screens: of what is followed by a refusal when it is enforced (DNSBL, DENYLISTED)
// only the refusal counts.
var screens = [...]screen{
	{"CONNECT from ", false, offence.LineConnect, offence.ReasonNone},
	{"PREGREET ", true, offence.LineMisuse, offence.Pregreet},
	{"HANGUP after ", true, offence.LineDisconnect, offence.NullConnection},
	{"DISCONNECT ", false, offence.LineClient, offence.ReasonNone},
	{"PASS NEW ", false, offence.LineClient, offence.ReasonNone},
	{"PASS OLD ", false, offence.LineClient, offence.ReasonNone},
	{"DENYLISTED ", false, offence.LineClient, offence.ReasonNone},
	{"NON-SMTP COMMAND from ", false, offence.LineMisuse, offence.BogusCmd},
	{"COMMAND PIPELINING from ", false, offence.LineMisuse, offence.EHLOPipelining},
	{"BARE NEWLINE from ", false, offence.LineMisuse, offence.BareNewline},
	{"COMMAND LENGTH LIMIT from ", false, offence.LineMisuse, offence.LongInput},
	{"COMMAND COUNT LIMIT from ", false, offence.LineMisuse, offence.BadCommand},
	{"COMMAND TIME LIMIT from ", false, offence.LineDisconnect, offence.Timeout},
}

// screened reads a line of postscreen's; false if it is none.
func screened(s string, rec *offence.Record) bool {
	for i := range screens {
		f := &screens[i]
		if s[0] != f.start[0] || !strings.HasPrefix(s, f.start) {
			continue
		}
		rest := s[len(f.start):]
		if f.apart {
			n := strings.Index(rest[:min(len(rest), 40)], " from [")
			if n < 0 || strings.Trim(rest[:n], "0123456789. after") != "" {
				return false
			}
			rest = rest[n+len(" from "):]
		}
		if rest == "" || rest[0] != '[' {
			return false
		}
		rec.Begins = f.kind == offence.LineConnect
		return who(rest, rec, f.kind, f.reason)
	}
	return false
}
