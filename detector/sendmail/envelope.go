package sendmail

import (
	"net/netip"
	"strings"

	"uppercut/detector/offence"
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
// is a value that walks as one SMTP address, or is 200 bytes of one, and is
// followed by the numbers.
func readFrom(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "from=")
	if !ok {
		return false
	}
	end := senderEnd(s)
	if end < 0 {
		return false
	}
	value, s := s[:end], s[end+len(", "):]
	size, s, ok := readNumberField(s, "size=")
	if !ok {
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
	rec.Kind, rec.Recipients, rec.NullSender = offence.LineFrom, recipients, value == "<>"
	rec.tail = len(rec.Body) - len(rest)
	envelopeClient(rest, size, rec)
	return true
}

// maxSender is where sendmail cuts the sender (%.200s), maxMessageID where it
// cuts the message id.
const (
	maxSender    = 200
	maxMessageID = 100
)

// senderEnd returns where ", " follows the sender at the start of s, -1 if it
// does not. A sender that was cut within quotes, a comment or brackets is as long
// as can be.
func senderEnd(s string) int {
	end := pathEnd(s)
	if end > 0 && (end <= maxSender || unescapedLen(s[:end-1]) <= maxSender) {
		if s[end-1] != ',' {
			return -1
		}
		return end - 1
	}
	if cut := unescapedPrefix(s, maxSender); cut > 0 && strings.HasPrefix(s[cut:], ", size=") {
		return cut
	}
	return -1
}

// envelopeClient takes the client from the end of an envelope record of a message
// of size bytes.
func envelopeClient(s string, size uint32, rec *Record) {
	client, ok := strings.CutPrefix(s, relayKey[len(", "):])
	if i := lastRelayKey(s); i >= 0 {
		client, ok = s[i+len(relayKey):], true
		if id, hasID := strings.CutPrefix(s[:i], "msgid="); hasID {
			rec.Proof = messageIDProof(id, len(s)-i, int(size))
		}
	}
	switch {
	case !ok:
		rec.torn = true
	case isLocal(client):
		rec.Local = true
	default:
		rec.Addr = wholeRelay(client)
		rec.torn = isTorn(client)
	}
}

// messageIDProof says what the client rests on that stands behind a message id,
// with which s begins; tail is how long the line goes on behind s. The id is the
// client's text and may imitate the rest of a line that was cut within it. It
// cannot reach to the end of a line that is longer than an id can be, nor than the
// message itself allows.
func messageIDProof(s string, tail, size int) Proof {
	const around = len("Message-Id:") + len("\n")
	length := unescapedLen(s)
	if length+tail > maxMessageID {
		return ProofOwn
	}
	id := cutSessionFields(s)
	if len(id) < len(s) && unescapedLen(id)+around <= size && size < length+tail+around {
		return ProofOwn
	}
	return ProofWhole
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
	rec.Kind = offence.LineTo
	stat := strings.Index(s, ", stat=")
	if rec.tail = len(rec.Body) - len(s) + stat; stat < 0 || strings.Contains(s[stat+1:], ", stat=") {
		rec.tail = 0
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
