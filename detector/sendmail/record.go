package sendmail

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strings"

	"uppercut/detector/offence"
)

// Record is what one line says by itself. Strings in it share the line's
// memory.
type Record struct {
	// Addr is the address that the line itself names as the client's, where
	// sendmail names it; invalid if none. Proof says what it takes to be the
	// client's. For LineTo it is the host that took the message from ours.
	Addr netip.Addr
	// QID is the queue id, "" for NOQUEUE and for lines without one.
	QID string
	// Text is the whole text that was parsed, unmasked.
	Text string
	// Body is Text behind "message repeated" and the queue id.
	Body string
	// User is the AUTH user name as logged; a Memory keeps no more of it than
	// a hash.
	User string
	// PID is the process id within QID, 0 if there is no QID.
	PID uint32
	// Count is the N of "message repeated N times", else 1.
	Count uint32
	// Recipients is the number of accepted recipients of a LineFrom.
	Recipients uint32
	// Part numbers the parts of a split line from 1, 0 for a whole line.
	Part uint16
	Kind offence.LineKind
	// Proof is about Addr and Local.
	Proof Proof
	// Reason is the class of an offence, ReasonNone if the line is none.
	Reason offence.Reason
	// Ruleset is the one that gave the reply of a LineReject, RulesetNone if
	// none did or there was no reply (a discard, a quarantine).
	Ruleset Ruleset
	// More: further parts follow this LinePart.
	More bool
	// Begins: the line can only be the first of its session that tells a
	// client. Ends: no mail follows.
	Begins, Ends bool
	// Local: the session has no remote client.
	Local bool
	// Temporary: the client got a 4xx reply.
	Temporary bool
	// NullSender: the envelope sender is <>.
	NullSender bool
	// Delivered: a LineTo with stat=Sent. Taken: one that shows the message
	// to have been queued or handed to a mailer, so it had been accepted.
	Delivered, Taken bool
	// Joined: the line was put together from parts.
	Joined bool
	// InSession: the offence counts only if the process that logged it is the
	// one of the queue id, and not one that delivers.
	InSession bool

	// began is the time in QID, transaction what tells the transactions of a
	// process apart. A Memory goes by these and leaves the text alone: its
	// goroutine would be the second to fetch it from memory.
	began       uint64
	transaction [2]byte
	// ownReply: the text of the reply can only be that of a ruleset. torn: the
	// end that such a line has is missing.
	ownReply, torn bool
	// tail is where in the body the text begins that may still be the end of
	// another line than it looks like.
	tail int
	// tellsTwice: a ruleset that refuses the same command logs it once more.
	tellsTwice bool
	// mask is that of the program that wrote the line, nil for sendmail.
	mask func(string) string
}

// Of makes a Record of a line of another program. Its sessions are those of its
// processes, too, or of each client of a process; pid is the process. mask takes the
// secrets out of a line of that program.
func Of(r *offence.Record, pid uint32, text string, mask func(string) string) Record {
	rec := Record{
		Text: text, Body: text, Addr: r.Addr, User: r.User, Count: max(1, r.Count),
		Kind: r.Kind, Reason: r.Reason, Begins: r.Begins, Temporary: r.Temporary, mask: mask,
	}
	switch {
	case r.AtEnd && !r.Long && len(r.User) <= maxUser:
		rec.Proof = ProofShort
	case r.AtEnd:
		rec.Proof = ProofWhole
	}
	switch {
	case !rec.Addr.IsValid():
	case rec.Addr.IsLoopback() || rec.Addr.IsUnspecified():
		rec.Addr, rec.Local = noAddr, true
	case r.PerClient:
		rec.PID = clientPID(pid, rec.Addr)
	}
	return rec
}

// clientPID stands for a client of a process where a PID is expected, and is never
// 0. Nobody can aim for that of another client.
func clientPID(pid uint32, addr netip.Addr) uint32 {
	b := addr.As16()
	return uint32(maphash.Bytes(hostSeed, b[:])) ^ pid | 1
}

// Parser reads lines. It is immutable after New and safe for concurrent use.
type Parser struct {
	texts texts
}

// NewParser returns a Parser with the administrator's own reject texts. They
// go before the built-in ones. It refuses an empty or repeated text and an
// unknown reason, with an error that begins with the entry's index.
func NewParser(list []TextReason) (*Parser, error) {
	t, err := newTexts(list)
	if err != nil {
		return nil, err
	}
	return &Parser{texts: t}, nil
}

