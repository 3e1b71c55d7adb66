package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

func plural(n uint64, word string) string {
	if n != 1 {
		word += "s"
	}
	return grouped(n) + " " + word
}

// grouped writes n with commas: 1,234,567.
func grouped(n uint64) string {
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

// shortened cuts s to n bytes at a rune's border, and makes it printable.
func shortened(s string, n int) string {
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
