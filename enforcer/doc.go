// Package enforcer makes the kernel drop what it is told to drop: Blocks in,
// blocked packets out. It owns the list of what should be blocked until when,
// its ledger on disk (package ledger) and the nftables objects (package nft),
// and keeps the three in agreement whatever others do to the ruleset.
//
// # Ownership
//
// One goroutine, that of Run, changes the list and writes the kernel. Block and
// the orders of operators reach it through a queue that merges blocks by
// prefix. When some thousands wait, whoever asks for one more waits, too; orders
// never do, and none of either is lost. Readers (Lookup,
// Blocks, metrics) take a read lock for moments; nothing holds it while it
// talks to the kernel or the disk. A second goroutine writes the ledger, a
// third hears what others do to the ruleset.
//
// # The way of a block
//
// Queue, Options.Exempt, list, kernel, ledger, log. The first block goes at
// once; what comes while the kernel is busy makes the next batch, up to 1,000
// elements a transaction. The ledger commits in groups in the same manner: a
// crash loses at most what came in while the disk was writing the last group.
// What was logged as blocked, acknowledged to an operator or reported by
// Flushed is on the disk.
//
// # What the kernel holds
//
// The list is what should be, and may be ahead of the kernel: a write that
// fails leaves it as it is, and the whole is written again, with back-off,
// until the kernel takes it. Addresses are elements of hash sets. Networks, one
// within the other and with exempt holes, become disjoint intervals in which
// each address has the longest time of all its blocks. Elements carry their
// remaining time, so the kernel lets go by itself, and the blocks outlive us.
//
// Connections that a flowtable forwards do not come to the prerouting chain: while
// there are flowtables, the same rules stand at ingress of their devices as well.
//
// # The proof
//
// Announcements of the kernel name what others change; the generation number
// of the ruleset, asked for twice a second, tells of changes that were not
// announced; single elements are asked for at a steady pace. No large set is
// ever listed. A difference is put right at once: single elements one by one,
// anything else by replacing the table in one transaction, so that at no time
// less is in force than before.
package enforcer
