package blocklist

import (
	"math"
	"net/netip"
	"time"
)

// Manual is the rule of blocks by hand.
const Manual = "manual"

// Listed is the rule of the blocks that a block list asks for: they have no end,
// are not in the ledger, since the list is, and make no room for themselves.
const Listed = "blocklist"

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
	// block ends, Forever for one that is lifted by hand only.
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// Received is when the deciding line came in, for the latency metric;
	// zero for blocks by hand.
	Received time.Time `json:"received,omitzero"`
	// Rule is the rule that fired, Manual for blocks by hand.
	Rule  string  `json:"rule"`
	Score float64 `json:"score,omitzero"`
	// Reason is the class that most of the evidence names, Host the mail host
	// that wrote most of it; "" for blocks by hand.
	Reason string `json:"reason,omitempty"`
	Host   string `json:"host,omitempty"`
	// Witness is who alone said what the block stands on: a mail host with an
	// identity of its own, or a relay for all hosts behind it. "" if two or
	// more said it, and for blocks by hand.
	Witness  string     `json:"witness,omitempty"`
	Note     string     `json:"note,omitempty"`
	Author   string     `json:"author,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
	// Observed: decided in observe mode, never enforced.
	Observed bool `json:"observed,omitempty"`
	// Seen: the source still turned up in the logs after the grace period,
	// so its packets come around the gateway.
	Seen bool `json:"seen,omitempty"`
}

// Forever is the end of a block that stays until somebody lifts it: in the kernel
// it has no timeout. It is the last time that fits Unix nanoseconds.
var Forever = time.Unix(0, math.MaxInt64)

// Permanent tells whether the block stays until somebody lifts it.
func (b Block) Permanent() bool { return b.Until.Equal(Forever) }
