package sendmail

import "strings"

const masked = "***"

// secret is a place in a line where a user name, a password or base64 stands:
// behind head and then key, up to the last end, or to the end of the line.
type secret struct{ head, key, end string }

var secrets = [...]secret{
	{"AUTH failure (", ", user=", relayKey},
	{"AUTH failure (", " user: ", " property: "},
	{"AUTH decode64 error [", "for ", `], relay=`},
	{"AUTH encode64 error [", "for ", `], relay=`},
	{"AUTH=server, relay=", ", authid=", ", mech="},
	{"ruleset=trust_auth, arg1", "=", relayKey},
	{`auth="`, "", `" `},
}

// commands precede a client's command line, at LogLevel 15 and elsewhere.
var commands = [...]string{"<-- ", "ruleset=check_other, arg1=", `Sending "`}

// Mask returns text with AUTH user names, passwords and base64 replaced. It is
// idempotent and returns text itself when there is nothing to mask.
func Mask(text string) string {
	if strings.Contains(text, "AUTH") || strings.Contains(text, "auth") {
		for i := range secrets {
			text = secrets[i].mask(text)
		}
	}
	start := text[:min(len(text), maxHead)]
	for _, head := range commands {
		if i := strings.Index(start, head); i >= 0 {
			text = maskCommand(text, i+len(head), head[0] == '<')
		}
	}
	if i := strings.Index(start, "--- 334 "); i >= 0 {
		text = replaceSecret(text, i+len("--- 334 "), len(text))
	}
	return maskUsers(text)
}

// maxHead is how far from the start of a line a command line can begin: behind
// "message repeated", the queue id and the words of its form.
const maxHead = 120

func (s *secret) mask(text string) string {
	from := strings.Index(text, s.head)
	if from < 0 {
		return text
	}
	from += len(s.head)
	key := strings.Index(text[from:], s.key)
	if key < 0 {
		return text
	}
	from += key + len(s.key)
	to := len(text)
	if i := strings.LastIndex(text[from:], s.end); i >= 0 {
		to = from + i
	}
	return replaceSecret(text, from, to)
}

// maskCommand masks the initial response of an AUTH command that begins at
// from. In a dialogue a line that is no command is a response as well.
func maskCommand(text string, from int, dialogue bool) string {
	word, rest, _ := strings.Cut(text[from:], " ")
	switch {
	case strings.EqualFold(word, "AUTH"):
		mechanism, _, ok := strings.Cut(rest, " ")
		if ok {
			return replaceSecret(text, from+len(word)+1+len(mechanism)+1, len(text))
		}
	case dialogue && !isCommand(word):
		return replaceSecret(text, from, len(text))
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
