//go:build race

package detector

// sprayShare is the part of a spray that is played: the race detector makes it
// ten times as slow.
const sprayShare = 20
