//go:build !race && !emulated

package enforcer

// slack is how much longer things may take on a machine that is busy with
// other tests.
const slack = 5

// large is a large number of blocks.
const large = 100_000
