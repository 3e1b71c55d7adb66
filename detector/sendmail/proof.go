package sendmail

import (
	"strings"

	"uppercut/detector/offence"
)

// Proof says when the address that a line names is the client's.
type Proof uint8

const (
	// ProofOwn means that sendmail's own words stand around the address. It holds
	// wherever the line may have been cut.
	ProofOwn Proof = iota
	// ProofWhole means that the address stands behind text of the client's, at
	// the end of the line or as the only one. It holds if nothing was cut off.
	ProofWhole
	// ProofShort means that at most 64 bytes of the client's text stand before the
	// address, near the start of the line. It holds unless lines are cut there,
	// which no daemon is known to do: RFC 5426, section 3.2, asks for 480 bytes.
	// Where no longer line has come yet, the line waits for a moment, in case
	// another one shows that they are.
	ProofShort
	// ProofSession means that the whole line may be text of the client's. The
	// address holds if another line of the session names the same.
	ProofSession
)

// echoMark stands between a recipient, as the client wrote it, and what is wrong
// with it (fmtmsg, err.c).
const echoMark = "... "

// unknownUserEnd ends the echo of a recipient that does not exist.
const unknownUserEnd = echoMark + "User unknown"

// echoed says whether s, the text behind a queue id, is certainly the echo of a
// recipient. fmtmsg clears the eighth bit of each byte of it, so that 0xA0 to
// 0xFE, which an address may hold unquoted, come out as any text at all, spaces
// included: "victim [192.0.2.66]: VRFY x@lab.example... User unknown".
//
// An echo is at most maxEcho bytes, so that the mark comes before anybody cuts
// (RFC 5426: 480 bytes of the frame) unless the client has bytes in it that are
// logged as two or four (see body).
//
// Access maps say "User unknown", too, behind "ruleset=", and so does the
// dialogue at LogLevel 15.
func echoed(s string) bool {
	return strings.HasSuffix(s, unknownUserEnd) && s[0] != '-' && !strings.HasPrefix(s, "<-- ") && !strings.HasPrefix(s, "ruleset=")
}

// isEchoLong says whether s is as long as the echo of a recipient with escaped
// bytes in it, the last of which may be cut.
func isEchoLong(s string) bool {
	const half = len(`\37`)
	n := unescapedLen(s)
	return n < len(s) && n <= maxEcho+half
}

// doubtEcho looks again at a line with a queue id that was read as something
// else, s its text. If it may be the echo of a recipient that imitates such a
// line, it proves no address by itself; if it is more likely that than what it
// looks like, it is read as one.
func (p *Parser) doubtEcho(s string, rec *Record) {
	if rec.Kind == offence.LineInfo || rec.ownReply && rec.Proof == ProofOwn || rec.Kind == offence.LineAuthFailure && (rec.Proof == ProofOwn || rec.Proof == ProofShort) {
		return
	}
	first := markIndex(s[rec.tail:])
	if first < 0 {
		return
	}
	if first += rec.tail; first > maxEcho && unescapedLen(s[:first]) > maxEcho {
		return
	}
	i := strings.LastIndex(s, echoMark)
	switch rec.Kind {
	case offence.LineFrom:
		// An administrator's "No such user %1" repeats what the client wrote.
		if end := lastRelayKey(s); end > 0 && strings.Contains(s[:end], s[end+2:]) {
			rec.Proof = ProofSession
		}
		return
	case offence.LineTo:
		// Nor does it say that a message was taken or delivered.
		rec.Addr, rec.Delivered, rec.Taken = noAddr, false, false
		return
	}
	switch {
	case strings.HasPrefix(s, "ruleset="):
		if !rec.ownReply || strings.Count(s, relayKey) > 1 && rec.Proof == ProofWhole {
			p.doubtReply(s, rec)
		}
	case rec.Kind == offence.LineMilter && !rec.Addr.IsValid(), rec.Reason == offence.BareNewline && !rec.Addr.IsValid():
		// names nobody
	case rec.Reason == offence.VrfyExpn, rec.Reason == offence.VrfyExpnRejected, rec.Reason == offence.OpenProxy, i < clientKey(s, rec):
		rec.Proof = ProofSession // the mark stands in the client's text of what it looks like
	default:
		p.readEcho(s[i+len(echoMark):], rec)
	}
}

// markIndex is strings.Index(s, echoMark), but quick: names and addresses are full
// of single dots.
func markIndex(s string) int {
	for i := 2; i < len(s)-1; i += 3 {
		if s[i] != '.' {
			continue
		}
		begin, end := i, i+1
		for begin > 0 && s[begin-1] == '.' {
			begin--
		}
		for end < len(s) && s[end] == '.' {
			end++
		}
		if end-begin >= 3 && end < len(s) && s[end] == ' ' {
			return end - 3
		}
	}
	return -1
}

