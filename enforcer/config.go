package enforcer

import (
	"errors"
	"fmt"
	"time"

	"uppercut/enforcer/nft"
)

// Config says how to enforce.
type Config struct {
	// IPv6PrefixLength is the length in bits of the IPv6 prefixes that are
	// expected in large numbers: it must be the length by which the detector
	// counts IPv6 sources. 1 to 128. Default: 64.
	IPv6PrefixLength int `mapstructure:"-"`
	// MaxAddresses is the size of each of the two sets of addresses (block4 and
	// block6), in elements, 1 to 16777216. When one is full, the blocks with the
	// lowest scores make room. Default: 1048576.
	MaxAddresses int `mapstructure:"max_addresses"`
	// MaxNetworks is the size of each of the two sets of networks (block4_net
	// and block6_net), 1 to 1048576. A block around an allowed address takes one
	// for each piece. Default: 65536.
	MaxNetworks int `mapstructure:"max_networks"`
	// Scope is what is dropped from a blocked source: "all" of its packets, or
	// "mail", TCP to the mail ports only. Default: all.
	Scope string `mapstructure:"scope"`
	// MailPorts lists the ports that scope "mail" drops, 1 to 64 of them.
	// Default: 25, 465, 587.
	MailPorts []uint16 `mapstructure:"mail_ports"`
	// Counters makes each blocked element count its packets and bytes if it is
	// at least max_addresses; 0 turns this off. Adding an element then costs
	// twice as much. 0 to 16777216. Default: 0.
	Counters int `mapstructure:"counters"`
	// Extend keeps a blocked address blocked past its end until it has sent no
	// packet for this long; the kernel does so by itself. Networks are not
	// extended. 0s (off), or 1s to 1d. Default: 0s.
	Extend time.Duration `mapstructure:"extend"`
	// ExtendLimit is how long an extended block can last in all, however many
	// packets its source sends. 1m to 365d. Default: 7d.
	ExtendLimit time.Duration `mapstructure:"extend_limit"`
	// Foreign is what happens to elements that others add to uppercut's sets:
	// "remove", or "adopt" them into the ledger as manual blocks. Default:
	// remove.
	Foreign string `mapstructure:"foreign"`
	// Unsaved is what happens to RELP messages while the ledger cannot be
	// written. With "hold" they are not acknowledged, so that the mail hosts
	// keep them in their queues; once the RELP windows are full uppercut
	// receives no more. With "acknowledge" it goes on, and a crash loses the
	// blocks of that time. Blocks are in the kernel either way. Default: hold.
	Unsaved string `mapstructure:"unsaved"`
	// CheckInterval is the interval between checks that the kernel still has
	// uppercut's table, chain, rules and sets, 50ms to 1m. The kernel also
	// announces changes, and these are checked at once. Default: 500ms.
	CheckInterval time.Duration `mapstructure:"check_interval"`
	// VerifyRate is how many elements are verified in the kernel per second, one
	// by one, so that each is checked from time to time. 0 (none) to 100000.
	// Default: 1000.
	VerifyRate int `mapstructure:"verify_rate"`
	// SeenGrace is how long after a block its source may still appear in the
	// logs, because of queues and open sessions, before this means that its
	// packets bypass the gateway. 1s to 1d. Default: 5m.
	SeenGrace time.Duration `mapstructure:"seen_grace"`
	// History is the number of blocks whose evidence is kept, 0 to 1000000.
	// Default: 20000.
	History int `mapstructure:"history"`
	// Audit is the number of entries that the audit log keeps, 100 to 1000000.
	// Default: 10000.
	Audit int `mapstructure:"audit"`
}

// The values of Config.Scope, Config.Foreign and Config.Unsaved.
const (
	ScopeAll      = "all"
	ScopeMail     = "mail"
	ForeignRemove = "remove"
	ForeignAdopt  = "adopt"

	UnsavedHold        = "hold"
	UnsavedAcknowledge = "acknowledge"
)

// DefaultConfig returns what runs without a file.
func DefaultConfig() Config {
	return Config{
		IPv6PrefixLength: 64,
		MaxAddresses:     1 << 20,
		MaxNetworks:      1 << 16,
		Scope:            ScopeAll,
		MailPorts:        []uint16{25, 465, 587},
		ExtendLimit:      7 * 24 * time.Hour,
		Foreign:          ForeignRemove,
		Unsaved:          UnsavedHold,
		CheckInterval:    500 * time.Millisecond,
		VerifyRate:       1000,
		SeenGrace:        5 * time.Minute,
		History:          20_000,
		Audit:            10_000,
	}
}

// Validate returns the impossible values, each beginning with its key.
func (c Config) Validate() error {
	return errors.Join(
		within("ipv6_prefix_length", c.IPv6PrefixLength, 1, 128),
		within("max_addresses", c.MaxAddresses, 1, 1<<24),
		within("max_networks", c.MaxNetworks, 1, 1<<20),
		oneOf("scope", c.Scope, ScopeAll, ScopeMail),
		within("mail_ports", len(c.MailPorts), 1, 64),
		within("counters", c.Counters, 0, 1<<24),
		within("extend", c.Extend, 0, 24*time.Hour),
		within("extend_limit", c.ExtendLimit, time.Minute, 365*24*time.Hour),
		oneOf("foreign", c.Foreign, ForeignRemove, ForeignAdopt),
		oneOf("unsaved", c.Unsaved, UnsavedHold, UnsavedAcknowledge),
		within("check_interval", c.CheckInterval, 50*time.Millisecond, time.Minute),
		within("verify_rate", c.VerifyRate, 0, 100_000),
		within("seen_grace", c.SeenGrace, time.Second, 24*time.Hour),
		within("history", c.History, 0, 1_000_000),
		within("audit", c.Audit, 100, 1_000_000),
	)
}

func within[T int | time.Duration](key string, v, low, high T) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %v is not in %v to %v", key, v, low, high)
	}
	return nil
}

func oneOf(key, v, a, b string) error {
	if v != a && v != b {
		return fmt.Errorf("%s: %q is neither %q nor %q", key, v, a, b)
	}
	return nil
}

// headroom is how much larger the kernel's sets are than they may be filled:
// within a transaction a refreshed element counts up to three times, and what
// has ended counts until it is collected.
const headroom = 4 * nft.MaxBatch

// firewall says what the kernel's objects look like.
func (c Config) firewall(netns int) nft.Config {
	f := nft.Config{
		NetNS:           netns,
		IPv6Bits:        c.IPv6PrefixLength,
		HashSize:        uint32(c.MaxAddresses) + headroom,
		NetSize:         uint32(c.MaxNetworks) + headroom,
		ElementCounters: c.Counters >= c.MaxAddresses,
		Extend:          c.Extend,
	}
	if c.Scope == ScopeMail {
		f.Ports = c.MailPorts
	}
	return f
}

// firewall says what the kernel's objects of an Enforcer look like, and where.
func (o Options) firewall(c Config) nft.Config {
	f := c.firewall(o.NetNS)
	f.NoCounts = o.noCounts
	return f
}
