package console

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"
)

// Errors that an Appliance wraps to say whose fault it was. Any other error is
// the appliance's own. The Client's errors wrap them again.
var (
	ErrInvalid     = errors.New("invalid request")
	ErrNotFound    = errors.New("not found")
	ErrRefused     = errors.New("refused") // by a guard or by the present state
	ErrUnavailable = errors.New("not available now")
)

// Appliance is what the console needs of the rest. Its methods are called by
// many goroutines at once.
type Appliance interface {
	Reader
	Operator
}

// Reader answers questions.
type Reader interface {
	// Status is asked often and must be cheap, also at a million blocks.
	Status(context.Context) (Status, error)
	// FindBlocks returns the blocks in force that match and how many there
	// are in all. It must be quick, also at a million.
	FindBlocks(context.Context, Query) (found []Block, matching int, err error)
	// NotEnforced says why what is on the list is not dropped, CauseSuspended
	// or CauseObserve, "" if it is. It must be cheap.
	NotEnforced() string
	// Why tells all that is known of an address.
	Why(context.Context, netip.Addr) (Why, error)
	// Allowed lists the allow list, that of the file included.
	Allowed(context.Context) ([]Allowance, error)
	Breakers(context.Context) ([]Breaker, error)
	Senders(context.Context) ([]Sender, error)
	// TopSources lists up to limit sources, the nearest to a block first.
	TopSources(ctx context.Context, limit int) ([]TopItem, error)
	// Rejections lists up to limit of the last rejections, newest first. Of very
	// many it has some.
	Rejections(ctx context.Context, limit int) ([]Rejection, error)
	// Samples lists the last lines that were not understood.
	Samples(context.Context) ([]Sample, error)
	// Audit yields what was ordered, newest first.
	Audit(context.Context) iter.Seq2[AuditEntry, error]
	// Firewall says what is known without walking the sets.
	Firewall(context.Context) (Firewall, error)
	// Configuration is what is in force, as YAML, secrets masked.
	Configuration(context.Context) (string, error)
}

// Operator does what somebody orders. Every method returns when the order is
// carried out.
type Operator interface {
	Block(context.Context, Order) (BlockResult, error)
	// Unblock removes blocks, clears the sources' scores and leaves them
	// alone for a while.
	Unblock(context.Context, Order) (UnblockResult, error)
	// Allow adds to the allow list and lifts what it covers.
	Allow(context.Context, Order) ([]Allowance, error)
	// Disallow removes from the allow list and returns what was on it.
	Disallow(context.Context, Order) ([]Allowance, error)
	// CloseBreaker counts a host's evidence in full again.
	CloseBreaker(ctx context.Context, by By, host string) error
	// Flush removes our table and suspends blocking until Resume, or for so
	// long if pause is not 0, at most MaxPause; forget also empties the ledger.
	Flush(ctx context.Context, by By, pause time.Duration, forget bool) error
	// Resume ends a Flush; it changes nothing if there was none.
	Resume(ctx context.Context, by By) (ResumeResult, error)
	// VerifyFirewall compares objects and elements with the list.
	VerifyFirewall(context.Context) (Firewall, error)
	// RepairFirewall makes the kernel agree with the list.
	RepairFirewall(ctx context.Context, by By) (Firewall, error)
	// Reload reads the configuration again. On error nothing has changed.
	Reload(ctx context.Context, by By) error
}

// By is who orders something, and why.
type By struct {
	// Author is a user of the machine or of the web configuration.
	Author string
	// Note is what the author says about it, up to 500 bytes.
	Note string
}

// ManualBlock is how long a block by hand lasts if nobody says.
const ManualBlock = time.Hour

// Order is something to be done to prefixes.
type Order struct {
	By
	// Prefixes are masked and unmapped, 1 to 10,000.
	Prefixes []netip.Prefix
	// For is how long it lasts, Forever without an end; 0 is ManualBlock (Block) or
	// forever (Allow).
	For time.Duration
	// Exact unblocks these prefixes and not what overlaps them.
	Exact bool
	// Force allows even what covers much of the Internet.
	Force bool
}

// BlockResult is what became of an order to block.
type BlockResult struct {
	Blocked []Block   `json:"blocked"`
	Refused []Refusal `json:"refused,omitempty"`
	// NotEnforced says why Blocked are on the list and not dropped, "" if
	// they are dropped.
	NotEnforced string `json:"not_enforced,omitempty"`
}

// ResumeResult is what became of an order to resume.
type ResumeResult struct {
	// Resumed is false if blocking was not suspended.
	Resumed bool `json:"resumed"`
	// NotEnforced says why still nothing is dropped, "" if it is.
	NotEnforced string `json:"not_enforced,omitempty"`
}

// Refusal is a prefix that must not be blocked, and why.
type Refusal struct {
	Prefix netip.Prefix `json:"prefix"`
	Cause  string       `json:"cause"`
}

// UnblockResult is what became of an order to unblock.
type UnblockResult struct {
	Unblocked []netip.Prefix `json:"unblocked"`
	// NotBlocked were not blocked as such; their scores are cleared all the
	// same.
	NotBlocked []netip.Prefix `json:"not_blocked,omitempty"`
	// LeftAloneUntil is when they count again.
	LeftAloneUntil time.Time `json:"left_alone_until,omitzero"`
	// Listed stand in a block list, which blocks them again.
	Listed []ListedPrefix `json:"listed,omitempty"`
}

// ListedPrefix is a prefix that stands in a block list.
type ListedPrefix struct {
	Prefix netip.Prefix `json:"prefix"`
	File   string       `json:"file"`
}
