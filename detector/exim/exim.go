package exim

import (
	"strings"

	"uppercut/detector/offence"
)

// maxLine is the longest text that is read. No syslog daemon cuts lines before 480
// bytes (RFC 5424, 6.1), the header among them, so what is this short is whole, and
// the client that Exim named behind a HELO or a command has not been lost.
const maxLine = 360

// Program is Exim for the detector.
type Program struct{}

// Name is the program's name in the configuration.
func (Program) Name() string { return "exim" }

// Ours reports whether a tag is Exim's. A syslog_processname of the
// administrator's own is the tag in place of it.
func (Program) Ours(tag string) bool { return tag == "exim" || tag == "exim4" }

// Parse reads the text of a line into rec, which is empty.
func (Program) Parse(text string, rec *offence.Record) {
	rec.Kind = offence.LineInfo
	text = strings.TrimLeft(text, " ")
	if isPart(text) {
		rec.Kind = offence.LinePart
		return
	}
	if len(text) > maxLine {
		return
	}
	read(cutID(cutPID(cutTime(text))), rec)
	if !rec.Addr.IsValid() || rec.Addr.IsLoopback() || rec.Addr.IsUnspecified() {
		*rec = offence.Record{Kind: offence.LineInfo}
	}
	rec.Twice = rec.Reason != offence.ReasonNone // for the main and the reject log
}

// read reads the text behind the message id.
func read(s string, rec *offence.Record) {
	if s == "" {
		return
	}
	switch s[0] {
	case 'H':
		if rest, ok := strings.CutPrefix(s, "H="); ok {
			readHost(rest, rec)
		}
	case 'S':
		readSMTP(s, rec)
	case 'r':
		readRejected(s, rec)
	case 'C':
		readRefused(s, rec)
	case 'n':
		if rest, ok := strings.CutPrefix(s, "no MAIL in SMTP connection from "); ok {
			settle(rest, anyEnd, rec, offence.LineDisconnect, offence.NullConnection)
		}
	case 'u':
		if rest, ok := strings.CutPrefix(s, "unexpected disconnection while reading SMTP command from "); ok {
			settle(rest, anyEnd, rec, offence.LineDisconnect, offence.LostInput)
		}
	case 'T':
		readTLS(s, rec)
	case '<':
		readAccepted(s, rec)
	default:
		readAuthenticator(s, rec)
	}
}

// settle reads a client, and accuses it if there is one.
func settle(s string, follows follow, rec *offence.Record, kind offence.LineKind, reason offence.Reason) bool {
	addr, _, ok := client(s, follows)
	if !ok {
		return false
	}
	rec.Addr, rec.Kind, rec.Reason = addr, kind, reason
	return true
}

// readHost reads "H=CLIENT [F=<SENDER>] rejected WHAT: WHY" and what else begins
// with the client.
func readHost(s string, rec *offence.Record) {
	addr, rest, ok := client(s, refusal)
	if !ok {
		return
	}
	kind, reason := refused(rest)
	if reason != offence.ReasonNone {
		rec.Addr, rec.Kind, rec.Reason = addr, kind, reason
	}
}

// readSMTP reads the lines about the protocol.
func readSMTP(s string, rec *offence.Record) {
	const unsynchronised = "SMTP protocol synchronization error ("
	if rest, ok := strings.CutPrefix(s, "SMTP protocol error in \""); ok {
		readCommand(rest, rec, protocolReason)
	} else if rest, ok := strings.CutPrefix(s, "SMTP syntax error in \""); ok {
		readCommand(rest, rec, syntaxReason)
	} else if rest, ok := strings.CutPrefix(s, unsynchronised+"input sent without waiting for greeting): rejected connection from H="); ok {
		settle(rest, inputFollows, rec, offence.LineMisuse, offence.Pregreet)
	} else if rest, ok := strings.CutPrefix(s, unsynchronised); ok {
		if _, rest, ok = strings.Cut(rest, "): rejected \""); ok {
			readCommand(rest, rec, func(string, string) offence.Reason { return offence.EHLOPipelining })
		}
	} else if rest, ok := strings.CutPrefix(s, "SMTP call from "); ok {
		settle(rest, dropped, rec, offence.LineMisuse, offence.BadCommand)
	} else if rest, ok := strings.CutPrefix(s, "SMTP command timeout on connection from "); ok {
		settle(rest, anyEnd, rec, offence.LineDisconnect, offence.Timeout)
	} else if rest, ok := strings.CutPrefix(s, "SMTP data timeout (message abandoned) on connection from "); ok {
		settle(rest, anyEnd, rec, offence.LineDisconnect, offence.Timeout)
	} else if rest, ok := strings.CutPrefix(s, "SMTP connection from "); ok {
		settle(rest, droppedByACL, rec, offence.LineDisconnect, offence.NullConnection)
	}
}

