package exim

import (
	"strings"

	"uppercut/detector/offence"
)

// What can follow the client in each form.
func anyEnd(rest string) bool         { return rest == "" || rest[0] == ' ' }
func inputFollows(rest string) bool   { return strings.HasPrefix(rest, " input=\"") }
func commandFollows(rest string) bool { return len(rest) > 1 && rest[0] == ' ' }
func dropped(rest string) bool        { return strings.HasPrefix(rest, " dropped: too many ") }
func syntaxFollows(rest string) bool {
	return strings.HasPrefix(rest, ": syntactically invalid argument(s)")
}
func noHelo(rest string) bool       { return rest == ": no HELO/EHLO given" }
func colonFollows(rest string) bool { return strings.HasPrefix(rest, ": ") }
func tooMany(rest string) bool      { return strings.HasPrefix(rest, " refused: too many connections") }

func tlsFollows(rest string) bool {
	return strings.HasPrefix(rest, " (") || strings.HasPrefix(rest, ": ")
}

func acceptedFollows(rest string) bool {
	return strings.HasPrefix(rest, " P=") || strings.HasPrefix(rest, " X=") || strings.HasPrefix(rest, " U=") || strings.HasPrefix(rest, " A=") || strings.HasPrefix(rest, " L ")
}

func droppedByACL(rest string) bool { return strings.HasPrefix(rest, " closed by DROP in ACL") }

// replyFollows reads ": 535 ".
func replyFollows(rest string) bool {
	if len(rest) < len(": 535") || rest[:2] != ": " || rest[2] != '4' && rest[2] != '5' {
		return false
	}
	return rest[3] >= '0' && rest[3] <= '9' && rest[4] >= '0' && rest[4] <= '9'
}

// marks are the fields that a refusal may have between the client and its verb.
var marks = [...]string{" F=", " rejected ", " temporarily rejected ", " sender verify fail for <", " X=", " CV=", " A=", " U=", " PRX=", " incomplete transaction", " Warning: "}

func refusal(rest string) bool {
	for _, m := range marks {
		if strings.HasPrefix(rest, m) {
			return true
		}
	}
	return false
}

// refused reads what follows the client of a refusal.
func refused(s string) (offence.LineKind, offence.Reason) {
	if strings.HasPrefix(s, " sender verify fail for <") {
		return offence.LineReject, offence.SenderDomain
	}
	_, what, ok := strings.Cut(s, " rejected ")
	if !ok || strings.HasSuffix(s[:len(s)-len(what)-len(" rejected ")], " temporarily") {
		return offence.LineInfo, offence.ReasonNone // a 4xx weighs nothing
	}
	switch {
	case strings.HasPrefix(what, "RCPT "):
		return offence.LineReject, recipientReason(what)
	case strings.HasPrefix(what, "MAIL "):
		return offence.LineReject, offence.SenderAccess
	case strings.HasPrefix(what, "EHLO or HELO "), strings.HasPrefix(what, "\"HELO "), strings.HasPrefix(what, "\"EHLO "):
		return offence.LineReject, offence.BadHelo
	case strings.HasPrefix(what, "VRFY"), strings.HasPrefix(what, "EXPN"):
		return offence.LineReject, offence.VrfyExpnRejected
	case strings.HasPrefix(what, "connection"):
		return offence.LineReject, offence.AccessReject
	case strings.HasPrefix(what, "after DATA"), strings.HasPrefix(what, "DATA"), strings.HasPrefix(what, "during MIME"), strings.HasPrefix(what, "by local_scan"):
		return offence.LineReject, offence.HeaderReject
	}
	return offence.LineReject, offence.Other
}

// phrases are the texts of refused recipients and the classes that they say: the
// words of Exim and of the default configuration. Others are the administrator's.
var phrases = [...]struct {
	text   string
	reason offence.Reason
}{
	{"relay not permitted", offence.RelayDenied},
	{"relaying denied", offence.RelayDenied},
	{"Relaying denied", offence.RelayDenied},
	{"Unrouteable address", offence.UnknownUser},
	{"Unroutable address", offence.UnknownUser},
	{"Unknown user", offence.UnknownUser},
	{"unknown user", offence.UnknownUser},
}

// recipientReason reads "RCPT <ADDRESS>: TEXT", where the address may be any text.
func recipientReason(what string) offence.Reason {
	why := what
	if at := strings.LastIndex(what, ">: "); at >= 0 {
		why = what[at+len(">: "):]
	} else if _, text, ok := strings.Cut(what, ": "); ok {
		why = text
	}
	for i := range phrases {
		if strings.HasPrefix(why, phrases[i].text) {
			return phrases[i].reason
		}
	}
	if strings.Contains(why, " is in a black list at ") || strings.Contains(why, " is listed at ") {
		return offence.DNSBL
	}
	return offence.RcptAccess
}
