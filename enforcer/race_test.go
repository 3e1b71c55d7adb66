//go:build race || emulated

package enforcer

// slack is how much longer things may take under the race detector, or on an emulated machine (deploy/kernels).
const slack = 30

// large is a large number of blocks.
const large = 10_000