// clientKey returns where the client at the end of such a line is announced, -1
// if it does not end with one.
func clientKey(s string, rec *Record) int {
	switch {
	case rec.Reason == offence.BadHelo, rec.Reason == offence.BadSenderSyntax:
		return strings.LastIndex(s, " from ")
	case rec.Kind == offence.LineAuthFailure, rec.Kind == offence.LineTLSFailure, rec.Reason == offence.EHLOPipelining:
		return lastRelayKey(s)
	}
	return -1
}

// doubtReply looks at a ruleset's record whose reply a user error can have, too.
func (p *Parser) doubtReply(s string, rec *Record) {
	text := s[strings.LastIndex(s, echoMark)+len(echoMark):]
	genuine := rec.Kind == offence.LineReject && strings.Count(s[strings.LastIndex(s, ", reject=")+1:], echoMark) == 1
	if !genuine && (text == "User unknown" || isSyntaxError(text)) {
		p.readEcho(text, rec)
		return
	}
	rec.Proof = ProofSession
}

// readEcho makes rec a user error of which text is what was wrong.
func (p *Parser) readEcho(text string, rec *Record) {
	*rec = Record{
		Text: rec.Text, Body: rec.Body, QID: rec.QID, PID: rec.PID, Count: rec.Count,
		began: rec.began, transaction: rec.transaction,
	}
	rec.accuse(offence.LineReject, p.userErrorReason(text))
}

// fixedDetails are what Cyrus SASL (checkpw.c and the mechanisms) says behind
// "ERROR: " in words of its own. Others may repeat what the client said: sasldb's
// "user: NAME property: ..." does.
var fixedDetails = map[string]bool{
	"":                             true,
	"Password verification failed": true,
	"checkpass failed":             true,
	"client response doesn't match what we generated":               true,
	"client response doesn't match what we generated (tried bogus)": true,
	"incorrect digest response":                                     true,
	"incorrect NTLM response":                                       true,
	"realm changed: authentication aborted":                         true,
	"duplicate realm: authentication aborted":                       true,
	"Can only find author (no password)":                            true,
	"Can only find author/en (no password)":                         true,
	"no secret in database":                                         true,
	"unable to canonify user and get auxprops":                      true,
	"client doesn't support UTF-8":                                  true,
}

// commaErrors are the errors of Cyrus SASL (sasl_errstring, common.c) in whose
// own words a comma stands: SASL_TRANS, SASL_NOVERIFY, SASL_EXPIRED.
var commaErrors = map[string]bool{
	"transient failure (e.g., weak key)":    true,
	"user exists, but no verifier for user": true,
	"passphrase expired, has to be reset":   true,
}

// userKey announces the user name of an AUTH failure, which sendmail cuts at
// maxUser bytes (%.64s).
const (
	userKey = ", user="
	maxUser = 64
)

// authProof says what the client of an AUTH failure rests on, s the line and end
// where its last ", relay=" begins. Where the error is in fixed words, the
// client's text is the user name, cut at 64 bytes: a client that ends further
// behind is not of it.
func authProof(s string, end int) Proof {
	head, user := s[:end], ""
	near := false // the line ends where a user name can
	if i := strings.Index(head, userKey); i >= 0 {
		near = leastLength(s[i+len(userKey):]) <= maxUser
		head, user = s[:i], s[i+len(userKey):end]
	}
	if len(user) > maxUser && unescapedLen(user) > maxUser || markIndex(user) >= 0 {
		return ProofSession // a recipient that imitates such a line, see doubtEcho
	}
	_, text, _ := strings.Cut(head, "): ")
	text, detail, _ := strings.Cut(text, " SASL(")
	_, detail, _ = strings.Cut(detail, "): ")
	_, detail, _ = strings.Cut(detail, ": ")
	if i := strings.LastIndex(text, " (-"); i >= 0 && commaErrors[text[:i]] {
		text = text[i:]
	}
	switch {
	case strings.IndexByte(text, ',') >= 0 || !fixedDetails[detail]:
		return ProofWhole
	case near:
		return ProofShort
	}
	return ProofOwn
}

// unescapedPrefix returns where the first n bytes of s end, as they were before
// str2prt wrote them; -1 if s is shorter.
func unescapedPrefix(s string, n int) int {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		_, width := unescape(s, i)
		i += width
	}
	if n > 0 {
		return -1
	}
	return i
}
