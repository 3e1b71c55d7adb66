package sendmail

import "strings"

// unescape returns the byte that sendmail's str2prt (util.c) wrote at s[i] and
// how many bytes of s it takes: "\\", "\t", "\r", "\n" and "\ooo" are one byte.
func unescape(s string, i int) (c byte, width int) {
	c = s[i]
	if c != '\\' || i+1 >= len(s) {
		return c, 1
	}
	switch d := s[i+1]; d {
	case '\\':
		return '\\', 2
	case 't':
		return '\t', 2
	case 'r':
		return '\r', 2
	case 'n':
		return '\n', 2
	}
	if i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
		return (s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'), 4
	}
	return c, 1
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// pathEnd returns where the SMTP address at the start of s ends: at the first
// space outside of quotes, comments and angle brackets, as prescan
// (parseaddr.c) with delimiter ' ' sees it. It returns -1 if s ends before, or
// if a bracket closes that never opened, which prescan refuses.
//
// Whatever a client writes into an address stays before that space; whatever
// sendmail writes behind an address begins with it.
func pathEnd(s string) int {
	quoted, escaped := false, false
	comment, angle := 0, 0
	for i := 0; i < len(s); {
		c, width := s[i], 1
		if charClass[c]&plainChar != 0 {
			escaped = false
			i++
			continue
		}
		if c == '\\' {
			c, width = unescape(s, i)
		}
		if c == ' ' && !quoted && comment == 0 && angle == 0 {
			return i
		}
		i += width
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case quoted:
			quoted = c != '"'
		case c == '(':
			comment++
		case c == ')':
			if comment == 0 {
				return -1
			}
			comment--
		case comment > 0:
		case c == '"':
			quoted = true
		case c == '<':
			angle++
		case c == '>':
			if angle == 0 {
				return -1
			}
			angle--
		}
	}
	return -1
}

// maxEcho is MAXSHORTSTR (sendmail.h): an address of as many bytes or more is
// echoed as its first and last 100 with "..." between them (shortenstring).
const maxEcho = 203

// cutEcho takes from text, a reply, the address as the client wrote it (arg, as
// logged) and the "... " behind it. It returns text itself if the reply does
// not begin with exactly that: an unanchored search would let the client choose
// the reason of its own reject.
func cutEcho(text, arg string) string {
	if len(arg) < maxEcho {
		if rest, ok := strings.CutPrefix(text, arg); ok && strings.HasPrefix(rest, echoMark) {
			return rest[len(echoMark):]
		}
	}
	arg = withoutQuoting(arg)
	length := unescapedLen(arg)
	at := 0
	if length < maxEcho {
		at = matchEcho(text, arg, 0, length)
	} else {
		at = matchEcho(text, arg, 0, 100)
		if at >= 0 && strings.HasPrefix(text[at:], "...") {
			at += 3
			if tail := matchEcho(text[at:], arg, length-100, length); tail >= 0 {
				at += tail
			} else {
				at = -1
			}
		} else {
			at = -1
		}
	}
	if at < 0 || !strings.HasPrefix(text[at:], "... ") {
		return text
	}
	return text[at+len("... "):]
}

// withoutQuoting takes out the bytes 0xFF that a sendmail with USE_EAI puts before
// 0x80 to 0x9F within itself (METAQUOTE), and logs.
func withoutQuoting(arg string) string {
	if strings.IndexByte(arg, 0xff) < 0 && !strings.Contains(arg, `\377`) {
		return arg
	}
	var b strings.Builder
	for i := 0; i < len(arg); {
		c, width := unescape(arg, i)
		if next := i + width; c == 0xff && next < len(arg) {
			if quoted, _ := unescape(arg, next); quoted >= 0x80 && quoted < 0xa0 {
				i = next
				continue
			}
		}
		b.WriteString(arg[i : i+width])
		i += width
	}
	return b.String()
}

// unescapedLen returns how many bytes s was before str2prt wrote it.
func unescapedLen(s string) (n int) {
	if strings.IndexByte(s, '\\') < 0 {
		return len(s)
	}
	for i := 0; i < len(s); n++ {
		_, width := unescape(s, i)
		i += width
	}
	return n
}

// matchEcho compares text with the bytes from to to of arg, counted unescaped;
// the echo has lost the eighth bit. It returns the length matched, -1 if none.
func matchEcho(text, arg string, from, to int) int {
	at := 0
	for i, n := 0, 0; i < len(arg) && n < to; n++ {
		want, width := unescape(arg, i)
		i += width
		if n < from {
			continue
		}
		if at >= len(text) {
			return -1
		}
		got, width := unescape(text, at)
		if got&0x7f != want&0x7f {
			return -1
		}
		at += width
	}
	return at
}
