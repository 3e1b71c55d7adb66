package receiver

import (
	"net/netip"
	"time"

	"uppercut/receiver/header"
)

// Transport says how a message came in. Its String is a metric label.
type Transport uint8

// The transports, in the order of the listeners in Config.
const (
	UDP Transport = iota
	TCP
	TLS
	RELP
	Unix
)

func (t Transport) String() string {
	return [...]string{"udp", "tcp", "tls", "relp", "unix"}[t]
}

// Message is one syslog message. Strings share the memory of a whole read, which
// is used again when the batch is released (see Handler): a consumer that keeps
// one for longer than it takes to judge the message clones it.
type Message struct {
	// Sender identifies who sent the message: the name in the client
	// certificate with mutual TLS, the peer's address in canonical form
	// otherwise, "unix" for the local socket. It is never taken from the
	// message itself.
	Sender string
	// Addr is the sender's address; invalid for the local socket.
	Addr netip.Addr
	// Transport is how the message came in.
	Transport Transport
	// Received is when the message was taken off the wire.
	Received time.Time
	// Size is how long the frame was when it came, in bytes, with what stands
	// behind the text and without what frames it on a stream.
	Size int
	// Header is what the message says of itself. Its Cut is also set if the
	// receiver has cut the message at Config.MaxMessageSize.
	header.Header
}
