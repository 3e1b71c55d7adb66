// Package ledger keeps on disk what must survive a restart: the blocks in
// force, the history of recent ones with their evidence, the allow list made
// by hand, and the audit log of what operators did.
//
// A Batch is written as a whole or not at all, and is on the disk when Commit
// returns. The file is a bbolt database, which is nobody else's business: no
// type of it shows here, so that another store can take its place.
//
// All methods are safe for concurrent use; Commit by one at a time.
package ledger
