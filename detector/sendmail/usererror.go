package sendmail

import (
	"strings"

	"uppercut/detector/offence"
)

// syntaxErrors are the last words of the errors that parseaddr.c, recipient.c
// and srvrsmtp.c give about an address or a parameter.
var syntaxErrors = []string{
	`Unbalanced '"'`, "Unbalanced '<'", "Unbalanced '>'", "Unbalanced '('", "Unbalanced ')'",
	"prescan: token too long", "prescan: too many tokens", "remotename: too many tokens",
	"User address required", "Recipient address required", "List:; syntax illegal for recipient addresses",
	"Invalid route address", "Colon illegal in host name part", "Hostname required",
	"Local part must not begin with a dot", "Local part must not end with a dot",
	"Cannot mail directly to programs", "Cannot mail directly to files", "Cannot mail directly to :include:s",
	" bytes max)", "Invalid host name", "Invalid address", "Invalid sender address", "Address too long",
	"Domain name required", "domain name required", "Missing recipient",
	" parameter unrecognized", " requires a value", " parameter value", " out of range", " BY= missing ';'",
	" to NOTIFY", " to RET", "Too many parameters", "Address required", "Parameter required", "Argument required",
	"Address not valid UTF8",
}

// userError reads what usrerr (err.c) logs while a client names recipients:
// the error alone, or "ADDRESS... ERROR". Neither names the client.
func (p *Parser) userError(s string, rec *Record) bool {
	if s == "Too many recipients" {
		return rec.accuse(offence.LineReject, offence.TooManyRcpts)
	}
	if strings.HasPrefix(s, "Message size exceeds ") {
		return rec.accuse(offence.LineReject, offence.TooBig)
	}
	if isSyntaxError(s) {
		return rec.accuse(offence.LineReject, offence.RcptSyntax)
	}
	if strings.HasSuffix(s, "... User unknown") {
		return rec.accuse(offence.LineReject, offence.UnknownUser)
	}
	text, ok := behindEcho(s)
	if !ok {
		// A text of two words stands alone with 551 and 554 only: no address is so.
		if r, known := p.texts.reason(s, noAddr); known && strings.Contains(s, " ") {
			return rec.accuse(offence.LineReject, r)
		}
		return false
	}
	return rec.accuse(offence.LineReject, p.userErrorReason(text))
}

func isSyntaxError(s string) bool {
	if s == "" {
		return false
	}
	if syntaxEdges[s[len(s)-1]]&syntaxEnd != 0 {
		for _, end := range syntaxErrors {
			if strings.HasSuffix(s, end) {
				return true
			}
		}
	}
	if syntaxEdges[s[0]]&syntaxBegin != 0 {
		for _, begin := range syntaxBegins {
			if strings.HasPrefix(s, begin) {
				return true
			}
		}
	}
	return false
}

// syntaxEdges are the bytes with which syntaxBegins begin and syntaxErrors end.
var syntaxEdges = func() (t [256]uint8) {
	for _, s := range syntaxErrors {
		t[s[len(s)-1]] |= syntaxEnd
	}
	for _, s := range syntaxBegins {
		t[s[0]] |= syntaxBegin
	}
	return t
}()

const (
	syntaxBegin = 1 << iota
	syntaxEnd
)

var syntaxBegins = []string{
	"8-bit character in mailbox address ", "Syntax error in ", `Bad argument "`, `Address "`, "Illegal character ",
	"Invalid numeric domain spec ", "Unrecognized host name ", "Unknown BODY type ", "Duplicate AUTH ", "Duplicate ENVID ",
	"Duplicate ORCPT ", "Duplicate RET ", "illegal by-mode ", "illegal by-trace ", "cannot decode AUTH parameter ",
	"Sorry, NOTIFY not supported", "Sorry, ENVID not supported", "Sorry, RET not supported", "Sorry, ORCPT not supported",
}

// behindEcho returns the error behind "ADDRESS... ". An address that was
// shortened may not walk; then the first "... " behind its cut is taken.
func behindEcho(s string) (text string, ok bool) {
	if end := pathEnd(s); end > 3 {
		if s[end-3:end] == "..." {
			return s[end+1:], true
		}
		return "", false
	}
	i := strings.LastIndex(s, "... ")
	if i <= 0 {
		return "", false
	}
	return s[i+4:], true
}

func (p *Parser) userErrorReason(text string) offence.Reason {
	if r, ok := p.texts.reason(text, noAddr); ok {
		return r
	}
	if text == "Too many recipients" {
		return offence.TooManyRcpts
	}
	if isSyntaxError(text) {
		return offence.RcptSyntax
	}
	if isUnknownUser(text) {
		return offence.UnknownUser
	}
	return offence.Other
}

func isUnknownUser(text string) bool {
	for _, phrase := range unknownUserPhrases {
		if strings.HasPrefix(text, phrase) {
			return true
		}
	}
	return false
}

// unknownUserPhrases begin the texts for recipients that do not exist.
var unknownUserPhrases = []string{
	"User unknown", "No such user", "Unknown user", "Unknown recipient", "Unknown mailbox", "Unknown address",
	"Recipient unknown", "Mailbox unknown", "Address unknown", "Account unknown",
	"No such recipient", "No such mailbox", "No such address", "No such account", "No such person",
	"User does not exist", "Recipient does not exist", "Mailbox does not exist", "Address does not exist",
	"User not found", "Recipient not found", "Mailbox not found", "Invalid recipient", "Invalid user", "Invalid mailbox",
}
