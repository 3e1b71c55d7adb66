package sendmail

import (
	"strconv"
	"strings"

	"uppercut/detector/offence"
)

// body reads the text behind the queue id. Every form is anchored at its start.
// Behind a queue id that may be the echo of a recipient that looks like one, so
// what is read is looked at again (doubtEcho).
func (p *Parser) body(s string, rec *Record) {
	if s == "" {
		rec.Kind = offence.LineUnknown
		return
	}
	if rec.QID != "" && echoed(s) {
		rec.accuse(offence.LineReject, offence.UnknownUser)
		return
	}
	read := p.known(s, rec) || clientLine(s, rec)
	if !read {
		if isOwn(s) || p.userError(s, rec) {
			return
		}
		read = truncatedClient(s, rec) || bareClient(s, rec)
	}
	switch {
	case !read && !isLikelyOwn(s):
		rec.Kind = offence.LineUnknown
	case read && rec.QID != "":
		p.doubtEcho(s, rec)
		if (rec.Proof == ProofOwn || rec.Proof == ProofShort) && len(s) > maxEcho && isEchoLong(s) {
			rec.Proof = ProofWhole // or the echo of a recipient, cut before its end
		}
	}
}

// known reads the forms that begin with words of sendmail's own.
func (p *Parser) known(s string, rec *Record) bool {
	switch s[0] {
	case 't':
		return readTo(s, rec) || readTCPWrappers(s, rec) || readTimeout(s, rec)
	case 'f':
		return readFrom(s, rec)
	case 'm':
		return readMilterQuarantine(s, rec) || readTooBig(s, rec)
	case 'r':
		return p.ruleset(s, rec) || readRejecting(s, rec)
	case 'A':
		return readAuth(s, rec)
	case 'S':
		return readSTARTTLS(s, rec) || readSyserr(s, rec)
	case 'M':
		return readMilter(s, rec)
	case 'c':
		return readConnect(s, rec) || readCollect(s, rec)
	case 'l':
		return readLostInput(s, rec)
	case 'i':
		return readInvalidDomain(s, rec)
	case 'N':
		return readNullConnection(s, rec)
	case 'h':
		return readHeaderOverflow(s, rec)
	case 's':
		return readSetsender(s, rec)
	case 'u':
		return readPipelining(s, rec)
	case '"':
		return readBogusCommand(s, rec)
	}
	return false
}

// accuse makes the line an offence.
func (r *Record) accuse(kind offence.LineKind, reason offence.Reason) bool {
	r.Kind, r.Reason = kind, reason
	return true
}

// clientLine reads the forms that begin with the client itself.
func clientLine(s string, rec *Record) bool {
	addr, n := readRelay(s)
	if n == 0 {
		return false
	}
	if !behindClient(s[n:], rec) {
		return false
	}
	rec.Addr, rec.tail = addr, n
	return true
}

// truncatedClient reads the same forms where the client was cut at 100 bytes
// (%.100s) and so lost its address.
func truncatedClient(s string, rec *Record) bool {
	return len(s) > maxRelay && hostLength(s) >= 64 && relayHead(s[:maxRelay]) && behindClient(s[maxRelay:], rec)
}

// bareClient reads the same forms where the client is a host name alone: it was
// gone before sendmail could ask for its address. A user of the host itself is no
// client.
func bareClient(s string, rec *Record) bool {
	n := strings.IndexAny(s, ": ")
	if n <= 0 || !isLocal(s[:n]) && hostLength(s) != n {
		return false
	}
	if !behindClient(s[n:], rec) {
		return false
	}
	if isLocal(s[:n]) {
		rec.Kind, rec.Reason, rec.Local = offence.LineInfo, offence.ReasonNone, true
	}
	return true
}

// relayHead says whether s can be the beginning of a client.
func relayHead(s string) bool {
	n := hostLength(s)
	return n == len(s) || strings.HasPrefix(s[n:], " [") && strings.IndexByte(s[n:], ']') < 0
}

