// Package feed hands the block list to other firewalls: as the read side of
// CrowdSec's local API, which its bouncers ask, and as plain lists in text and
// JSON, and as files for rbldnsd, which mail servers ask by DNS.
//
// It keeps a copy of the list (mirror) and follows the enforcer from a goroutine
// of its own, so that no client ever holds a lock of the enforcer: however slow,
// many or hostile clients are, a block does not wait for them. Answers are written
// piece by piece from the copy; no lock is held while a client takes one.
//
// New binds the socket and starts nothing; Run follows and serves until its
// context ends.
package feed
