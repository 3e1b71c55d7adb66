package postfix

import "strings"

const masked = "***"

// Mask returns text without the names that clients log in with, and without the
// commands that smtpd and postscreen did not understand: those can be passwords.
func (Program) Mask(text string) string {
	if i := strings.Index(text, "sasl_username="); i >= 0 {
		text = text[:i+len("sasl_username=")] + masked
	}
	for _, start := range [...]string{
		"warning: non-SMTP command from ", "improper command pipelining after ", "NON-SMTP COMMAND from ",
		"COMMAND PIPELINING from ", "PREGREET ",
	} {
		if !strings.HasPrefix(text, start) {
			continue
		}
		i := strings.IndexByte(text, ']')
		if j := strings.Index(text[max(i, 0):], ": "); i >= 0 && j >= 0 {
			return text[:i+j+2] + masked
		}
	}
	return text
}
