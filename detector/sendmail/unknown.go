package sendmail

import "strings"

// Shape is what lines of one kind have in common: the beginning of a line
// without its queue id, up to n bytes, each number as #.
func Shape(text string, n int) string { return string(AppendShape(nil, text, n)) }

// AppendShape appends the Shape of text to dst.
func AppendShape(dst []byte, text string, n int) []byte {
	if id, _ := idLength(text); id > 0 {
		text = text[id:]
	}
	digits := false
	for i, end := 0, len(dst)+n; i < len(text) && len(dst) < end; i++ {
		c := text[i]
		isDigit := c >= '0' && c <= '9'
		if !isDigit {
			dst = append(dst, c)
		} else if !digits {
			dst = append(dst, '#')
		}
		digits = isDigit
	}
	return dst
}

// MaskUnknown is Mask for lines of no known form, of whatever program: what may
// be a secret goes, wherever it stands. That is whatever follows an AUTH command
// and its mechanism, the value of what is called a password, and text that looks
// like base64. It is idempotent.
func MaskUnknown(text string) string {
	text = maskAuth(Mask(text))
	for _, key := range [...]string{"pass", "passwd", "password", "pwd", "secret", "token"} {
		text = maskValue(text, key)
	}
	return maskBase64(text)
}

// maskAuth masks all that stands behind "AUTH MECHANISM ".
func maskAuth(text string) string {
	const word = "auth "
	lower := asciiLower(text)
	for at := 0; ; {
		i := strings.Index(lower[at:], word)
		if i < 0 {
			return text
		}
		at += i + len(word)
		mechanism, rest, ok := strings.Cut(text[at:], " ")
		if !ok || rest == "" || !isMechanism(mechanism) || at > len(word) && isLetterOrDigit(text[at-len(word)-1]) {
			continue
		}
		return replaceSecret(text, at+len(mechanism)+1, len(text))
	}
}

// asciiLower returns s with the letters A to Z as small ones, byte by byte: text
// may be of any encoding.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// isMechanism tells the name of a SASL mechanism (RFC 4422, section 3.1), in
// either case.
func isMechanism(s string) bool {
	for i := range len(s) {
		if !isLetterOrDigit(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

func isLetterOrDigit(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// maskValue masks the value in "key=value", "key: value" and, in JSON, of
// "key".
func maskValue(text, key string) string {
	lower := asciiLower(text)
	for at := 0; ; {
		i := strings.Index(lower[at:], key)
		if i < 0 {
			return text
		}
		at += i + len(key)
		if at < len(text) && text[at] == '"' {
			at++
		}
		if at >= len(text) || text[at] != '=' && text[at] != ':' {
			continue
		}
		from := at + 1
		for from < len(text) && strings.IndexByte(` "'`, text[from]) >= 0 {
			from++
		}
		to := len(text)
		if j := strings.IndexAny(text[from:], ` ,;"')]`); j >= 0 {
			to = from + j
		}
		text, lower = replaceSecret(text, from, to), replaceSecret(lower, from, to)
	}
}

// leastBase64 is how long a text must be to be taken for base64: longer than a
// queue id.
const leastBase64 = 16

// maskBase64 masks words of the alphabet of base64 that are long, and either
// padded or of upper and lower case letters and digits.
func maskBase64(text string) string {
	for at := 0; at < len(text); {
		end := at
		var upper, lower, digit bool
		for end < len(text) && isBase64(text[end]) {
			c := text[end]
			upper, lower, digit = upper || c >= 'A' && c <= 'Z', lower || c >= 'a' && c <= 'z', digit || c <= '9'
			end++
		}
		size := end - at
		padding := 0
		for padding < 2 && end < len(text) && text[end] == '=' {
			end, padding = end+1, padding+1
		}
		if padding > 0 && size >= 8 && size%4 == 4-padding || size >= leastBase64 && upper && lower && digit {
			text = replaceSecret(text, at, end)
			end = at + len(masked)
		}
		at = max(end, at+1)
	}
	return text
}

func isBase64(c byte) bool { return isLetterOrDigit(c) || c == '+' || c == '/' }
