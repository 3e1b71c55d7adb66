// Package enforcer makes the kernel drop what it is told to drop: Blocks in,
// blocked packets out. It owns the list of what should be blocked until when,
// its ledger on disk (package ledger) and the nftables objects (package nft),
// and keeps the three in agreement whatever others do to the ruleset.
package enforcer
