package console

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns s as it may be shown to people, on a terminal or a page:
// control characters, bytes that are no UTF-8, and characters that are not seen
// or that turn the direction of text are replaced by what they are, such as
// \x1b or \u202e. Logs are the attacker's text. A clean s is returned as it is.
func Visible(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !hidden(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// hidden says whether r must not reach a screen: controls (Cc), formats such
// as bidi marks and zero-width characters (Cf), line separators, private use,
// unassigned, blanks that are not a space, combining marks (which stack up
// over other lines) and what fills without being seen.
func hidden(r rune) bool {
	if r >= 0x20 && r < 0x7f {
		return false
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Mn, unicode.Me, unicode.Zs, unicode.Zl, unicode.Zp) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
