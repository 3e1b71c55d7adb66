// Package receiver takes syslog off the network: bytes in, Messages out. It
// knows sockets and framing, has package header read the syslog header, and knows
// nothing of mail.
//
// # What is read by whom
//
// The server of gopkg.in/mcuadros/go-syslog.v2 must not face a network: one
// malformed datagram ends the process, a silent TLS client stops all
// others, and a burst of 5,000 datagrams keeps 102. So the listeners and the
// split of the usual headers (RFC 3164, rsyslog's ForwardFormat, plain
// RFC 5424) are our own; the library's RFC 5424 parser reads messages with
// structured data and whatever else the fast path does not take, behind a
// recover. A test holds both to the same fields on what real senders wrote.
//
// # What a sender can rely on
//
// A stream that is cut while the receiver stops is half-closed and read to its
// end: rsyslog over TCP and TLS loses nothing. RELP acknowledges a message when
// the Handler's consumer says that it is judged and durable: nothing is lost
// even if the process is killed. What the kernel drops of datagrams is counted
// exactly.
//
// # What a sender cannot do
//
// Who is not listed is refused before a byte is read. No input ends the
// process, grows a connection's memory beyond one message, or closes another
// sender's connection: where room is needed, a connection that has not yet sent
// a readable message goes. A datagram is taken only from the interface over
// which the kernel would answer it.
//
// # Ownership and order of ending
//
// Each UDP and Unix socket is read by one goroutine, and each connection by one
// (RELP has a second, which writes answers). They call Options.Handle with
// batches whose strings share the memory of one read, which is used again when
// the batch is released. Handle may block: that is the back-pressure which a
// stream sender sees. The fleet, the door (limits) and the certificates are
// shared and have locks; none of them is held while Handle runs.
//
// When the context of Run ends, listeners first take what the kernel has queued
// for them, streams are half-closed, RELP sessions wait for what is not yet
// judged, and then Run returns. So the consumer must go on until Run has
// returned. Config.StopTimeout bounds all of it.
package receiver
