//go:build !race

package receiver

// scribble: see the race detector's.
const scribble = false
