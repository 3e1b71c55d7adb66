package sendmail

import (
	"fmt"
	"net/netip"
	"strings"

	"uppercut/detector/offence"
)

// TextReason maps an administrator's own reject text to a reason.
type TextReason struct {
	// Text is the whole reject text after "NNN X.Y.Z [ADDRESS... ]", as sendmail
	// logs it. {client} in it stands for the client's address, as
	// $&{client_addr} writes it.
	Text string `mapstructure:"text"`
	// Reason is the name of the reason.
	Reason string `mapstructure:"reason"`
}

// clientMark stands for the client's address in a TextReason.
const clientMark = "{client}"

// texts are the administrator's own: whole ones, and patterns.
type texts struct {
	whole    map[string]offence.Reason
	patterns []pattern
}

// pattern is a text between whose pieces the client's address stands.
type pattern struct {
	pieces []string // at least two
	reason offence.Reason
}

// newTexts refuses an empty or repeated text and an unknown reason, with an error
// that begins with the entry's index.
func newTexts(list []TextReason) (texts, error) {
	t := texts{whole: make(map[string]offence.Reason, len(list))}
	seen := make(map[string]bool, len(list))
	for i, entry := range list {
		reason, known := offence.ParseReason(entry.Reason)
		switch {
		case strings.TrimSpace(entry.Text) == "":
			return t, fmt.Errorf("[%d].text: must not be empty", i)
		case !known:
			return t, fmt.Errorf("[%d].reason: unknown reason %q", i, entry.Reason)
		case seen[entry.Text]:
			return t, fmt.Errorf("[%d].text: %q is listed twice", i, entry.Text)
		}
		seen[entry.Text] = true
		if pieces := strings.Split(entry.Text, clientMark); len(pieces) > 1 {
			t.patterns = append(t.patterns, pattern{pieces, reason})
		} else {
			t.whole[entry.Text] = reason
		}
	}
	return t, nil
}

// reason returns that of a text about a client; the address is invalid where the
// line names none, and then any will do.
func (t *texts) reason(text string, client netip.Addr) (offence.Reason, bool) {
	if r, ok := t.whole[text]; ok {
		return r, true
	}
	for i := range t.patterns {
		if p := &t.patterns[i]; p.match(text, client) {
			return p.reason, true
		}
	}
	return offence.ReasonNone, false
}

func (p *pattern) match(text string, client netip.Addr) bool {
	text, ok := strings.CutPrefix(text, p.pieces[0])
	for _, piece := range p.pieces[1:] {
		if !ok {
			return false
		}
		n := addrLength(text)
		if last := strings.TrimRight(text[:n], ".:"); !isAddr(text[:n], client) && isAddr(last, client) {
			n = len(last) // the end of a sentence
		} else if !isAddr(text[:n], client) {
			return false
		}
		text, ok = strings.CutPrefix(text[n:], piece)
	}
	return ok && text == ""
}

// isAddr says whether s is an address, and that of the client if that is known.
func isAddr(s string, client netip.Addr) bool {
	addr := barePeer(s)
	return addr.IsValid() && (!client.IsValid() || addr == client)
}

// addrLength returns how many bytes at the start of s can be an address.
func addrLength(s string) int {
	const v6 = "IPv6:"
	n := 0
	if strings.HasPrefix(s, v6) {
		n = len(v6)
	}
	for n < len(s) && charClass[s[n]]&hexChar != 0 {
		n++
	}
	return n
}

// NeverMatches says why no text that sendmail logs can be this one, "" if one
// can.
func (t TextReason) NeverMatches() string {
	s := t.Text
	rest := strings.ReplaceAll(s, clientMark, "")
	code, enhanced, text := cutReply(s)
	switch {
	case text != s || enhanced != "" || code != '5':
		return "it begins with a reply code, which does not belong to the text"
	case s != strings.TrimSpace(s):
		return "it begins or ends with a space"
	case len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"':
		return "sendmail takes off the quotes"
	case strings.ContainsRune(s, '*'):
		return "* stands for itself; " + clientMark + " stands for the client's address"
	case strings.Contains(rest, "$&{"), strings.Contains(rest, "${"):
		return "sendmail logs the value of a macro and not its name; " + clientMark + " stands for the client's address"
	case strings.ContainsAny(rest, "{}"):
		return "of what stands in braces only " + clientMark + " is known"
	case strings.Contains(s, clientMark+clientMark):
		return "two addresses cannot stand together"
	case s[0] == '<' && strings.Contains(s, echoMark):
		return "the address before \"" + echoMark + "\" does not belong to the text"
	}
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return "sendmail logs printable ASCII only"
	}
	return ""
}