func behindClient(s string, rec *Record) bool {
	if strings.HasPrefix(s, " did not issue MAIL/EXPN/VRFY/ETRN during connection to ") {
		rec.Ends = true
		return rec.accuse(offence.LineDisconnect, offence.NullConnection)
	}
	s, ok := strings.CutPrefix(s, ": ")
	if !ok {
		return false
	}
	switch {
	case strings.HasPrefix(s, "possible SMTP attack: command="):
		return rec.accuse(offence.LineMisuse, offence.SMTPAttack)
	case strings.HasPrefix(s, "Possible SMTP RCPT flood, "):
		return rec.accuse(offence.LineMisuse, offence.RcptFlood)
	case strings.HasPrefix(s, "probable open proxy: command="):
		return rec.accuse(offence.LineMisuse, offence.OpenProxy)
	case strings.HasPrefix(s, "SMTP violation, input too long: "):
		return rec.accuse(offence.LineMisuse, offence.LongInput)
	}
	// sendmail passes over the white space before a command, and logs it.
	for strings.HasPrefix(s, " ") || strings.HasPrefix(s, `\t`) {
		s = strings.TrimPrefix(strings.TrimPrefix(s, " "), `\t`)
	}
	if hasCommand(s, "VRFY") || hasCommand(s, "EXPN") || hasCommand(s, "ETRN") {
		rec.tellsTwice = !hasCommand(s, "ETRN") && rec.Count == 1
		return rec.accuse(offence.LineReject, verifyReason(s))
	}
	return false
}

// hasCommand says whether s is the SMTP command, as the client typed it, alone
// or with an argument.
func hasCommand(s, command string) bool {
	return len(s) >= len(command) && strings.EqualFold(s[:len(command)], command) &&
		(len(s) == len(command) || charClass[s[len(command)]]&alnumChar == 0)
}

func verifyReason(s string) offence.Reason {
	if strings.HasSuffix(s, " [rejected]") {
		return offence.VrfyExpnRejected
	}
	return offence.VrfyExpn
}

func readConnect(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "connect from ")
	if !ok {
		return false
	}
	rec.Kind, rec.Begins = offence.LineConnect, true
	rec.Addr = wholeRelay(s)
	rec.Local = isLocal(s)
	return true
}

// isLocal says whether s names no remote client: "localhost" or
// "user@localhost".
func isLocal(s string) bool {
	return s == "localhost" || strings.HasSuffix(s, "@localhost") && strings.IndexByte(s, ' ') < 0
}

// readNullConnection reads the null connection as 8.11 and older versions tell
// it.
func readNullConnection(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "Null connection from ")
	if !ok {
		return false
	}
	rec.Ends, rec.Addr = true, wholeRelay(s)
	return rec.accuse(offence.LineDisconnect, offence.NullConnection)
}

func readTCPWrappers(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "tcpwrappers (")
	if !ok {
		return false
	}
	rec.Begins = true
	s, ok = strings.CutSuffix(s, ") rejection")
	if n := hostOrBracket(s); ok && n > 0 && strings.HasPrefix(s[n:], ", ") {
		rec.Addr = barePeer(s[n+2:])
	}
	return rec.accuse(offence.LineReject, offence.TCPWrappers)
}

// hostOrBracket returns the length of the host name or the address in brackets
// at the start of s.
func hostOrBracket(s string) int {
	if n := hostLength(s); n > 0 {
		return n
	}
	_, n := readBracket(s)
	return n
}

func readRejecting(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "rejecting ")
	if !ok {
		return false
	}
	if rest, ok := strings.CutPrefix(s, "commands from "); ok {
		if tail, ok := peer(rest, rec); ok && !strings.HasPrefix(tail, " due to pre-greeting traffic") {
			rec.Addr = noAddr
		}
		return rec.accuse(offence.LineMisuse, offence.Pregreet)
	}
	const early = " due to traffic before response"
	command, rest, ok := strings.Cut(strings.TrimPrefix(s, "server "), " from ")
	if !ok || hostLength(command) != len(command) || !strings.HasSuffix(rest, early) {
		return false
	}
	if tail, ok := peer(rest, rec); ok && tail != early {
		rec.Addr = noAddr
	}
	return rec.accuse(offence.LineMisuse, offence.EHLOPipelining)
}

