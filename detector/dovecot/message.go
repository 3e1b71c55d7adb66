package dovecot

import (
	"strings"

	"uppercut/detector/offence"
)

// meaning is what a message says of the client.
type meaning struct {
	kind     offence.LineKind
	reason   offence.Reason
	attempts uint32
	own      bool
}

var (
	info    = meaning{kind: offence.LineInfo}
	unknown = meaning{kind: offence.LineUnknown}
)

// endings are what stands in parentheses at the end of a message, without the
// numbers (client_get_extra_disconnect_reason, login-common/client-common.c),
// and what it says.
var endings = [...]struct {
	words  string
	kind   offence.LineKind
	reason offence.Reason
	// own: a password was refused, whatever the fields say.
	own bool
}{
	{"auth failed, ", offence.LineAuthFailure, offence.AuthFail, false},
	{noAttempts, offence.LineDisconnect, offence.NullConnection, false},
	{"disconnected during TLS handshake", offence.LineDisconnect, offence.NullConnection, false},
	{"disconnected before greeting", offence.LineDisconnect, offence.NullConnection, false},
	{"disconnected before auth was ready", offence.LineInfo, offence.ReasonNone, false},
	{"client didn't finish SASL auth", offence.LineDisconnect, offence.NullConnection, false},
	{"disconnected while authenticating", offence.LineDisconnect, offence.NullConnection, false},
	{"disconnected while finishing login", offence.LineInfo, offence.ReasonNone, false},
	{"tried to use disallowed plaintext auth", offence.LineDisconnect, offence.NullConnection, false},
	{"tried to use disallowed cleartext auth", offence.LineDisconnect, offence.NullConnection, false},
	{"auth aborted by client", offence.LineDisconnect, offence.NullConnection, false},
	{processFull, offence.LineInfo, offence.ReasonNone, false},
	{"tried to use disabled plaintext auth", offence.LineDisconnect, offence.NullConnection, false},
	{"cleartext authentication disabled", offence.LineDisconnect, offence.NullConnection, false},
	{"tried to use unsupported auth mechanism", offence.LineReject, offence.Other, false},
	{"sent invalid base64 in response", offence.LineMisuse, offence.AuthDecode, false},
	{"user disabled", offence.LineAuthFailure, offence.AuthFail, true},
	{"password expired", offence.LineAuthFailure, offence.AuthFail, true},
	{"authorization failed", offence.LineAuthFailure, offence.AuthFail, true},
	{"login disabled", offence.LineAuthFailure, offence.AuthFail, true},
	{"auth service reported temporary failure", offence.LineAuthFailure, offence.AuthUnavailable, false},
	{"temporary failure", offence.LineAuthFailure, offence.AuthUnavailable, false},
	{"auth process communication failure", offence.LineAuthFailure, offence.AuthUnavailable, false},
	{"internal failure", offence.LineInfo, offence.ReasonNone, false},
	{"proxy dest auth failed", offence.LineAuthFailure, offence.AuthFail, true},
	{"cert required, client didn't start TLS", offence.LineDisconnect, offence.NullConnection, false},
	{"client didn't send a cert", offence.LineTLSFailure, offence.TLSFail, false},
	{"client sent an invalid cert", offence.LineTLSFailure, offence.TLSFail, false},
}

const (
	noAttempts  = "no auth attempts"
	processFull = "client_limit and process_limit was hit"
)

// readMessage reads what stands before ": user=<".
func readMessage(s string) meaning {
	switch s {
	case "Login", "Logged in":
		return meaning{kind: offence.LineAuth}
	}
	head, ending, ok := cutEnding(s)
	switch {
	case strings.HasPrefix(head, "Login failed: "), strings.HasPrefix(head, "Authenticate "),
		strings.HasPrefix(head, "proxy"), strings.HasPrefix(head, "ID sent: "), strings.HasPrefix(head, "Maximum number of connections"):
		return info // says what the line at the end will say again, or nothing of the client
	case !ok || !isEnd(head):
		return unknown
	}
	for i := range endings {
		e := &endings[i]
		rest, found := strings.CutPrefix(ending, e.words)
		if !found {
			continue
		}
		m := meaning{kind: e.kind, reason: e.reason, own: e.own}
		if m.reason == offence.AuthFail {
			m.attempts = attempts(rest)
		}
		if e.words == noAttempts || e.words == processFull {
			m.worse(head)
		}
		return m
	}
	return unknown
}

// worse makes more of a session without a password by why Dovecot ended it.
func (m *meaning) worse(head string) {
	switch {
	case strings.Contains(head, "Too many invalid") || strings.Contains(head, "Too many bad"):
		m.kind, m.reason = offence.LineMisuse, offence.BadCommand
	case strings.Contains(head, "Input buffer full"):
		m.kind, m.reason = offence.LineMisuse, offence.LongInput
	case strings.Contains(head, "Inactivity"):
		m.kind, m.reason = offence.LineDisconnect, offence.Timeout
	}
}

// isEnd tells whether head begins as the last line of a session does.
func isEnd(head string) bool {
	return strings.HasPrefix(head, "Disconnected") || strings.HasPrefix(head, "Aborted login") || strings.HasPrefix(head, "Login aborted")
}

// cutEnding splits "HEAD (ENDING)[ (CODE)]"; 2.4 writes a code.
func cutEnding(s string) (head, ending string, ok bool) {
	s, ok = strings.CutSuffix(s, ")")
	if !ok {
		return s, "", false
	}
	at := last(s, " (")
	if at < 0 {
		return s, "", false
	}
	head, ending = s[:at], s[at+2:]
	if code, found := strings.CutSuffix(head, ")"); found && isCode(ending) {
		if at = last(code, " ("); at >= 0 {
			return code[:at], code[at+2:], true
		}
	}
	return head, ending, true
}

// isCode tells whether s is a code, such as auth_failed.
func isCode(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// attempts reads "[, ]N attempts...", 1 if it is not there.
func attempts(s string) uint32 {
	n, rest := offence.Number(strings.TrimPrefix(s, ", "))
	if n == 0 || !strings.HasPrefix(rest, " attempts") {
		return 1
	}
	return n
}

// brokenTLS tells whether a session ended because what the client sent as TLS was
// none that the server takes.
func brokenTLS(message string) bool { return strings.Contains(message, "SSL_accept() ") }
