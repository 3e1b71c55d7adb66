//go:build race

package receiver

// scribble says that a buffer is overwritten when it is released, so that tests
// under the race detector find whoever kept a string of it.
const scribble = true
