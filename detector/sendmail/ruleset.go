package sendmail

import (
	"net/netip"
	"strings"

	"uppercut/detector/offence"
)

// argument says what kind of text the arg1 of a ruleset is.
type argument uint8

const (
	argHost    argument = iota // check_relay: the client's host name or address
	argAddress                 // an SMTP address as the client wrote it
	argFree                    // any text of the client's; for VRFY, EXPN and ETRN the rest of the line
	argOwn                     // numbers and words of sendmail's own
	argPair                    // the addresses of sender and recipient
)

// Ruleset is a ruleset of sendmail.cf that refuses clients. Its String is the
// label "ruleset" of uppercut_ruleset_rejections_total: its name in
// sendmail.cf, "other" for an administrator's own, "" for RulesetNone.
type Ruleset uint8

// The rulesets of cf/m4/proto.m4 and those that srvrsmtp.c and collect.c call.
const (
	RulesetNone Ruleset = iota
	CheckRelay
	CheckMail
	CheckRcpt
	CheckData
	CheckEOH
	CheckEOM
	CheckCompat
	CheckVrfy
	CheckExpn
	CheckETRN
	CheckOther
	TrustAuth
	TLSClient
	OtherRuleset
	numRulesets
)

var rulesetNames = [numRulesets]string{
	"", "check_relay", "check_mail", "check_rcpt", "check_data", "check_eoh", "check_eom", "check_compat",
	"check_vrfy", "check_expn", "check_etrn", "check_other", "trust_auth", "tls_client", "other",
}

func (r Ruleset) String() string { return rulesetNames[r] }

// Rulesets returns every ruleset but RulesetNone, in a fixed order.
func Rulesets() []Ruleset {
	all := make([]Ruleset, 0, numRulesets-1)
	for r := RulesetNone + 1; r < numRulesets; r++ {
		all = append(all, r)
	}
	return all
}

// check is how to read what rscheck (parseaddr.c) logs about a ruleset.
type check struct {
	ruleset Ruleset
	arg     argument
	// denied is the reason of "Access denied", refused that of a 5xx text which
	// nobody mapped.
	denied, refused offence.Reason
	// lists: DNS lists are asked in it.
	lists bool
}

func checkOf(name string) (c check, known bool) {
	switch name {
	case "check_relay":
		return check{CheckRelay, argHost, offence.AccessReject, offence.AccessReject, true}, true
	case "check_mail":
		return check{CheckMail, argAddress, offence.SenderAccess, offence.SenderAccess, false}, true
	case "check_rcpt":
		return check{CheckRcpt, argAddress, offence.AccessDenied, offence.Other, true}, true
	case "check_vrfy":
		return check{CheckVrfy, argFree, offence.VrfyExpnRejected, offence.VrfyExpnRejected, false}, true
	case "check_expn":
		return check{CheckExpn, argFree, offence.VrfyExpnRejected, offence.VrfyExpnRejected, false}, true
	case "check_etrn":
		return check{CheckETRN, argFree, offence.VrfyExpnRejected, offence.VrfyExpnRejected, false}, true
	case "check_other":
		return check{CheckOther, argFree, offence.BadCommand, offence.BadCommand, false}, true
	case "trust_auth":
		return check{TrustAuth, argFree, offence.RcptSyntax, offence.RcptSyntax, false}, true
	case "tls_client":
		return check{TLSClient, argOwn, offence.TLSFail, offence.TLSFail, false}, true
	case "tls_server", "tls_rcpt", "try_tls":
		return check{}, false
	case "check_data":
		return check{CheckData, argOwn, offence.HeaderReject, offence.HeaderReject, false}, true
	case "check_eoh":
		return check{CheckEOH, argOwn, offence.HeaderReject, offence.HeaderReject, false}, true
	case "check_eom":
		return check{CheckEOM, argOwn, offence.HeaderReject, offence.HeaderReject, false}, true
	case "check_compat":
		return check{CheckCompat, argPair, offence.AccessDenied, offence.Other, false}, true
	}
	if strings.HasPrefix(name, "check_") {
		return check{OtherRuleset, argFree, offence.AccessDenied, offence.Other, false}, true
	}
	return check{OtherRuleset, argFree, offence.HeaderReject, offence.HeaderReject, false}, true
}

// ruleset reads the record of a ruleset that refused, discarded or quarantined:
//
//	ruleset=NAME, arg1=ARG[, arg2=ARG], relay=RELAY, reject=REPLY
//
// tls_server, tls_rcpt and try_tls are about hosts that ours talks to.
func (p *Parser) ruleset(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "ruleset=")
	if !ok {
		return false
	}
	n := hostLength(s)
	name := s[:n]
	s, ok = strings.CutPrefix(s[n:], ", ")
	if !ok || n == 0 {
		return false
	}
	c, known := checkOf(name)
	if !known {
		return true
	}
	if c.arg == argHost {
		rec.Begins = rec.QID == ""
	}
	arg, tail := c.client(s, rec)
	return p.outcome(c, arg, tail, rec)
}

