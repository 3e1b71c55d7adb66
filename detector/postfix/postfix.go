package postfix

import (
	"strings"

	"uppercut/detector/offence"
)

// Program is Postfix for the detector.
type Program struct{}

// Name is the program's name in the configuration.
func (Program) Name() string { return "postfix" }

// Ours reports whether a tag is Postfix's: "postfix/smtpd", with the name of the
// instance or the service (postfix-in/smtpd, postfix/submission/smtpd), or "postfix"
// alone as RFC 5424 leaves it.
func (Program) Ours(tag string) bool {
	rest, ok := strings.CutPrefix(tag, "postfix")
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '-')
}

// Parse reads the text of a line.
func (Program) Parse(text string, rec *offence.Record) {
	rec.Kind, rec.PerClient = offence.LineInfo, true
	if text == "" {
		return
	}
	ok := true
	switch c := text[0]; {
	case strings.HasPrefix(text, warning):
		warned(text[len(warning):], rec)
	case c >= 'a' && c <= 'z':
		ok = lower(text, rec)
	case c >= 'A' && c <= 'Z' && text[1:] != "" && screened(text, rec):
	default:
		rest, hasID := cutID(text)
		if hasID {
			ok = numbered(rest, rec)
		} else if strings.HasPrefix(text, "SSL_accept error from ") {
			ok = who(text[len("SSL_accept error from "):], rec, offence.LineTLSFailure, offence.TLSFail)
		} else if peer, found := strings.CutPrefix(text, "TLS handshake failed for service=smtpd peer="); found {
			ok = who(peer, rec, offence.LineTLSFailure, offence.TLSFail)
		}
	}
	if !ok || rec.Reason != offence.ReasonNone && !rec.Addr.IsValid() {
		*rec = offence.Record{Kind: offence.LineUnknown}
	}
}

const warning = "warning: "

// who reads the client at the start of s, and says what of.
func who(s string, rec *offence.Record, kind offence.LineKind, reason offence.Reason) bool {
	addr, _, ok := client(s)
	if !ok {
		return false
	}
	rec.Addr, rec.Kind, rec.Reason = addr, kind, reason
	if !addr.IsValid() {
		rec.Kind, rec.Reason = offence.LineInfo, offence.ReasonNone
	}
	return true
}

// lower reads the lines of smtpd that begin with a word and have no queue id.
func lower(s string, rec *offence.Record) bool {
	if rest, ok := strings.CutPrefix(s, "connect from "); ok {
		rec.Begins = true
		return who(rest, rec, offence.LineConnect, offence.ReasonNone)
	}
	if rest, ok := strings.CutPrefix(s, "disconnect from "); ok {
		return left(rest, rec)
	}
	if rest, ok := strings.CutPrefix(s, "improper command pipelining after "); ok {
		return after(rest, rec, offence.LineMisuse, offence.EHLOPipelining)
	}
	_, ok := ended(s, rec)
	return ok
}

// ended reads how smtpd says that it gave up a client: "lost connection after WHAT
// from CLIENT", with the queue id in front since 3.10. found is false if it is no
// such line.
func ended(s string, rec *offence.Record) (found, ok bool) {
	for _, f := range [...]struct {
		start  string
		kind   offence.LineKind
		reason offence.Reason
	}{
		{"lost connection after ", offence.LineDisconnect, offence.LostInput},
		{"timeout after ", offence.LineDisconnect, offence.Timeout},
		{"too many errors after ", offence.LineMisuse, offence.BadCommand},
	} {
		rest, mine := strings.CutPrefix(s, f.start)
		if !mine {
			continue
		}
		if strings.HasPrefix(rest, "CONNECT ") && f.reason == offence.LostInput {
			f.reason = offence.NullConnection
		}
		return true, after(rest, rec, f.kind, f.reason)
	}
	return false, true
}

// after reads "WHAT from CLIENT"; WHAT is a command or a state by Postfix's own
// name, with "(N bytes)" for one that took data.
func after(s string, rec *offence.Record, kind offence.LineKind, reason offence.Reason) bool {
	i := strings.Index(s[:min(len(s), 60)], " from ")
	if i < 0 {
		return false
	}
	for _, c := range []byte(s[:i]) {
		if (c < 'A' || c > 'Z') && c != '-' && c != '/' && c != ' ' && c != '(' && c != ')' && (c < '0' || c > '9') &&
			!strings.HasSuffix(s[:i], " bytes)") {
			return false
		}
	}
	return who(s[i+len(" from "):], rec, kind, reason)
}

