package openssh

import (
	"net/netip"
	"slices"
	"strings"

	"uppercut/detector/offence"
)

// Program is OpenSSH's sshd for the detector.
type Program struct{}

// Name is the program's name in the configuration.
func (Program) Name() string { return "openssh" }

// Ours reports whether a tag is sshd's: up to 9.7 all is written by sshd, then by
// sshd-session, save for what the listener itself has to say.
func (Program) Ours(tag string) bool { return tag == "sshd" || tag == "sshd-session" }

// Mask returns text as it is: sshd writes no secret of its own accord.
func (Program) Mask(text string) string { return text }

// Parse reads the text of a line.
func (Program) Parse(text string, rec *offence.Record) {
	rec.Kind = offence.LineUnknown
	text = strings.TrimPrefix(text, "error: ")
	for _, f := range forms {
		rest, ok := strings.CutPrefix(text, f.start)
		if !ok {
			continue
		}
		if f.read == nil || !f.read(rest, rec) {
			*rec = offence.Record{Kind: offence.LineInfo}
		}
		return
	}
	if isInfo(text) {
		rec.Kind = offence.LineInfo
	}
}

// form is a kind of lines: how it starts, and what reads the rest. nil, or false,
// says that the line is of no interest.
type form struct {
	start string
	read  func(rest string, rec *offence.Record) bool
}

// forms are the lines that name a client, the most frequent first (auth.c:
// auth_log, auth_maxtries_exceeded; auth2.c; packet.c: sshpkt_vfatal; kex.c;
// sshd.c: drop_connection, grace_alarm_handler).
var forms = [...]form{
	{"Failed password for ", passwordFailed},
	{"Failed keyboard-interactive/pam for ", passwordFailed},
	{"Failed keyboard-interactive for ", passwordFailed},
	{"Invalid user ", invalidUser},
	{"Failed ", nil}, // none, publickey, hostbased, gssapi
	{"Received disconnect from ", client},
	{"Disconnected from ", left},
	{"Connection closed by ", left},
	{"Connection reset by ", left},
	{"Accepted ", accepted},
	{"Connection from ", client},
	{"Unable to negotiate with ", noAlgorithm},
	{"banner exchange: Connection from ", notSSH},
	{"Did not receive identification string from ", silent},
	{"Timeout before authentication for ", timeout},
}

// passwordFailed reads "[invalid user ]USER from ADDRESS port N ssh2".
func passwordFailed(s string, rec *offence.Record) bool {
	if !userAndClient(strings.TrimPrefix(s, "invalid user "), " ssh2", rec) {
		return false
	}
	rec.Kind, rec.Reason = offence.LineAuthFailure, offence.AuthFail
	return true
}

// invalidUser reads "USER from ADDRESS port N".
func invalidUser(s string, rec *offence.Record) bool {
	if !userAndClient(s, "", rec) {
		return false
	}
	rec.Kind, rec.Reason = offence.LineReject, offence.UnknownUser
	return true
}

// accepted reads "METHOD for USER from ADDRESS port N ssh2[: KEY]".
func accepted(s string, rec *offence.Record) bool {
	_, s, ok := strings.Cut(s, " for ")
	if !ok {
		return false
	}
	if i := strings.LastIndex(s, " ssh2: "); i >= 0 {
		s = s[:i+len(" ssh2")]
	}
	if !userAndClient(s, " ssh2", rec) {
		return false
	}
	rec.Kind = offence.LineAuth
	return true
}

// userAndClient reads "USER from ADDRESS port N" and then end, from its end.
func userAndClient(s, end string, rec *offence.Record) bool {
	s, ok := strings.CutSuffix(s, end)
	if !ok {
		return false
	}
	before, addr, ok := clientAtEnd(s)
	if !ok {
		return false
	}
	rec.User, ok = strings.CutSuffix(before, " from")
	rec.Addr, rec.AtEnd = addr, true
	return ok
}

// clientAtEnd reads " ADDRESS port N" at the end of s and returns what stands
// before.
func clientAtEnd(s string) (before string, addr netip.Addr, ok bool) {
	i := len(s)
	for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' {
		i--
	}
	if i == len(s) || len(s)-i > len("65535") {
		return "", addr, false
	}
	if s, ok = strings.CutSuffix(s[:i], " port "); !ok {
		return "", addr, false
	}
	i = strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", addr, false
	}
	addr, ok = address(s[i+1:])
	return s[:i], addr, ok
}