// client finds the client of the record and returns arg1, where it is an
// address, and what follows the client.
func (c check) client(s string, rec *Record) (arg, tail string) {
	s, hasArg := strings.CutPrefix(s, "arg1=")
	if !hasArg {
		return "", relayThen(s, rec)
	}
	switch c.arg {
	case argHost:
		if tail, ok := connectClient(s, rec); ok {
			return "", tail
		}
	case argAddress:
		end := pathEnd(s)
		if end <= 0 || s[end-1] != ',' {
			return "", lastOutcome(s)
		}
		return s[:end-1], relayThen(s[end+1:], rec)
	case argPair:
		sender := pathEnd(s)
		if sender <= 0 || !strings.HasPrefix(s[sender-1:], ", arg2=") {
			break
		}
		s = s[sender+len(" arg2="):]
		if end := pathEnd(s); end > 0 && s[end-1] == ',' {
			return s[:end-1], relayThen(s[end+1:], rec)
		}
	case argOwn:
		if i := strings.Index(s, relayKey); i >= 0 {
			return "", relayThen(s[i+len(", "):], rec)
		}
	}
	return "", soleClient(s, rec)
}

// relayThen reads "relay=RELAY, " at the start of s and returns what follows.
func relayThen(s string, rec *Record) string {
	s, ok := strings.CutPrefix(s, "relay=")
	if !ok {
		return ""
	}
	addr, n := readRelay(s)
	if n == 0 {
		return lastOutcome(s)
	}
	tail, ok := strings.CutPrefix(s[n:], ", ")
	if !ok {
		return ""
	}
	rec.Addr = addr
	return tail
}

// connectClient reads "HOST, arg2=ADDR, relay=RELAY, ". arg2 is never used:
// behind a DNS list it holds the list's answer.
func connectClient(s string, rec *Record) (tail string, ok bool) {
	n := hostOrBracket(s)
	s, ok = strings.CutPrefix(s[n:], ", arg2=")
	if !ok || n == 0 {
		return "", false
	}
	end := strings.IndexByte(s, ' ')
	if end <= 0 || s[end-1] != ',' || !strings.HasPrefix(s[end+1:], "relay=") {
		return "", false
	}
	return relayThen(s[end+1:], rec), true
}

// soleClient finds the client of a record whose argument is free text, in which
// any number of clients may be imitated: if all that look like one agree, it is
// the one, unless the only true one was cut off (ProofWhole).
func soleClient(s string, rec *Record) (tail string) {
	var found netip.Addr
	agree := true
	for rest := s; ; {
		i := strings.Index(rest, relayKey)
		if i < 0 {
			break
		}
		rest = rest[i+len(relayKey):]
		addr, n := readRelay(rest)
		var ok bool
		tail, ok = strings.CutPrefix(rest[n:], ", ")
		switch {
		case n == 0 || !ok || !isOutcome(tail):
			tail, agree = "", false
		case found.IsValid() && found != addr:
			agree = false
		default:
			found = addr
		}
	}
	if tail == "" {
		return lastOutcome(s)
	}
	if agree {
		rec.Addr, rec.Proof = found, ProofWhole
	}
	return tail
}

func isOutcome(s string) bool {
	return strings.HasPrefix(s, "reject=") || s == "discard" || strings.HasPrefix(s, "quarantine=")
}

// lastOutcome returns the last outcome in s, for a record whose client cannot
// be told.
func lastOutcome(s string) string {
	if i := strings.LastIndex(s, ", reject="); i >= 0 {
		return s[i+2:]
	}
	if strings.HasSuffix(s, ", discard") {
		return "discard"
	}
	return ""
}

// outcome reads "reject=CODE [N.N.N] TEXT", "discard" or "quarantine=TEXT".
func (p *Parser) outcome(c check, arg, s string, rec *Record) bool {
	if s == "discard" || strings.HasPrefix(s, "quarantine=") {
		rec.ownReply = s == "discard"
		return rec.accuse(offence.LineReject, offence.Discard)
	}
	reply, ok := strings.CutPrefix(s, "reject=")
	if !ok {
		rec.Addr, rec.Kind, rec.torn = noAddr, offence.LineUnknown, true
		return true
	}
	code, enhanced, text := cutReply(reply)
	if arg != "" {
		text = cutEcho(text, arg)
	}
	rec.Temporary, rec.Ruleset = code == '4', c.ruleset
	reason, own := p.replyReason(c, enhanced, text, rec.Addr)
	rec.ownReply = own && markIndex(text) < 0
	return rec.accuse(offence.LineReject, reason)
}

