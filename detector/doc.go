// Package detector judges: Lines in, Verdicts out. It owns duplicates, the time
// of a line, session memory (package sendmail), windows, rules and guards.
//
// It is pure: no I/O, no goroutine, no clock. Time comes with the line or as an
// argument, so a replay of last month's logs and a live stream run the same
// code. A Detector belongs to one goroutine, all methods included; only its
// metrics are read by others. The functions in Options are called by that
// goroutine and must answer from memory. Who has two processors to spare can give
// its two halves, which read lines and judge what they say, a goroutine each
// (epoch.go); the verdicts are the same.
//
// # A line's way
//
// A Reader finds out by the tag which program wrote the line, and has it parsed
// (program.go). Observe drops what is of none, notes whether the sender has
// sent the line before (duplicates.go), finds out when it was written
// (clock.go), and lets the session memory say what it proves. Each event is
// then counted for its host and looked up among the sources (sources.go). A
// source that is blocked costs no more than that. Otherwise mail speaks for it
// (favour.go) and offences against it (windows.go), the breaker of the
// reporting host hears of both (breaker.go), and if a rule fires and nothing
// exempts the source, a Verdict is given at once or, above the ceiling of new
// blocks a minute, when its turn comes (verdicts.go, ceiling.go).
//
// # What counts
//
// Time is counted in whole seconds: an offence is in a window of ten minutes
// for as long as its second and the deciding one are less than 600 seconds
// apart. A score is a sum of twentieths of a point, so that the comparison with
// a rule's score is exact. A verdict's end is the second of the offence plus
// the duration.
//
// There are four kinds of reasons (reasons.go). What only an attacker does counts
// in full. Context counts only beside the rest, and for no more than the rest.
// What a relay can be made to do by whoever sends mail through it is weighed
// against mail accepted from the source or delivered to it, and an open breaker
// sets it aside. What says something about the client itself, but could be our
// mistake or that of a list, is excused in these ways for partners only. One
// session earns only so much by the last two.
//
// Offences that led to a block still count for as long as they are within a
// window: a short block does not wipe out what a longer window knows.
//
// # What it takes
//
// A source takes 64 bytes, two offences among them. The offences of a guiltier one
// and what speaks for a source take 12 bytes each, in blocks from one slab
// without pointers; both are bounded, 256 bytes a source in all.
// When a source has more than 64 offences two of them are merged, the oldest
// first; when memory gets short, 32, 16 or 8. When there are too many sources
// the least guilty is forgotten, and mail in favour of a source keeps it like
// guilt would. Lines of evidence live in a ring of fixed size.
package detector
