package sendmail

import "strings"

const masked = "***"

// secret is a place in a line where a user name, a password or base64 stands:
// behind head and then key, up to the last end, or to the end of the line.
type secret struct{ head, key, end string }

var secrets = [...]secret{
	{"AUTH failure (", ", user=", relayKey},
	{"AUTH decode64 error [", "for ", `], relay=`},
	{"AUTH=server, relay=", ", authid=", ", mech="},
	{"ruleset=trust_auth, arg1", "=", relayKey},
	{"AUTH PLAIN", " ", ""}, // command lines: LogLevel 15, check_other, milters
	{"AUTH LOGIN", " ", ""},
	{"AUTH CRAM-MD5", " ", ""},
	{"AUTH DIGEST-MD5", " ", ""},
}

// Mask returns text with AUTH user names, passwords and base64 replaced. It is
// idempotent and returns text itself when there is nothing to mask.
func Mask(text string) string {
	if containsFold(text, "auth") {
		for i := range secrets {
			text = secrets[i].mask(text)
		}
	}
	text = maskDialogue(text)
	return maskUsers(text)
}

func (s *secret) mask(text string) string {
	from := indexFold(text, s.head)
	if from < 0 {
		return text
	}
	from += len(s.head)
	key := strings.Index(text[from:], s.key)
	if key < 0 || s.end == "" && key > 0 {
		return text
	}
	from += key + len(s.key)
	to := len(text)
	if s.end != "" {
		if i := strings.LastIndex(text[from:], s.end); i >= 0 {
			to = from + i
		}
	}
	return replaceSecret(text, from, to)
}

// maskDialogue masks what LogLevel 15 logs of an AUTH exchange: a client's line
// that is no command, a server's challenge.
func maskDialogue(text string) string {
	for _, arrow := range [...]string{"<-- ", "--- 334 "} {
		i := strings.Index(text, arrow)
		if i < 0 || i > 64 {
			continue
		}
		from := i + len(arrow)
		if word, _, _ := strings.Cut(text[from:], " "); arrow[0] == '-' || !isCommand(word) {
			text = replaceSecret(text, from, len(text))
		}
	}
	return text
}

func isCommand(word string) bool {
	for _, c := range [...]string{
		"HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "HELP", "VRFY", "EXPN", "ETRN",
		"STARTTLS", "AUTH", "VERB", "BDAT", "SEND", "SAML", "SOML", "TURN",
	} {
		if strings.EqualFold(word, c) {
			return true
		}
	}
	return false
}

// maskUsers masks "user=NAME" of other programs' making.
func maskUsers(text string) string {
	const key = "user="
	for at := 0; ; {
		i := strings.Index(text[at:], key)
		if i < 0 {
			return text
		}
		from := at + i + len(key)
		if at+i > 0 && strings.IndexByte(" ,[(", text[at+i-1]) < 0 {
			at = from
			continue
		}
		to := len(text)
		if j := strings.IndexAny(text[from:], ",])"); j >= 0 {
			to = from + j
		}
		text = replaceSecret(text, from, to)
		at = from
	}
}

func replaceSecret(text string, from, to int) string {
	if from >= to || text[from:to] == masked {
		return text
	}
	return text[:from] + masked + text[to:]
}

func containsFold(s, lower string) bool { return indexFold(s, lower) >= 0 }

// indexFold is strings.Index without regard to the case of ASCII letters.
func indexFold(s, sub string) int {
	first := sub[0] | 0x20
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i]|0x20 == first && strings.EqualFold(s[i:i+len(sub)], sub) {
			return i
		}
	}
	return -1
}
