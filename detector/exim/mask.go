package exim

import "strings"

const masked = "***"

// Mask returns text without user names and what AUTH commands carry. It is
// idempotent and returns text itself when there is nothing to mask.
func Mask(text string) string {
	if at := strings.Index(text, "(set_id="); at >= 0 && strings.Contains(text[:at], " authenticator failed for ") {
		return replace(text, at+len("(set_id="), len(text))
	}
	for _, start := range [...]string{` in "`, `rejected "`, `last command was "`, `last was "`, `input="`} {
		if at := strings.Index(text, start); at >= 0 {
			text = maskAuth(text, at+len(start))
		}
	}
	return text
}

// maskAuth masks the response of an AUTH command that begins at from, up to the
// words that follow a command or to the end of the line.
func maskAuth(text string, from int) string {
	word, rest, _ := strings.Cut(text[from:], " ")
	if !strings.EqualFold(word, "AUTH") {
		return text
	}
	mechanism, response, ok := strings.Cut(rest, " ")
	if !ok || strings.HasSuffix(mechanism, `"`) {
		return text
	}
	at := len(text) - len(response)
	to := len(text)
	if end := strings.LastIndex(response, `" H=`); end >= 0 {
		to = at + end
	}
	return replace(text, at, to)
}

// Mask is the reader's.
func (Program) Mask(text string) string { return Mask(text) }

func replace(text string, from, to int) string {
	if from >= to || text[from:to] == masked {
		return text
	}
	return text[:from] + masked + text[to:]
}