// clientAtStart reads "ADDRESS port N" at the start of s.
func clientAtStart(s string) (addr netip.Addr, rest string, ok bool) {
	text, s, ok := strings.Cut(s, " port ")
	if !ok {
		return addr, "", false
	}
	if addr, ok = address(text); !ok {
		return addr, "", false
	}
	port, rest := offence.Number(s)
	return addr, rest, len(rest) < len(s) && port <= 65535
}

// address reads an address as getnameinfo writes it. A zone is the host's own
// affair.
func address(s string) (netip.Addr, bool) {
	if len(s) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || s == "" || s[0] == '[' {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap().WithZone(""), err == nil
}

// client reads "ADDRESS port N", behind which anything may stand.
func client(s string, rec *offence.Record) (ok bool) {
	rec.Addr, s, ok = clientAtStart(s)
	if !ok || s != "" && s[0] != ':' && s[0] != ' ' {
		return false
	}
	rec.Kind = offence.LineClient
	return true
}

// left reads "[[authenticating|invalid ]user USER ]ADDRESS port N [preauth]". Of
// whoever has logged in it is not written with that end.
func left(s string, rec *offence.Record) bool {
	s, ok := strings.CutSuffix(s, " [preauth]")
	if !ok {
		return false
	}
	if addr, rest, ok := clientAtStart(s); ok && rest == "" {
		rec.Addr = addr
		rec.Kind, rec.Reason = offence.LineDisconnect, offence.NullConnection
		return true
	}
	for _, whose := range [...]string{"authenticating user", "invalid user", "user"} {
		user, ok := strings.CutPrefix(s, whose)
		if !ok {
			continue
		}
		before, addr, ok := clientAtEnd(user)
		if !ok || before == "" || before[0] != ' ' {
			return false
		}
		rec.User, rec.Addr, rec.AtEnd = before[1:], addr, true
		rec.Kind, rec.Reason = offence.LineDisconnect, offence.NullConnection
		return true
	}
	return false
}

// noAlgorithm reads "ADDRESS port N: no matching WHAT found. Their offer: TEXT".
func noAlgorithm(s string, rec *offence.Record) bool {
	if !client(s, rec) {
		return false
	}
	rec.Kind, rec.Reason = offence.LineTLSFailure, offence.TLSFail
	return true
}

// notSSH reads "ADDRESS port N: invalid format". What else stands there says that
// the client was gone.
func notSSH(s string, rec *offence.Record) bool {
	addr, rest, ok := clientAtStart(s)
	if !ok {
		return false
	}
	rec.Addr = addr
	rec.Kind, rec.Reason = offence.LineDisconnect, offence.NullConnection
	if strings.HasPrefix(rest, ": invalid format") {
		rec.Kind, rec.Reason = offence.LineMisuse, offence.BadCommand
	}
	return true
}

// silent reads "ADDRESS port N".
func silent(s string, rec *offence.Record) bool {
	if !client(s, rec) {
		return false
	}
	rec.Kind, rec.Reason = offence.LineDisconnect, offence.NullConnection
	return true
}

// timeout reads "ADDRESS port N" and, since 9.8, "connection from ADDRESS to
// ADDRESS, pid = N".
func timeout(s string, rec *offence.Record) bool {
	if from, ok := strings.CutPrefix(s, "connection from "); ok {
		text, _, ok := strings.Cut(from, " to ")
		if !ok {
			return false
		}
		if rec.Addr, ok = address(text); !ok {
			return false
		}
	} else if !client(s, rec) {
		return false
	}
	rec.Kind, rec.Reason = offence.LineDisconnect, offence.Timeout
	return true
}

// infos are how lines start that name a port and are of no interest: what they say
// of a client other lines say, too, or it is the host's own affair.
var infos = [...]string{
	"Server listening on ", "Postponed ", "Starting session", "Close session", "User ", "Disconnecting ",
	"maximum authentication attempts exceeded ", "drop connection ", "srclimit_penalise", "kex_", "userauth_",
	"ssh_dispatch_run_fatal", "Read error from ", "Bad packet length", "Corrupted MAC", "Protocol major versions differ",
	"PAM: ", "pam_", "fatal: ", "debug", "Transferred: ", "Bad remote protocol version", "Unable to ",
}

// isInfo reports whether a line of none of the forms says nothing of a client.
// Whoever names one names its port.
func isInfo(s string) bool {
	if !strings.Contains(s, " port ") {
		return true
	}
	return slices.ContainsFunc(infos[:], func(start string) bool { return strings.HasPrefix(s, start) })
}