// readCommand reads `COMMAND" H=CLIENT WHY`.
func readCommand(s string, rec *offence.Record, judge func(command, why string) offence.Reason) {
	addr, command, why, ok := behindCommand(s, "\" H=", commandFollows)
	if !ok {
		return
	}
	rec.Addr, rec.Kind, rec.Reason = addr, offence.LineMisuse, judge(command, why)
}

func protocolReason(_, why string) offence.Reason {
	if strings.HasPrefix(why, " AUTH command used when not advertised") {
		return offence.NullConnection // the password was not read
	}
	return offence.Other
}

func syntaxReason(command, _ string) offence.Reason {
	switch {
	case len(command) >= 4 && strings.EqualFold(command[:4], "MAIL"):
		return offence.BadSenderSyntax
	case len(command) >= 4 && strings.EqualFold(command[:4], "RCPT"):
		return offence.RcptSyntax
	}
	return offence.Other
}

// readRejected reads the lines that begin with the refusal.
func readRejected(s string, rec *offence.Record) {
	for _, start := range [...]string{"rejected HELO from ", "rejected EHLO from "} {
		if rest, ok := strings.CutPrefix(s, start); ok {
			settle(rest, syntaxFollows, rec, offence.LineReject, offence.BadHelo)
			return
		}
	}
	if rest, ok := strings.CutPrefix(s, "rejected MAIL from "); ok {
		settle(rest, noHelo, rec, offence.LineReject, offence.Other)
		return
	}
	rest, ok := strings.CutPrefix(s, "rejected from <")
	if !ok {
		rest, ok = strings.CutPrefix(s, "rejected MAIL FROM:<")
	}
	if ok {
		if addr, _, why, ok := behindCommand(rest, "> H=", colonFollows); ok && strings.HasPrefix(why, ": message too big") {
			rec.Addr, rec.Kind, rec.Reason = addr, offence.LineReject, offence.TooBig
		}
	}
}

// readRefused reads "Connection from CLIENT refused: too many connections".
func readRefused(s string, rec *offence.Record) {
	if rest, ok := strings.CutPrefix(s, "Connection from "); ok {
		settle(rest, tooMany, rec, offence.LineReject, offence.ConnLimit)
		rec.Begins = true // the listener writes it, of one client after the other
	}
}

// readTLS reads "TLS error on connection from CLIENT (FUNCTION): WHY".
func readTLS(s string, rec *offence.Record) {
	rest, ok := strings.CutPrefix(s, "TLS error on connection from ")
	if !ok {
		return
	}
	settle(strings.TrimPrefix(rest, "H="), tlsFollows, rec, offence.LineTLSFailure, offence.TLSFail)
}

// readAccepted reads "<= SENDER H=CLIENT P=PROTOCOL ...": mail was accepted.
func readAccepted(s string, rec *offence.Record) {
	rest, ok := strings.CutPrefix(s, "<= ")
	if !ok {
		return
	}
	if addr, _, _, ok := behindCommand(rest, " H=", acceptedFollows); ok {
		rec.Addr, rec.Kind = addr, offence.LineFrom
	}
}

// readAuthenticator reads "NAME authenticator failed for CLIENT: CODE TEXT
// [(set_id=USER)]". NAME is the administrator's.
func readAuthenticator(s string, rec *offence.Record) {
	const words = " authenticator failed for "
	name, rest, ok := strings.Cut(s, words)
	if !ok || !isWord(name) {
		return
	}
	addr, rest, ok := client(rest, replyFollows)
	if !ok {
		return
	}
	rec.Addr, rec.Kind, rec.Reason = addr, offence.LineAuthFailure, offence.AuthFail
	switch reply := rest[len(": "):]; {
	case reply[0] == '4':
		rec.Reason = offence.AuthUnavailable
	case !strings.HasPrefix(reply, "535"):
		rec.Reason = offence.AuthDecode
	}
	if _, user, ok := strings.Cut(rest, "(set_id="); ok {
		rec.User = strings.TrimSuffix(user, ")")
	}
}
