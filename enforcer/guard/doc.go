// Package guard knows who must never be blocked: the gateway's own addresses,
// the next hops of its routes (not the networks behind them), its resolvers,
// the mail hosts that log to it, whoever is connected to its sshd, ranges that
// are nobody on the Internet, and the operator's allow list.
//
// # Ownership
//
// Each kind of exemption is a layer: an immutable prefix table. A snapshot of
// all layers hangs on an atomic pointer, so Exempt reads without a lock and
// never waits. Whoever learns something new (the kernel watcher, the poller of
// ssh peers and files, the resolver, a caller of Allow or AddSender) builds a
// new table for that layer alone, puts it into a new snapshot and reports what
// became exempt to Options.OnChange and what has left the allow list to
// Options.OnEnd.
//
// # Freshness
//
// What is safe to do at once is done at once, and what is not may take a
// while: an exemption begins with the kernel's event, the DNS answer or the
// look at the socket table (once a second); it ends with the next complete
// reading. So a lost event or a half-written file can only keep somebody exempt
// for too long, never too short.
//
// # Order of ending
//
// New reads everything once and starts nothing. Run starts the watchers and
// returns when the last of them has ended. Exempt answers before, while and
// after Run runs.
package guard
