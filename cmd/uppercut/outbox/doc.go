// Package outbox tells other systems what happens: each block, unblock, guard
// and breaker goes to a webhook and to a syslog server, where there is one.
//
// Publish never waits. Each of the two sinks has a queue of its own, bounded,
// and a goroutine that empties it; what finds the queue full is dropped and
// counted, and so is what cannot be delivered in time. Delivery is at least
// once: a receiver tells repetitions apart by Event.ID.
//
// New starts nothing; Run delivers until its context ends, then what is in the
// queues for a few seconds more.
package outbox
