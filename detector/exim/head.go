package exim

import "strings"

// cutTime takes "2026-11-30 13:54:42[.123][ +0100] " off s: syslog_timestamp and
// files have it.
func cutTime(s string) string {
	const form = "0000-00-00 00:00:00"
	if len(s) <= len(form) {
		return s
	}
	for i := range len(form) {
		if digit := s[i] >= '0' && s[i] <= '9'; form[i] == '0' && !digit || form[i] != '0' && s[i] != form[i] {
			return s
		}
	}
	rest := s[len(form):]
	if rest[0] == '.' {
		rest = rest[1:]
		for rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			rest = rest[1:]
		}
	}
	if len(rest) > len(" +0100") && rest[0] == ' ' && (rest[1] == '+' || rest[1] == '-') && digits(rest[2:6]) {
		rest = rest[len(" +0100"):]
	}
	return strings.TrimPrefix(rest, " ")
}

// cutPID takes "[PID] " off s, which the selector pid has written.
func cutPID(s string) string {
	if s == "" || s[0] != '[' {
		return s
	}
	number, rest, ok := strings.Cut(s[1:], "] ")
	if !ok || !digits(number) || len(number) > 10 {
		return s
	}
	return rest
}

// cutID takes a message id off s: 1tAbCd-0001Tj-0A, since 4.97
// 1tAbCd-000000001Tj-0aBc.
func cutID(s string) string {
	for _, form := range [...]struct{ middle, last int }{{11, 4}, {6, 2}} {
		n := 6 + 1 + form.middle + 1 + form.last
		if len(s) > n && s[n] == ' ' && s[6] == '-' && s[7+form.middle] == '-' &&
			alnum(s[:6]) && alnum(s[7:7+form.middle]) && alnum(s[n-form.last:n]) {
			return s[n+1:]
		}
	}
	return s
}

// isPart tells whether a line is a part of one that was split for syslog:
// "[1/14] ", "[1\14] ".
func isPart(s string) bool {
	if s == "" || s[0] != '[' {
		return false
	}
	part, _, ok := strings.Cut(s[1:], "]")
	if !ok || len(part) > 16 {
		return false
	}
	i := strings.IndexAny(part, `/\`)
	return i > 0 && digits(part[:i]) && digits(part[i+1:])
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func alnum(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