// Parse reads the text behind "TAG[PID]: " into rec, overwriting it.
func (p *Parser) Parse(text string, rec *Record) {
	*rec = Record{Text: text}
	body, count := offence.Repeated(cutMessageID(strings.TrimLeft(text, " ")))
	rec.Count = count
	body = cutID(body, rec)
	rec.began, rec.transaction = idTime(rec.QID), idTransaction(rec.QID)
	rec.Body = body
	if rec.Part != 0 {
		rec.Kind = offence.LinePart
		rec.More = strings.HasSuffix(body, partMark)
		return
	}
	p.body(body, rec)
	if rec.Addr.IsValid() && (rec.Addr.IsLoopback() || rec.Addr.IsUnspecified()) {
		rec.Addr, rec.Local, rec.Delivered = noAddr, true, false
	}
}

// cutMessageID takes off "[ID NNNNNN facility.level] ", which Solaris writes
// before each message.
func cutMessageID(s string) string {
	rest, ok := strings.CutPrefix(s, "[ID ")
	if !ok {
		return s
	}
	if end := strings.Index(rest, "] "); end > 0 && end < 40 {
		return rest[end+2:]
	}
	return s
}

// partMark ends every part of a split line but the last (sm_syslog, conf.c).
const partMark = " ..."

// A queue id (assign_queueid, queue.c) is the second, in UTC, in which its
// process began, in six characters, the number of the transaction in two, and
// the process id in six digits or seven. Before 8.12.6 or so the number was one
// character and the process id five digits.
const (
	idTimeLen = 6
	idChars   = 8
	oldIDLen  = 12
	minIDLen  = 14
	maxIDLen  = 18
)

// idLength returns the length of the queue id at the start of s and its process
// id; 0 if there is none.
func idLength(s string) (length int, pid uint32) {
	n := idEnd(s)
	if n == 0 {
		return 0, 0
	}
	digits := idChars
	if n == oldIDLen {
		digits = oldIDLen - 5
	}
	for i := range digits {
		if charClass[s[i]]&alnumChar == 0 {
			return 0, 0
		}
	}
	for i := digits; i < n; i++ {
		c := s[i]
		if c < '0' || c > '9' || pid > 1<<27 {
			return 0, 0
		}
		pid = pid*10 + uint32(c-'0')
	}
	if pid == 0 {
		return 0, 0
	}
	return n, pid
}

// idTime packs the time of a queue id; 0 if there is no id.
func idTime(qid string) uint64 {
	if len(qid) < idChars {
		return 0
	}
	var b [8]byte
	copy(b[:], qid[:idTimeLen])
	return binary.LittleEndian.Uint64(b[:])
}

// idTransaction returns the characters that tell the transactions of a process
// apart.
func idTransaction(qid string) [2]byte {
	if len(qid) < idChars {
		return [2]byte{}
	}
	return [2]byte{qid[6], qid[7]}
}

// idEnd returns where the queue id at the start of s ends if there is one.
func idEnd(s string) int {
	for _, n := range [...]int{oldIDLen, minIDLen, minIDLen + 1, minIDLen + 2, minIDLen + 3, maxIDLen} {
		if n < len(s) && (s[n] == ':' || s[n] == '[') {
			return n
		}
	}
	return 0
}

// cutID takes "ID: ", "ID[n]: " or "[n]: " off s.
func cutID(s string, rec *Record) string {
	rest := s
	if n, pid := idLength(s); n > 0 {
		rec.QID, rec.PID, rest = s[:n], pid, s[n:]
	} else if after, ok := strings.CutPrefix(s, "NOQUEUE"); ok {
		rest = after
	} else if s == "" || s[0] != '[' {
		return s
	}
	if after, ok := strings.CutPrefix(rest, ": "); ok {
		return after
	}
	if part, after := cutPart(rest); part != 0 {
		rec.Part = part
		return after
	}
	rec.QID, rec.PID = "", 0
	return s
}

// cutPart takes "[n]: " off s; n is 1 to 999.
func cutPart(s string) (part uint16, rest string) {
	if s == "" || s[0] != '[' {
		return 0, s
	}
	n, rest := offence.Number(s[1:])
	rest, ok := strings.CutPrefix(rest, "]: ")
	if !ok || n == 0 || n > 999 {
		return 0, s
	}
	return uint16(n), rest
}
