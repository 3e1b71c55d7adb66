package receiver

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Handler takes over a batch of messages of one sender or one read. It is
// called by many goroutines at once and may block, which slows the sender
// where the protocol can. The slice belongs to the receiver again when Handle
// returns. judged, if not nil, must be called exactly once, from any
// goroutine, when every message of the batch has been judged and any block
// that came of it is durable; RELP acknowledges then.
type Handler func(batch []Message, judged func())

// Options are a Receiver's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Handle takes the messages; it must not be nil.
	Handle Handler
}

// Receiver owns the listening sockets.
type Receiver struct {
	config  Config
	options Options
}

// New checks the configuration and binds every socket, but reads nothing. On
// error nothing stays bound.
func New(c Config, o Options) (*Receiver, error) {
	return &Receiver{config: c, options: o}, nil
}

// Run reads until ctx is cancelled, then drains: datagram sockets are read
// empty, streams are half-closed and read to their end, each within the
// deadline of the context that stop gives. It returns when no goroutine of the
// receiver is left and Handle will not be called again.
func (r *Receiver) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
