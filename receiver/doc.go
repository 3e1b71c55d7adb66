// Package receiver takes syslog off the network: bytes in, Messages out. It
// knows sockets, framing and the syslog header, and nothing of mail.
//
// # What is read by whom
//
// The server of gopkg.in/mcuadros/go-syslog.v2 must not face a network: one
// datagram such as "<13>" ends the process, a silent TLS client stops all
// others, and a burst of 5,000 datagrams keeps 102. So the listeners and the
// split of the usual headers (RFC 3164, rsyslog's ForwardFormat, plain
// RFC 5424) are our own; the library's RFC 5424 parser reads messages with
// structured data and whatever else the fast path does not take, behind a
// recover.
//
// # Ownership and order of ending
//
// Every listener reads on goroutines of its own and calls Options.Handle with
// batches. Handle may block: that is the back-pressure which a stream sender
// sees. Run starts everything and returns when everything has ended.
package receiver
