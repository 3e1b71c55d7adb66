// Package nft is the kernel's side of enforcement: one table with its chain,
// rules, counters and four sets, written in transactions and read back
// cheaply.
//
// Single IPv4 addresses and IPv6 networks of one chosen length (a /64) go into
// hash sets, where an addition costs the same in an empty set and in a set of
// a million. Every other prefix goes into an interval set, where it costs a
// walk, so those should stay in the tens of thousands. The caller keeps the
// prefixes of an interval set disjoint: the kernel refuses overlaps.
//
// The expressions and constants are google/nftables'. The messages are our
// own: its Conn builds five slices an element and waits for an answer to every
// message, and what is needed here is one transaction that replaces the rules
// and a million elements at once, single elements asked for by key, and the
// number of elements in a set, none of which it offers.
//
// Nothing here lists a large set: the kernel walks a set from its start for
// each buffer that it fills, 3.5 minutes for a million elements.
//
// A Firewall's methods are safe for concurrent use. Its sockets stay in the
// network namespace in which Open was called, or in Config.NetNS.
package nft
