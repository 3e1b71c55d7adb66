package postfix

import (
	"strings"

	"uppercut/detector/offence"
)

// reply is a beginning of the text of a reply, behind the echo of what it is
// about, and its class.
type reply struct {
	text   string
	reason offence.Reason
}

// replies are those of smtpd_check.c, smtpd.c and postscreen. The first that fits
// is taken.
var replies = [...]reply{
	{"Relay access denied", offence.RelayDenied},
	{"Recipient address rejected: User unknown", offence.UnknownUser},
	{"Recipient address rejected: undeliverable address", offence.UnknownUser},
	{"Recipient address rejected: need fully-qualified", offence.RcptSyntax},
	{"Recipient address rejected: Domain not found", offence.RcptSyntax},
	{"Recipient address rejected: Access denied", offence.RcptAccess},
	{"Recipient address rejected: ", offence.AccessDenied},
	{"Helo command rejected: ", offence.BadHelo},
	{"Sender address rejected: Domain not found", offence.SenderDomain},
	{"Sender address rejected: Domain of sender address", offence.SenderDomain},
	{"Sender address rejected: undeliverable address", offence.SenderDomain},
	{"Sender address rejected: Malformed DNS", offence.BadMX},
	{"Sender address rejected: need fully-qualified", offence.BadSenderSyntax},
	{"Sender address rejected: ", offence.SenderAccess},
	{"Client host rejected: cannot find your", offence.NoRDNS},
	{"Client host rejected: ", offence.AccessReject},
	{"Unverified Client host rejected: cannot find your", offence.NoRDNS},
	{"Unverified Client host rejected: ", offence.AccessReject},
	{"Service unavailable; Sender address [", offence.SenderAccess},
	{"Service unavailable; Helo command [", offence.BadHelo},
	{"Service unavailable; ", offence.DNSBL},
	{"Service currently unavailable", offence.AccessReject},
	{"Data command rejected: Improper use of SMTP command pipelining", offence.EHLOPipelining},
	{"Data command rejected: ", offence.AccessDenied},
	{"End-of-data rejected: ", offence.AccessDenied},
	{"Message size exceeds", offence.TooBig},
	{"Error: message file too big", offence.TooBig},
	{"Error: too many recipients", offence.TooManyRcpts},
	{"Error: bare <LF> received", offence.BareNewline},
	{"Protocol error", offence.ReasonNone}, // postscreen's, after the line of the test
	{"Must issue a STARTTLS", offence.ReasonNone},
	{"Session encryption is required", offence.ReasonNone},
	{"Server configuration", offence.ReasonNone},
}

func classOf(text string) offence.Reason {
	for i := range replies {
		if strings.HasPrefix(text, replies[i].text) {
			return replies[i].reason
		}
	}
	return offence.Other
}

// code reads "NNN [N.N.N ]" and says whether it is 4xx.
func code(s string) (text string, temporary, ok bool) {
	if len(s) < 4 || s[0] != '4' && s[0] != '5' || s[3] != ' ' {
		return "", false, false
	}
	text = s[4:]
	word, rest, _ := strings.Cut(text, " ")
	if len(word) >= len("5.0.0") && word[0] == s[0] && word[1] == '.' {
		text = rest
	}
	return text, s[0] == '4', true
}

// replyEnd returns where the reply ends in "REPLY; [from=<A> to=<B> ]proto=P
// helo=<H>": smtpd writes the sender and the recipient as far as there are any, in
// quotes, and postscreen puts commas between them.
func replyEnd(s string) int {
	for end := len(s); ; {
		i := strings.LastIndex(s[:end], "; ")
		if i < 0 {
			return len(s)
		}
		if isEnvelope(s[i+2:]) {
			return i
		}
		end = i
	}
}

func isEnvelope(s string) bool {
	for _, key := range [...]string{"from=<", "to=<"} {
		rest, ok := strings.CutPrefix(s, key)
		if !ok {
			continue
		}
		if rest, ok = path(rest); !ok {
			return false
		}
		s = strings.TrimPrefix(strings.TrimPrefix(rest, ","), " ")
	}
	return isHello(s)
}

// isHello reports whether s is "proto=P[ helo=<H>]" and no more; smtpd has taken
// blanks and brackets out of H.
func isHello(s string) bool {
	s, ok := strings.CutPrefix(s, "proto=")
	if !ok {
		return false
	}
	s = strings.TrimLeft(s, "EHLMPST")
	if s == "" {
		return true
	}
	s, ok = strings.CutPrefix(s, " helo=<")
	return ok && strings.IndexAny(s, "<>") == len(s)-1
}

// textOf returns the text of a reply behind the echo "<ECHO>: " that it has.
func textOf(s string) string {
	if s == "" || s[0] != '<' {
		return s
	}
	s = s[:replyEnd(s)]
	if i := strings.LastIndex(s, ">: "); i >= 0 {
		return s[i+3:]
	}
	return s
}
