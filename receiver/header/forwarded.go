package header

import "strings"

// What syslog daemons write in front of a message of another host. FreeBSD
// (usr.sbin/syslogd/syslogd.c) writes "Forwarded from HOST: ", AIX "Message
// forwarded from HOST: " or, with -s, "From HOST: ". A relay that takes the first
// words for host and tag leaves the rest: rsyslog and sysklogd.
var forwarders = []string{
	"Message forwarded from ", "Message forwarded: from ", "Forwarded from ", "Forwarded: from ",
	"forwarded from ", "forwarded: from ", "From ",
}

// cutForwarder reads "Message forwarded from HOST: " and its like.
func cutForwarder(s string) (host, rest string, ok bool) {
	for _, words := range forwarders {
		if behind, found := strings.CutPrefix(s, words); found {
			return cutOrigin(behind)
		}
	}
	for _, words := range []string{"from ", "from: "} { // "Forwarded" has been taken for the host
		if behind, found := strings.CutPrefix(s, words); found {
			if host, rest, ok = cutOrigin(behind); ok && hasPlainTag(rest) {
				return host, rest, true
			}
		}
	}
	return "", "", false
}

// cutOrigin reads "HOST: "; the space may be missing, and HOST may be an IPv6
// address.
func cutOrigin(s string) (host, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	if name, found := strings.CutSuffix(word, ":"); found && (strings.IndexByte(name, ':') < 0 || isAddress(name)) {
		return name, rest, name != "" && rest != ""
	}
	host, _, found := strings.Cut(word, ":")
	if !found || host == "" || isAddress(word) {
		return "", "", false
	}
	rest = s[len(host)+1:]
	return host, rest, rest != "" && rest[0] != ' '
}

// startsForwarded reports whether a message without a time begins with what a
// relay has left of such words.
func (p *Parser) startsForwarded(s string) bool {
	_, _, ok := cutForwarder(s)
	return ok
}

// settleForwarded looks at what was taken for a host and a tag without a PID.
func (p *Parser) settleForwarded(h *Header) error {
	rest, ok := h.cutForwarded()
	if !ok {
		p.settle(h)
		return nil
	}
	h.Relayed = true
	h.Tag, h.Text = "", ""
	return p.parseWords(rest, h)
}

// cutForwarded sets the host and returns what stands behind it if tag and text
// are what is left of a forwarder's words.
func (h *Header) cutForwarded() (rest string, ok bool) {
	host := ""
	switch {
	case h.Tag == "forwarded" || h.Tag == "Forwarded":
		behind, found := strings.CutPrefix(h.Text, "from ")
		if !found {
			return "", false
		}
		host, rest, ok = cutOrigin(behind)
	case h.Tag == "from" || h.Tag == "From":
		if host, rest, ok = cutOrigin(h.Text); ok && h.Host != "Forwarded" {
			ok = hasPlainTag(rest)
		}
	case h.Host == "From":
		host, rest, ok = h.Tag, h.Text, hasPlainTag(h.Text)
	}
	if ok {
		h.Host = host
	}
	return rest, ok
}

// setRepeats notes "last message repeated 3 times", which names neither host nor
// program. It is the text behind the tag "last" or "syslogd" or without a tag,
// or host, tag and text.
func (h *Header) setRepeats() {
	var n uint32
	switch h.Tag {
	case "message":
		if h.Host != "last" {
			return
		}
		if n = repeated(h.Text); n > 0 {
			h.Host = ""
		}
	case "last":
		if rest, ok := strings.CutPrefix(h.Text, "message "); ok {
			n = repeated(rest)
		}
		if n > 0 && h.Host == "---" {
			h.Host = ""
		}
	case "", "syslogd", "---":
		n = repeats(h.Text)
	}
	if n > 0 {
		h.Repeats, h.Withheld, h.Tag, h.PID = n, WithheldRepeats, "", 0
	}
}

// repeats reads "last message repeated N times"; 0 if s is anything else.
func repeats(s string) uint32 {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(s, "--- "), "last message ")
	if !ok {
		return 0
	}
	return repeated(rest)
}

// repeated reads "repeated N times"; sysklogd also writes "buffered".
func repeated(s string) uint32 {
	verb, rest, _ := strings.Cut(s, " ")
	count, rest, _ := strings.Cut(rest, " ")
	if verb != "repeated" && verb != "buffered" || !strings.HasPrefix(rest, "time") {
		return 0
	}
	return number(count)
}
