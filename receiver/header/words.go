package header

import (
	"net/netip"
	"strings"
)

// maxWords bounds the words in front of a tag.
const maxWords = 8

// parseWords reads what stands between the time and the text where it is not
// plainly "HOST TAG[PID]: ": names of hosts, what a syslog daemon writes in
// front of what it forwards, facility and severity, another header, and at last
// the tag, which may lack its PID and its colon.
func (p *Parser) parseWords(s string, h *Header) error {
	for range maxWords {
		s = strings.TrimLeft(s, " ")
		word, rest, _ := strings.Cut(s, " ")
		if word == "" || rest == "" && !isTag(word) {
			return ErrHeader
		}
		if done, err := p.parseInner(s, h); done {
			return err
		}
		switch host, behind, ok := cutForwarder(s); {
		case ok:
			h.Host, h.Relayed, s = host, true, behind
		case isFacility(word):
			if word[len(word)-1] == ':' && p.adopt(rest, "", h) { // socklog behind svlogd's time
				return nil
			}
			s = rest
		case isTag(word) && !isAddress(word):
			return p.setTag(s, h)
		case h.Host == "":
			h.setHost(word)
			s = rest
		case sameHost(h.Host, word) && hasTag(rest):
			s = rest
		case p.relay && hasPlainTag(rest):
			h.setHost(word)
			h.Relayed, h.Second, s = true, true, rest
		default:
			return p.setTag(s, h)
		}
	}
	return p.setTag(s, h)
}

// setHost takes a host's name from a header. Of a chain, "a/b", which syslog-ng
// writes, it is a.
func (h *Header) setHost(word string) {
	if first, _, chain := strings.Cut(word, "/"); chain && first != "" {
		word, h.Relayed = first, true
	}
	h.Host = word
}

// sameHost reports whether two names are those of one host: equal, or one with
// and one without its domain.
func sameHost(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.' && !isAddress(b))
}

// isAddress reports whether word is an IP address, perhaps in brackets.
func isAddress(word string) bool {
	if inner, ok := strings.CutPrefix(word, "["); ok {
		word = strings.TrimSuffix(inner, "]")
	}
	_, err := netip.ParseAddr(word)
	return err == nil
}

// isTag reports whether word is a tag and not the name of a host: a tag ends in
// a colon or has its PID in brackets. A host may be an address and so hold
// colons and start with a bracket.
func isTag(word string) bool {
	return len(word) > 1 && (word[len(word)-1] == ':' || strings.IndexByte(word, '[') > 0)
}

// hasTag reports whether s begins with a tag, or with what may stand before one.
func hasTag(s string) bool {
	word, _, _ := strings.Cut(strings.TrimLeft(s, " "), " ")
	return isTag(word) || isFacility(word)
}

// hasPlainTag reports whether s begins with "TAG[PID]: ", perhaps behind
// facility and severity.
func hasPlainTag(s string) bool {
	if word, rest, _ := strings.Cut(s, " "); isFacility(word) {
		s = rest
	}
	_, _, _, ok := cutTag(s)
	return ok
}

// setTag reads "TAG[PID]: TEXT"; PID and colon may be missing, and a tag that
// its sender cut at 32 characters may have lost the end of its PID.
func (p *Parser) setTag(s string, h *Header) error {
	h.setTag(s)
	if p.weekday { // journalctl -o with-unit
		h.Tag = strings.TrimSuffix(h.Tag, ".service")
	}
	if h.PID == 0 {
		return p.settleForwarded(h)
	}
	p.settle(h)
	return nil
}

func (h *Header) setTag(s string) {
	end := 0
	for end < len(s) && s[end] != ' ' && s[end] != ':' && s[end] != '[' {
		end++
	}
	h.Tag, h.PID = s[:end], 0
	rest := s[end:]
	if rest != "" && rest[0] == '[' {
		rest = h.setPID(rest)
	}
	if rest != "" && rest[0] == ':' {
		rest = rest[1:]
	}
	h.Text = strings.TrimLeft(rest, " ")
}

// setPID reads "[PID]" and returns what follows.
func (h *Header) setPID(s string) string {
	for i := 1; i < len(s) && s[i] != ' '; i++ {
		if s[i] == ']' {
			h.PID = number(s[1:i])
			return s[i+1:]
		}
	}
	_, rest, _ := strings.Cut(s, " ")
	return rest
}

// isFacility reports whether word is facility and severity as syslog daemons
// write them into files: "mail:info" (AIX), "mail.info" (busybox), "mail.info:"
// (socklog), "<mail.info>" and "<2.6>" (FreeBSD). No host is called so.
func isFacility(word string) bool {
	if inner, ok := strings.CutPrefix(word, "<"); ok {
		if word, ok = strings.CutSuffix(inner, ">"); !ok {
			return false
		}
		if facility, severity, ok := strings.Cut(word, "."); ok && isNumber(facility) && isNumber(severity) {
			return true
		}
	}
	word = strings.TrimSuffix(word, ":")
	i := strings.IndexAny(word, ".:")
	return i > 0 && isSeverity(word[i+1:]) && isFacilityName(word[:i])
}

func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// isSeverity knows the names of RFC 5424, section 6.2.1, as syslog.h has them.
func isSeverity(s string) bool {
	switch s {
	case "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "panic", "error", "warn", "none":
		return true
	}
	return false
}

// isFacilityName knows the names of syslog.h of Linux, the BSDs, Solaris and AIX.
func isFacilityName(s string) bool {
	switch s {
	case "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "security", "audit", "console", "caa", "aso", "alert", "mark", "local":
		return true
	}
	return len(s) == len("local0") && s[:5] == "local" && isDigit(s[5])
}
