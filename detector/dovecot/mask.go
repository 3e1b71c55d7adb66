package dovecot

import "strings"

const masked = "***"

// Mask returns text with user names replaced: some are passwords, typed into the
// wrong field. It is idempotent and returns text itself when there is nothing to
// mask.
func Mask(text string) string {
	if at := strings.Index(text, "user=<"); at >= 0 {
		from := at + len("user=<")
		to := strings.LastIndex(text[from:], ripKey)
		if to < 0 {
			return replace(text, from, len(text))
		}
		to += from
		if end := strings.LastIndex(text[from:to], ">"); end >= 0 {
			to = from + end
		}
		return replace(text, from, to)
	}
	if at := strings.Index(text, "(username: "); at >= 0 {
		return replace(text, at+len("(username: "), len(text))
	}
	return text
}

// Mask is the reader's.
func (Program) Mask(text string) string { return Mask(text) }

func replace(text string, from, to int) string {
	if from >= to || text[from:to] == masked {
		return text
	}
	return text[:from] + masked + text[to:]
}