// peer reads "HOST [ADDR]" where, for want of a name, HOST is "[ADDR]" itself,
// or nothing.
func peer(s string, rec *Record) (tail string, ok bool) {
	if strings.HasPrefix(s, " [") {
		s = s[1:]
	}
	addr, n := readRelay(s)
	if n == 0 {
		return s, false
	}
	if strings.HasPrefix(s[n:], " [") {
		second, m := readBracket(s[n+1:])
		if m == 0 || second != addr {
			return s, false
		}
		n += 1 + m
	}
	rec.Addr = addr
	return s[n:], true
}

func readPipelining(s string, rec *Record) bool {
	if !strings.HasPrefix(s, "unauthorized PIPELINING") {
		return false
	}
	lastRelay(s, rec)
	return rec.accuse(offence.LineMisuse, offence.EHLOPipelining)
}

// lastRelay takes the client of a line that ends in ", relay=RELAY" cut at 100
// bytes, and returns where that begins, -1 if there is none. Only the last one
// counts, and only if it is complete to the end of the line: everything before it
// may be the client's text. So it takes a line that is whole (ProofWhole).
func lastRelay(s string, rec *Record) int {
	i := lastRelayKey(s)
	if i < 0 {
		return i
	}
	client := s[i+len(relayKey):]
	rec.Addr, rec.Proof = wholeRelay(client), ProofWhole
	rec.torn = len(client) < maxRelay && isTorn(client)
	return i
}

// isTorn says whether a client has lost the end of its address. It may have none
// (bareClient).
func isTorn(client string) bool {
	i := strings.IndexByte(client, '[')
	return i >= 0 && strings.IndexByte(client[i:], ']') < 0
}

// maxRelay is where sendmail cuts a client at the end of a line (%.100s).
const maxRelay = 100

const relayKey = ", relay="

// lastRelayKey is strings.LastIndex(s, relayKey), but quick: the client stands
// at the end of most lines.
func lastRelayKey(s string) int {
	for i := len(s) - len(relayKey); i >= 0; i-- {
		if s[i] == ',' && s[i+1:i+len(relayKey)] == relayKey[1:] {
			return i
		}
	}
	return -1
}

func readBogusCommand(s string, rec *Record) bool {
	word, rest, ok := strings.Cut(s[1:], `" command from `)
	if !ok || hostLength(word) != len(word) {
		return false
	}
	addr, n := readRelay(rest)
	if n > 0 && strings.HasPrefix(rest[n:], " (") {
		rec.Addr = addr
	}
	return rec.accuse(offence.LineMisuse, offence.BogusCmd)
}

func readLostInput(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "lost input channel from ")
	if !ok {
		return false
	}
	if addr, n := readRelay(s); n > 0 && strings.HasPrefix(s[n:], " to ") {
		rec.Addr = addr
	}
	return rec.accuse(offence.LineDisconnect, offence.LostInput)
}

// readTimeout reads a time-out of a server. The same words with "client ..."
// are about a host that ours talks to.
func readTimeout(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "timeout waiting for input from ")
	if !ok {
		return false
	}
	host, phase, ok := strings.Cut(s, " during ")
	if ok && strings.HasPrefix(phase, "client ") {
		return true
	}
	if addr, n := readBracket(host); ok && n == len(host) {
		rec.Addr = addr
	}
	return rec.accuse(offence.LineDisconnect, offence.Timeout)
}

func readInvalidDomain(s string, rec *Record) bool {
	if !strings.HasPrefix(s, "invalid domain name (") {
		return false
	}
	if i := strings.LastIndex(s, ") from "); i >= 0 {
		rec.Addr, rec.Proof = wholeRelay(s[i+len(") from "):]), ProofWhole
	}
	return rec.accuse(offence.LineMisuse, offence.BadHelo)
}

