package enforcer

import (
	"context"
	"iter"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says how to enforce.
type Config struct {
}

// DefaultConfig returns what runs without a file.
func DefaultConfig() Config { return Config{} }

// Evidence is a log line that led to a block, secrets masked.
type Evidence struct {
	Time      time.Time `json:"time"`
	Sender    string    `json:"sender"`
	Host      string    `json:"host"`
	Transport string    `json:"transport"`
	Reason    string    `json:"reason"`
	Text      string    `json:"text"`
}

// Block is one entry of the list.
type Block struct {
	ID     uint64       `json:"id"` // given by the enforcer, unique in a ledger
	Prefix netip.Prefix `json:"prefix"`
	// At is when the offence happened or the operator spoke; Until when the
	// block ends.
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// Received is when the deciding line came in, for the latency metric;
	// zero for blocks by hand.
	Received time.Time `json:"received,omitzero"`
	// Rule is the rule that fired, "manual" for blocks by hand.
	Rule     string     `json:"rule"`
	Score    float64    `json:"score,omitzero"`
	Note     string     `json:"note,omitempty"`
	Author   string     `json:"author,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Options are an Enforcer's collaborators.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// StateDir is where the ledger lives.
	StateDir string
	// Observe: decide and record, but touch no firewall.
	Observe bool
	// Exempt says why a prefix must not be blocked, "" if it may be. nil
	// exempts nobody.
	Exempt func(netip.Prefix) (cause string)
}

// Enforcer owns the list. All methods are safe for concurrent use.
type Enforcer struct{}

// New opens the ledger and builds the firewall objects; every block that is
// still due is in the kernel when it returns.
func New(ctx context.Context, c Config, o Options) (*Enforcer, error) { return &Enforcer{}, nil }

// Run writes blocks to the kernel and the ledger until ctx is cancelled, then
// writes what is still waiting and returns. The kernel's blocks stay.
func (e *Enforcer) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Block asks for a block. It never waits and never loses: what arrives faster
// than the kernel takes it is merged by prefix.
func (e *Enforcer) Block(b Block) {}

// Flushed calls done, from any goroutine, once everything asked for before is
// in the kernel and in the ledger (or is known not to be writable).
func (e *Enforcer) Flushed(done func()) { done() }

// Unblock removes the blocks of exactly these prefixes; it returns those that
// were blocked, when they are gone from the kernel.
func (e *Enforcer) Unblock(ctx context.Context, author, note string, ps ...netip.Prefix) ([]netip.Prefix, error) {
	return nil, nil
}

// Lookup returns the block that covers a.
func (e *Enforcer) Lookup(a netip.Addr) (Block, bool) { return Block{}, false }

// Blocks yields every block in force, in no order; evidence is left out.
func (e *Enforcer) Blocks() iter.Seq[Block] { return func(func(Block) bool) {} }
