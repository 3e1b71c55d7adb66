// Package blocklist holds what should be blocked until when, and says what the
// kernel should hold of it: addresses as they are, and of networks, one within the
// other and with exempt holes, the disjoint pieces. It knows who overlaps whom,
// what has ended, who has to go from a full set, and finds blocks.
//
// It does no I/O, has no lock and no clock: whoever keeps a List locks it.
package blocklist