func readSetsender(s string, rec *Record) bool {
	if !strings.HasPrefix(s, "setsender: ") {
		return false
	}
	const from = ": invalid or unparsable, received from "
	i := strings.LastIndex(s, from)
	if i < 0 {
		return false
	}
	client := s[i+len(from):]
	rec.Proof = ProofWhole
	if isLocal(client) {
		rec.Kind, rec.Local = offence.LineInfo, true
		return true
	}
	rec.Addr = wholeRelay(client)
	return rec.accuse(offence.LineReject, offence.BadSenderSyntax)
}

func readHeaderOverflow(s string, rec *Record) bool {
	if !strings.HasPrefix(s, "headers too large (") {
		return false
	}
	if _, host, ok := strings.Cut(s, ") from "); ok {
		if addr, n := readBracket(host); n > 0 && strings.HasPrefix(host[n:], " during ") {
			rec.Addr = addr
		}
	}
	return rec.accuse(offence.LineReject, offence.HeaderOverflow)
}

func readTooBig(s string, rec *Record) bool {
	if !strings.HasPrefix(s, "message size (") || !strings.Contains(s, ") exceeds maximum (") {
		return false
	}
	return rec.accuse(offence.LineReject, offence.TooBig)
}

// readCollect reads what collect.c tells of a message that did not end well.
// It names the client by its host name only, which proves nothing, unless
// there is no name: then it is the address in brackets.
func readCollect(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "collect: ")
	if !ok {
		return false
	}
	if strings.HasPrefix(s, "premature EOM: ") {
		return rec.accuse(offence.LineDisconnect, offence.PrematureEOM)
	}
	rest, ok := strings.CutPrefix(s, "relay=")
	if !ok {
		return true
	}
	n := hostOrBracket(rest)
	sender, ok := strings.CutPrefix(rest[n:], ", from=")
	if !ok || n == 0 {
		return true
	}
	info := behindSender(sender)
	if !strings.HasPrefix(info, "info=Bare ") || isTaken(info) {
		return true
	}
	if rest[0] == '[' {
		rec.Addr, _ = readBracket(rest)
	}
	return rec.accuse(offence.LineReject, offence.BareNewline)
}

// isTaken says whether a message with bare line feeds was accepted, as it is or
// with them replaced: it was not if sendmail says "status=tempfail".
func isTaken(info string) bool {
	if _, status, ok := strings.Cut(info, ", status="); ok {
		return status == "replaced"
	}
	_, where, ok := strings.Cut(info, ", where=")
	return ok && strings.IndexByte(where, ',') < 0
}

// behindSender returns what follows "ADDRESS, " at the start of s. An address
// that was shortened may lack its closing quote; then the last ", info=" is
// taken.
func behindSender(s string) string {
	if end := pathEnd(s); end > 0 && s[end-1] == ',' {
		return s[end+1:]
	}
	if i := strings.LastIndex(s, ", info="); i >= 0 {
		return s[i+2:]
	}
	return ""
}

// readSyserr reads the system errors that a client causes.
func readSyserr(s string, rec *Record) bool {
	if !strings.HasPrefix(s, "SYSERR(") {
		return false
	}
	_, s, ok := strings.Cut(s, "): ")
	switch {
	case !ok:
	case strings.HasPrefix(s, "Too many hops "):
		rec.InSession = true
		return rec.accuse(offence.LineReject, offence.Hops)
	case !strings.HasPrefix(s, "collect: "):
	case strings.HasSuffix(s, ", info=read timeout"), strings.HasPrefix(s, "collect: read timeout on connection from "):
		return rec.accuse(offence.LineDisconnect, offence.Timeout)
	}
	return true
}

func readSTARTTLS(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "STARTTLS=server, ")
	if !ok {
		return false
	}
	if strings.HasPrefix(s, "error: accept failed=") {
		if i := lastRelay(s, rec); i > 0 && lastRelayKey(s[:i]) < 0 {
			rec.Proof = withoutID(rec) // the reason is OpenSSL's
		}
		return rec.accuse(offence.LineTLSFailure, offence.TLSFail)
	}
	if rest, ok := strings.CutPrefix(s, "relay="); ok {
		if addr, n := readRelay(rest); n > 0 && strings.HasPrefix(rest[n:], ", version=") {
			rec.Kind, rec.Addr, rec.Proof = offence.LineClient, addr, withoutID(rec)
		}
	}
	return true
}

