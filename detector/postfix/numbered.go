package postfix

import (
	"net/netip"
	"strings"

	"uppercut/detector/offence"
)

// numbered reads what stands behind a queue id or NOQUEUE.
func numbered(s string, rec *offence.Record) bool {
	if rest, ok := strings.CutPrefix(s, "reject: "); ok {
		return rejected(rest, rec)
	}
	if rest, ok := strings.CutPrefix(s, "client="); ok {
		return sent(rest, rec)
	}
	if rest, ok := strings.CutPrefix(s, "milter-"); ok {
		return milter(rest, rec)
	}
	if rest, ok := strings.CutPrefix(s, "discard: "); ok {
		return verb(rest, rec, offence.Discard)
	}
	if found, ok := ended(s, rec); found {
		return ok
	}
	return true
}

// sent reads "CLIENT[, sasl_method=METHOD[, sasl_username=NAME]]".
func sent(s string, rec *offence.Record) bool {
	addr, rest, ok := client(s)
	if !ok {
		return false
	}
	if !addr.IsValid() {
		return true
	}
	rec.Addr, rec.Kind = addr, offence.LineClient
	if strings.HasPrefix(rest, ", sasl_method=") {
		rec.Kind = offence.LineAuth
		_, rec.User, _ = strings.Cut(rest, ", sasl_username=")
	}
	return true
}

// milter reads "reject: VERB from CLIENT: REPLY", or discard, or hold.
func milter(s string, rec *offence.Record) bool {
	for _, f := range [...]reply{
		{"reject: ", offence.MilterReject}, {"discard: ", offence.MilterDiscard}, {"hold: ", offence.MilterQuarantine},
	} {
		rest, ok := strings.CutPrefix(s, f.text)
		if !ok {
			continue
		}
		if !verb(rest, rec, f.reason) {
			return false
		}
		if rec.Kind != offence.LineInfo {
			rec.Kind = offence.LineMilter
		}
		return true
	}
	return true
}

// verb reads "VERB from CLIENT: [CODE] TEXT".
func verb(s string, rec *offence.Record, reason offence.Reason) bool {
	_, rest, ok := strings.Cut(s[:min(len(s), 400)], " from ")
	if !ok || !isVerb(s) {
		return false
	}
	addr, after, ok := client(rest)
	if !ok {
		return false
	}
	if !addr.IsValid() {
		return true
	}
	rec.Addr, rec.Kind, rec.Reason = addr, offence.LineReject, reason
	_, rec.Temporary, _ = code(strings.TrimPrefix(after, ": "))
	if !rec.Temporary && strings.HasPrefix(after, ": 4.") {
		rec.Temporary = true // cleanup writes the enhanced code alone
	}
	return true
}

// isVerb reports whether s begins with a command or a state in capitals.
func isVerb(s string) bool {
	for i := 0; i < len(s) && i < 20; i++ {
		c := s[i]
		if c == ' ' {
			return i > 0
		}
		if (c < 'A' || c > 'Z') && c != '-' && c != '/' {
			return false
		}
	}
	return false
}

// rejected reads "VERB from CLIENT: REPLY", or what a check of the content says.
func rejected(s string, rec *offence.Record) bool {
	if !isVerb(s) {
		return content(s, rec)
	}
	what, rest, ok := strings.Cut(s, " from ")
	if !ok {
		return false
	}
	addr, rest, ok := client(rest)
	if !ok {
		return false
	}
	if rest, ok = strings.CutPrefix(rest, ": "); !ok {
		return false
	}
	if !addr.IsValid() {
		return true
	}
	rec.Addr, rec.Kind = addr, offence.LineReject
	text, temporary, ok := code(rest)
	rec.Temporary = temporary
	switch {
	case !ok && strings.HasPrefix(rest, "bare <LF> received"):
		rec.Kind, rec.Reason = offence.LineMisuse, offence.BareNewline
		return true
	case !ok:
		return false
	case what == "VRFY":
		rec.Reason = offence.VrfyExpnRejected
	case what == "ETRN":
		rec.Reason = offence.Other
	case what == "HELO" || what == "EHLO":
		rec.Reason = hello(text)
	default:
		rec.Reason = classOf(textOf(text))
	}
	settle(rec)
	return true
}

// hello is the class of a refusal of HELO: its text is behind the client's own, as
// it came, unless it is about the client.
func hello(text string) offence.Reason {
	if text != "" && text[0] == '<' {
		return offence.BadHelo
	}
	return classOf(text)
}

// settle gives failures of name servers, which have the words of judgements, their
// own classes.
func settle(rec *offence.Record) {
	if rec.Temporary {
		switch rec.Reason {
		case offence.NoRDNS:
			rec.Reason = offence.RDNSTemp
		case offence.SenderDomain:
			rec.Reason = offence.SenderDomainTemp
		}
	}
	if rec.Reason == offence.ReasonNone {
		rec.Kind = offence.LineClient
	}
}

// contents are what cleanup's checks can be about (cleanup_message.c).
var contents = [...]string{"header ", "body ", "mime-header ", "nested-header ", "mime-error "}

const envelope = "; from=<"

// content reads "header TEXT from CLIENT; from=<A> to=<B> proto=P helo=<H>: REPLY".
// TEXT is the client's and can hold all of that, and so can A and B.
func content(s string, rec *offence.Record) bool {
	known := false
	for _, c := range contents {
		known = known || strings.HasPrefix(s, c)
	}
	if !known {
		return true
	}
	var addr netip.Addr
	for rest := s; ; {
		i := strings.Index(rest, envelope)
		if i < 0 {
			break
		}
		a, ok := clientBefore(rest[:i])
		if !ok || addr.IsValid() && a != addr {
			return true
		}
		addr, rest = a, rest[i+len(envelope):]
	}
	if !addr.IsValid() || !strings.Contains(s, " proto=") {
		return true
	}
	rec.Addr, rec.AtEnd, rec.Long = addr, true, true
	rec.Kind, rec.Reason = offence.LineReject, offence.HeaderReject
	return true
}

// clientBefore reads " from CLIENT" at the end of s.
func clientBefore(s string) (netip.Addr, bool) {
	i := strings.LastIndex(s, " from ")
	if i < 0 {
		return netip.Addr{}, false
	}
	addr, rest, ok := client(s[i+len(" from "):])
	return addr, ok && rest == "" && addr.IsValid()
}
