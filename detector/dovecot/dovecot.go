package dovecot

import (
	"net/netip"
	"strings"

	"uppercut/detector/offence"
)

// Program is Dovecot for the detector.
type Program struct{}

// Name is the program's name in the configuration.
func (Program) Name() string { return "dovecot" }

// Ours reports whether a tag is Dovecot's. An instance_name of the
// administrator's own is the tag in place of it.
func (Program) Ours(tag string) bool { return tag == "dovecot" }

// Parse reads the text of a line into rec, which is empty.
func (Program) Parse(text string, rec *offence.Record) {
	rec.Kind = offence.LineInfo
	body, ok := cutLogin(strings.TrimLeft(text, " "))
	if !ok {
		return // of auth, of sessions that are logged in, of the master
	}
	message, fields, ok := cutMessage(body)
	if !ok {
		if !isOwn(body) {
			rec.Kind = offence.LineUnknown
		}
		return
	}
	what := readMessage(message)
	if what.kind == offence.LineInfo || what.kind == offence.LineUnknown {
		rec.Kind = what.kind
		return
	}
	user, method, addr, ok := client(fields)
	if !ok || len(body) > maxLine {
		rec.Kind = offence.LineUnknown
		return
	}
	if addr.IsLoopback() || addr.IsUnspecified() {
		return // of the host itself
	}
	rec.Addr, rec.User, rec.Kind, rec.Reason = addr, user, what.kind, what.reason
	rec.Begins = true // a login process serves many, and each line names its client
	switch what.reason {
	case offence.AuthFail:
		if method == "" && user == "" || method == "" && !what.own {
			// refused before it was looked up: the session is not encrypted
			rec.Kind, rec.Reason, rec.User = offence.LineDisconnect, offence.NullConnection, ""
			return
		}
		rec.Count = what.attempts
	case offence.NullConnection:
		if brokenTLS(message) {
			rec.Kind, rec.Reason = offence.LineTLSFailure, offence.TLSFail
		}
	}
}

const (
	ripKey     = ", rip="
	lipKey     = ", lip="
	sessionKey = ", session=<"
	// No syslog daemon cuts lines before 480 bytes (RFC 5424, 6.1), so one that is
	// shorter is whole, and the ">" behind a name has not been lost.
	maxLine = 480
)

// logins are the processes that speak with clients before they are logged in.
var logins = [...]string{"imap-login: ", "pop3-login: ", "submission-login: ", "managesieve-login: "}

// cutLogin takes the process, and the level that is written to files, off text.
func cutLogin(text string) (string, bool) {
	for _, name := range logins {
		if rest, ok := strings.CutPrefix(text, name); ok {
			return strings.TrimPrefix(rest, "Info: "), true
		}
	}
	return text, false
}

// isOwn tells whether a login process wrote the line about itself.
func isOwn(body string) bool {
	for _, level := range [...]string{"Warning: ", "Error: ", "Fatal: ", "Panic: ", "Debug: "} {
		if strings.HasPrefix(body, level) {
			return true
		}
	}
	return false
}

// cutMessage splits a line before its first field. Up to 2.0 there was no user=
// without a name.
func cutMessage(body string) (message, fields string, ok bool) {
	for _, key := range [...]string{": user=<", ": method=", ": rip="} {
		if at := strings.Index(body, key); at >= 0 {
			return body[:at], body[at+len(": "):], true
		}
	}
	return "", "", false
}

// client reads the fields: "[user=<USER>, ][method=M, ]rip=ADDRESS, ...".
func client(s string) (user, method string, addr netip.Addr, ok bool) {
	at := last(s, ripKey)
	before := ""
	switch {
	case at >= 0:
		before = s[:at]
		s = s[at+len(ripKey):]
	default:
		if s, ok = strings.CutPrefix(s, ripKey[len(", "):]); !ok {
			return "", "", addr, false
		}
	}
	if addr, ok = fields(s); !ok {
		return "", "", addr, false
	}
	user, method, ok = userAndMethod(before)
	return user, method, addr, ok
}

// userAndMethod reads "[user=<USER>][, method=M]".
func userAndMethod(s string) (user, method string, ok bool) {
	s, named := strings.CutPrefix(s, "user=<")
	switch {
	case s == "":
		return "", "", !named
	case !named:
		method, ok = strings.CutPrefix(s, "method=")
		return "", method, ok
	}
	if user, ok = strings.CutSuffix(s, ">"); ok {
		return user, "", true
	}
	const key = ">, method="
	end := last(s, key)
	if end < 0 {
		return "", "", false
	}
	return s[:end], s[end+len(key):], true
}

// fields reads "ADDRESS, lip=ADDRESS[, ...][, session=<ID>]", which must be all of
// Dovecot's own: no ">" but the last byte.
func fields(s string) (addr netip.Addr, ok bool) {
	own, rest, ok := strings.Cut(s, lipKey)
	if !ok {
		return addr, false
	}
	if addr, ok = address(own); !ok {
		return addr, false
	}
	if at := last(rest, sessionKey); at >= 0 {
		id, closed := strings.CutSuffix(rest[at+len(sessionKey):], ">")
		if !closed || !plain(id) {
			return addr, false
		}
		rest = rest[:at]
	}
	server, rest, _ := strings.Cut(rest, ", ")
	if _, ok = address(server); !ok {
		return addr, false
	}
	return addr, plain(rest)
}

// last is strings.LastIndex, which looks at each byte; here the first is nearly
// always the last.
func last(s, key string) int {
	at := -1
	for {
		i := strings.Index(s[at+1:], key)
		if i < 0 {
			return at
		}
		at += 1 + i
	}
}

// plain tells whether s holds no bracket.
func plain(s string) bool { return strings.IndexByte(s, '<') < 0 && strings.IndexByte(s, '>') < 0 }

// maxAddress is the length of the longest address.
const maxAddress = len("0000:0000:0000:0000:0000:0000:255.255.255.255")

// address reads an address as net_ip2addr prints it.
func address(s string) (netip.Addr, bool) {
	if s == "" || len(s) > maxAddress {
		return netip.Addr{}, false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != ':' && c != '.' {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}
