package terminal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Plural is n and the word, which takes an s unless n is 1: 1,234 lines.
func Plural(n uint64, word string) string {
	if n != 1 {
		word += "s"
	}
	return Grouped(n) + " " + word
}

// Grouped writes n with commas: 1,234,567.
func Grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Shortened cuts s to n bytes at a rune's border, and makes it printable.
func Shortened(s string, n int) string {
	s = strings.Map(printable, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// printable keeps terminals safe from what a log may hold.
func printable(r rune) rune {
	if !strconv.IsPrint(r) {
		return '.'
	}
	return r
}
