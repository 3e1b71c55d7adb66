package sendmail

import (
	"net/netip"
	"strings"
)

// noAddr is what a line gives that proves no address.
var noAddr netip.Addr

// barePeer reads an address without brackets, IPv6 with or without "IPv6:".
func barePeer(s string) netip.Addr {
	if addr, ok := readAddr(s); ok {
		return addr
	}
	addr, ok := readIPv6(s)
	if !ok {
		return noAddr
	}
	return addr
}

// readFrom reads the envelope record that logsender (envelope.c) writes when a
// message has come in or its transaction has ended:
//
//	from=VALUE, size=N, class=N, [pri=N, ]nrcpts=N[, msgid=...][, ...], relay=RELAY
//
// "from=" holds no space, so a recipient can imitate it. What it cannot imitate
// is a value that walks as one SMTP address and is followed by the numbers.
func readFrom(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "from=")
	if !ok {
		return false
	}
	end := pathEnd(s)
	if end < 0 {
		return cutSender(s, rec)
	}
	if end == 0 || s[end-1] != ',' {
		return false
	}
	value, s := s[:end-1], s[end+1:]
	if _, s, ok = readNumberField(s, "size="); !ok {
		return false
	}
	if _, s, ok = readNumberField(s, "class="); !ok {
		return false
	}
	_, s, _ = readNumberField(s, "pri=")
	recipients, rest, ok := readNumberField(s, "nrcpts=")
	if !ok {
		return false
	}
	rec.Kind, rec.Recipients, rec.NullSender = LineFrom, recipients, value == "<>"
	envelopeClient(rest, rec)
	return true
}

// cutSender reads an envelope record whose sender was cut at 200 bytes within
// quotes. It tells no client, for what follows may still be the sender.
func cutSender(s string, rec *Record) bool {
	i := lastRelayKey(s)
	if i < 0 || !wholeRelay(s[i+len(relayKey):]).IsValid() || !strings.Contains(s[:i], ", nrcpts=") {
		return false
	}
	rec.Kind = LineFrom
	return true
}

// envelopeClient takes the client from the end of an envelope record. The
// message id before it is the client's text.
func envelopeClient(s string, rec *Record) {
	const key = "relay="
	i := lastRelayKey(s)
	client, ok := strings.CutPrefix(s, key)
	if i >= 0 {
		client, ok = s[i+len(relayKey):], true
	}
	if !ok {
		return
	}
	if isLocal(client) {
		rec.Local = true
		return
	}
	if len(rec.Body) <= maxFree && (i < 0 || wholeMessageID(s[:i])) {
		rec.Addr = wholeRelay(client)
	}
}

// wholeMessageID says whether the message id at the start of s, cut at 100 bytes
// by sendmail, is seen to its end. A line that was cut within a message id that
// imitates a client would otherwise end like a whole one.
func wholeMessageID(s string) bool {
	const maxMessageID = 100
	id, ok := strings.CutPrefix(s, "msgid=")
	if !ok {
		return true
	}
	id = cutSessionFields(id)
	return id == "" || id[0] != '<' || id[len(id)-1] == '>' || unescapedLen(id) == maxMessageID
}

// cutSessionFields takes off what stands between the message id and the client.
func cutSessionFields(s string) string {
	for {
		i := strings.LastIndex(s, ", ")
		if i < 0 {
			return s
		}
		switch key, _, _ := strings.Cut(s[i+2:], "="); key {
		case "bodytype", "proto", "daemon", "tls_verify", "auth":
			s = s[:i]
		default:
			return s
		}
	}
}

// readTo reads a delivery record (logdelivery, deliver.c):
//
//	to=VALUE[, ctladdr=A (N/N)], delay=T[, xdelay=T][, mailer=M], pri=N[, relay=HOST [ADDR]][, dsn=N.N.N], stat=TEXT
//
// It never accuses: its relay is the host that our own one talked to, and the
// text behind stat= is that host's.
func readTo(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "to=")
	if !ok {
		return false
	}
	end := pathEnd(s)
	if end <= 0 || s[end-1] != ',' {
		return false
	}
	s = s[end+1:]
	if rest, ok := strings.CutPrefix(s, "ctladdr="); ok {
		s = behindControl(rest)
	}
	if !strings.HasPrefix(s, "delay=") {
		return false
	}
	rec.Kind = LineTo
	if strings.Count(s, ", stat=") != 1 {
		return true // a long list of recipients is split at commas, even at a quoted one
	}
	_, s, _ = cutField(s, "delay=")
	if _, s, ok = cutField(s, "xdelay="); !ok {
		return true
	}
	if _, s, ok = cutField(s, "mailer="); !ok {
		return true
	}
	rec.Taken = true
	if _, s, ok = cutField(s, "pri="); !ok {
		return true
	}
	deliveredTo(s, rec)
	return true
}

// deliveredTo takes the host that accepted a message from the rest of its
// delivery record.
func deliveredTo(s string, rec *Record) {
	s, ok := strings.CutPrefix(s, "relay=")
	if !ok {
		return
	}
	addr, n := readRelay(s)
	if n == 0 {
		return
	}
	if strings.HasPrefix(s[n:], " [") {
		second, m := readBracket(s[n+1:])
		if m == 0 || second != addr {
			return
		}
		n += 1 + m
	}
	s, ok = strings.CutPrefix(s[n:], ", ")
	if !ok {
		return
	}
	_, s, _ = cutField(s, "dsn=")
	if stat, ok := strings.CutPrefix(s, "stat=Sent"); ok && (stat == "" || strings.HasPrefix(stat, " (")) {
		rec.Addr, rec.Delivered = addr, true
	}
}

// behindControl returns what follows "ADDRESS (UID/GID), ".
func behindControl(s string) string {
	end := pathEnd(s)
	if end <= 0 {
		return ""
	}
	if s[end-1] == ',' {
		return s[end+1:]
	}
	ids, rest, _ := strings.Cut(s[end+1:], "), ")
	if !strings.HasPrefix(ids, "(") || strings.ContainsRune(ids, ' ') {
		return ""
	}
	return rest
}

// cutField takes "KEYVALUE, " off s; the value holds no space.
func cutField(s, key string) (value, rest string, ok bool) {
	rest, ok = strings.CutPrefix(s, key)
	if !ok {
		return "", s, false
	}
	end := strings.IndexByte(rest, ' ')
	if end <= 0 || rest[end-1] != ',' {
		return "", s, false
	}
	return rest[:end-1], rest[end+1:], true
}