// cutReply splits "NNN [X.Y.Z] text" and returns the first digit of the code.
func cutReply(s string) (code byte, enhanced, text string) {
	if len(s) < 4 || s[3] != ' ' || s[0] < '0' || s[0] > '9' {
		return '5', "", s
	}
	code, s = s[0], s[4:]
	end := strings.IndexByte(s, ' ')
	if end < 0 {
		end = len(s)
	}
	if end >= 5 && s[1] == '.' && s[0] == code && strings.Count(s[:end], ".") == 2 && strings.Trim(s[:end], "0123456789.") == "" {
		return code, s[:end], strings.TrimPrefix(s[end:], " ")
	}
	return code, "", s
}

// phrase is a reply text of sendmail's own: it begins with head and, where tail
// is given, ends with it.
type phrase struct {
	head, tail string
	reason     offence.Reason
}

var phrases = [...]phrase{
	{"Relaying denied", "", offence.RelayDenied},
	{"Relaying temporarily denied", "", offence.Other}, // our DNS has failed
	{"Can not check MX records for recipient host ", "", offence.RelayDenied},
	{"MX lookup failure for ", "", offence.BadMX},
	{"Temporary lookup failure of ", "", offence.DNSBLTempfail},
	{"Fix reverse DNS for ", "", offence.NoRDNS},
	{"Possibly forged hostname for ", "", offence.RDNSForged},
	{"Client IP address ", " does not resolve", offence.RDNSTemp},
	{"Connection rate limit exceeded", "", offence.RateLimit},
	{"Too many open connections", "", offence.ConnLimit},
	{"bogus HELO name used: ", "", offence.BadHelo},
	{"Domain of sender address ", " does not exist", offence.SenderDomain},
	{"Domain of sender address ", " does not resolve", offence.SenderDomainTemp},
	{"Domain name required", "", offence.SenderDomain},
	{"Real domain name required", "", offence.SenderDomain},
	{"Fully qualified domain name required", "", offence.SenderDomain},
	{"Illegal MX record for ", "", offence.BadMX},
	{"Invalid MX record for ", "", offence.BadMX},
	{"Mailbox disabled for this recipient", "", offence.RcptAccess},
	{"User unknown", "", offence.UnknownUser},
	{"Spam trap", "", offence.RcptTrap},
	{"Sender domain blocked", "", offence.SenderAccess},
	{"Your network is ", "", offence.AccessReject},
}

// replyReason maps the text behind the code and the echoed address. Nothing
// that a client writes stands before it. own says that no user error has that
// text, so that no echo of a recipient can end in it (see echoed).
func (p *Parser) replyReason(c check, enhanced, text string, client netip.Addr) (r offence.Reason, own bool) {
	if r, ok := p.texts.reason(text, client); ok {
		return r, r != offence.UnknownUser && r != offence.RcptAccess
	}
	if text == "Access denied" {
		return c.denied, true
	}
	for i := range phrases {
		if ph := &phrases[i]; strings.HasPrefix(text, ph.head) && strings.HasSuffix(text, ph.tail) {
			return ph.reason, ph.reason != offence.UnknownUser
		}
	}
	if c.lists && namesList(text) {
		return offence.DNSBL, true
	}
	if c.arg != argAddress {
		return c.refused, true
	}
	if c.refused != offence.Other {
		return c.refused, false
	}
	return rcptReason(enhanced, text), false
}

// rcptReason maps the text of a reply to RCPT that is nobody's but the
// administrator's.
func rcptReason(enhanced, text string) offence.Reason {
	switch {
	case isUnknownUser(text):
		return offence.UnknownUser
	case isSyntaxError(text):
		return offence.RcptSyntax
	case strings.HasSuffix(enhanced, ".1.1"):
		return offence.UnknownUser
	case strings.HasSuffix(enhanced, ".2.1"):
		return offence.RcptAccess
	}
	return offence.Other
}

// namesList says whether an administrator's text says that the client stands on
// a DNS list: in the words of FEATURE(dnsbl) of any version, or by naming one
// of the lists that everybody uses.
func namesList(text string) bool {
	if strings.HasPrefix(text, "Rejected") {
		for _, words := range [...]string{" listed ", " found in ", " IP in "} {
			if strings.Contains(text, words) {
				return true
			}
		}
	}
	if strings.HasPrefix(text, "Mail from ") || strings.HasPrefix(text, "Message from ") {
		return strings.Contains(text, " refused") || strings.Contains(text, " blocked") || strings.Contains(text, " rejected")
	}
	for _, list := range [...]string{
		" blocked using ", " listed in ", " listed at ", "dnsbl", "rbl.", "blocklist", "blacklist", "blackhole", "spamhaus", "spamcop", "sorbs.net", "njabl",
		"barracudacentral", "abuseat", "ordb.org", "mail-abuse.", "uceprotect", "rfc-ignorant", "surriel", "dsbl.org", "psbl.",
	} {
		if containsFold(text, list) {
			return true
		}
	}
	return false
}

// containsFold is strings.Contains without regard to the case of ASCII letters;
// sub is in lower case.
func containsFold(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i]|0x20 == sub[0] && strings.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}
