//go:build !race

package receiver

// raceEnabled says that this is the race detector's binary, several times
// slower than the real one.
const raceEnabled = false