// withoutID says what the client rests on in a line that sendmail writes without a
// queue id: one that has it is the echo of a recipient.
func withoutID(rec *Record) Proof {
	if rec.QID != "" {
		return ProofSession
	}
	return ProofOwn
}

func readAuth(s string, rec *Record) bool {
	switch {
	case strings.HasPrefix(s, "AUTH failure ("):
		if i := lastRelay(s, rec); i > 0 {
			rec.Proof = authProof(s, i)
		}
		rec.User = authUser(s)
		return rec.accuse(offence.LineAuthFailure, authReason(s))
	case strings.HasPrefix(s, "AUTH decode64 error ["):
		if i := lastRelay(s, rec); i < 0 || !strings.HasSuffix(s[:i], `"]`) {
			rec.Addr, rec.torn = noAddr, !strings.HasSuffix(s, `"]`) // 8.13 named no client
		}
		return rec.accuse(offence.LineAuthFailure, offence.AuthDecode)
	}
	rest, ok := strings.CutPrefix(s, "AUTH=server, relay=")
	if !ok {
		return false
	}
	addr, n := readRelay(rest)
	if n > 0 && strings.HasPrefix(rest[n:], ", authid=") {
		rec.Addr, rec.Proof = addr, withoutID(rec)
	}
	rec.Kind = offence.LineAuth
	return true
}

// authReason tells a client that could not log in from a host that could not
// look: "AUTH failure (MECHANISM): ERROR (CODE) DETAIL". Error and code are those
// of Cyrus SASL (sasl.h, sasl_errstring), and nothing before them is the
// client's but the mechanism, which is one of those on offer.
func authReason(s string) offence.Reason {
	_, s, _ = strings.Cut(s, "): ")
	_, s, found := strings.Cut(s, " (-")
	code, detail, closed := strings.Cut(s, ")")
	if !found || !closed {
		return offence.AuthFail
	}
	switch code {
	case "13", "20": // SASL_BADAUTH, SASL_NOUSER
		return offence.AuthFail
	case "5": // SASL_BADPROT: what the client said is no answer to the challenge
		return offence.AuthFail
	case "1": // SASL_FAIL
		if saysNonsense(detail) {
			return offence.AuthFail
		}
	}
	return offence.AuthUnavailable
}

// saysNonsense tells whether the detail of a SASL_FAIL is about what the client
// said (Cyrus SASL's digestmd5.c) and not about the host.
func saysNonsense(detail string) bool {
	for _, text := range [...]string{": authentication aborted", "client doesn't support UTF-8", "'algorithm' isn't "} {
		if strings.Contains(detail, text) {
			return true
		}
	}
	return false
}

// authUser returns the user name of an AUTH failure, "" if the line has none
// (before 8.16).
func authUser(s string) string {
	i := strings.Index(s, userKey)
	if i < 0 {
		return ""
	}
	s = s[i+len(userKey):]
	if end := lastRelayKey(s); end >= 0 {
		return s[:end]
	}
	return s
}

// readNumberField takes KEY, a number and ", " off s; ok is false if s does not
// begin with that.
func readNumberField(s, key string) (value uint32, rest string, ok bool) {
	rest, ok = strings.CutPrefix(s, key)
	if !ok {
		return 0, s, false
	}
	rest = strings.TrimPrefix(rest, "-")
	end := strings.IndexByte(rest, ',')
	if end <= 0 {
		return 0, s, false
	}
	n, err := strconv.ParseUint(rest[:end], 10, 64)
	if err != nil || len(rest) < end+2 || rest[end+1] != ' ' {
		return 0, s, false
	}
	return uint32(min(n, 1<<32-1)), rest[end+2:], true
}
