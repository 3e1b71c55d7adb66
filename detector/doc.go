// Package detector judges: Lines in, Verdicts out. It owns duplicates, the time
// of a line, session memory (package sendmail), windows, rules and guards.
//
// It is pure: no I/O, no goroutine, no clock. Time comes with the line or as an
// argument, so a replay of last month's logs and a live stream run the same
// code. A Detector belongs to one goroutine.
package detector
