//go:build !race

package detector

// sprayShare is the part of a spray that is played: all of it.
const sprayShare = 1