// left reads "CLIENT NAME=N[/M] ... commands=N": of M commands N were done. Data
// that was taken is mail that was accepted.
func left(s string, rec *offence.Record) bool {
	addr, rest, ok := client(s)
	if !ok {
		return false
	}
	rec.Addr, rec.Kind = addr, offence.LineDisconnect
	if !addr.IsValid() {
		rec.Kind = offence.LineInfo
		return true
	}
	if min(done(rest, " data=")+done(rest, " bdat="), 1) == 1 {
		rec.Kind, rec.Count = offence.LineFrom, max(1, done(rest, " rcpt="))
	}
	return true
}

func done(s, key string) uint32 {
	_, rest, ok := strings.Cut(s, key)
	if !ok {
		return 0
	}
	n, _ := offence.Number(rest)
	return n
}

// warned reads what stands behind "warning: ".
func warned(s string, rec *offence.Record) {
	if addr, rest, ok := client(s); ok {
		if rest, ok = strings.CutPrefix(rest, ": SASL "); ok {
			if addr.IsValid() {
				rec.Addr = addr
				loginFailed(rest, rec)
			}
		}
		return
	}
	if rest, ok := strings.CutPrefix(s, "non-SMTP command from "); ok {
		if addr, text, ok := client(rest); ok && addr.IsValid() {
			rec.Addr = addr
			notSMTP(text, rec)
		}
		return
	}
	if rest, ok := strings.CutPrefix(s, "Illegal address syntax from "); ok {
		if addr, text, ok := client(rest); ok && addr.IsValid() {
			rec.Addr, rec.Kind, rec.Reason = addr, offence.LineReject, offence.RcptSyntax
			if strings.HasPrefix(text, " in MAIL ") {
				rec.Reason = offence.BadSenderSyntax
			}
		}
		return
	}
	for _, limit := range limits {
		if rest, ok := strings.CutPrefix(s, limit.text); ok {
			_, rest = offence.Number(rest)
			who(strings.TrimPrefix(rest, " from "), rec, offence.LineReject, limit.reason)
			return
		}
	}
}

// limits are anvil's.
var limits = [...]reply{
	{"Connection rate limit exceeded: ", offence.RateLimit},
	{"Connection concurrency limit exceeded: ", offence.ConnLimit},
	{"Message delivery request rate limit exceeded: ", offence.RateLimit},
	{"Recipient address rate limit exceeded: ", offence.RateLimit},
	{"AUTH command rate limit exceeded: ", offence.RateLimit},
	{"New TLS session rate limit exceeded: ", offence.RateLimit},
}

// loginFailed reads "MECHANISM authentication failed: WHY, sasl_username=NAME".
// The mechanism is the client's word, the name is last.
func loginFailed(s string, rec *offence.Record) {
	_, s, _ = strings.Cut(s, " ")
	s, ok := strings.CutPrefix(s, "authentication failed")
	if !ok {
		return
	}
	s = strings.TrimPrefix(s, ": ")
	why, user, named := strings.Cut(s, ", sasl_username=")
	if named && user != "(unavailable)" {
		rec.User = user
	}
	rec.Kind, rec.Reason = offence.LineAuthFailure, offence.AuthFail
	switch {
	case strings.HasPrefix(why, "Connection lost to authentication server"), strings.HasPrefix(why, "generic failure"),
		strings.HasPrefix(why, "Temporary authentication failure"), strings.HasPrefix(why, "no mechanism available"):
		rec.Reason = offence.AuthUnavailable
	case strings.HasPrefix(why, "Invalid base64 data"), strings.HasPrefix(why, "malformed initial response"):
		rec.Reason = offence.AuthDecode
	case strings.HasPrefix(why, "Invalid authentication mechanism"):
		rec.Reason = offence.Other
	}
}

// notSMTP reads ": COMMAND". A client that was refused AUTH and gives up with "*"
// has done nothing.
func notSMTP(s string, rec *offence.Record) {
	s = strings.TrimPrefix(s, ": ")
	rec.Kind, rec.Reason = offence.LineMisuse, offence.BadCommand
	word, rest, _ := strings.Cut(s, " ")
	switch {
	case s == "*":
		rec.Kind, rec.Reason = offence.LineClient, offence.ReasonNone
	case rest == "" || strings.HasSuffix(word, ":"):
	case strings.EqualFold(word, "CONNECT"):
		rec.Reason = offence.OpenProxy
	case strings.EqualFold(word, "GET"), strings.EqualFold(word, "POST"), strings.EqualFold(word, "HEAD"),
		strings.EqualFold(word, "OPTIONS"), strings.EqualFold(word, "PUT"):
		rec.Reason = offence.BogusCmd
	}
}
