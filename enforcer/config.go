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
	// MaxAddresses is the size of each of the sets of addresses (block4 and
	// block6), in elements. When one is full, the least guilty make room.
	// 1 to 16777216. Default: 1048576.
	MaxAddresses int `mapstructure:"max_addresses"`
	// MaxNetworks is the size of each of the sets of networks (block4_net and
	// block6_net), in networks; a block around an allowed address needs one
	// for each of its pieces. 1 to 1048576. Default: 65536.
	MaxNetworks int `mapstructure:"max_networks"`
	// Scope is what is dropped of a blocked source: "all" of its packets, or
	// "mail": TCP to the mail ports only. Default: all.
	Scope string `mapstructure:"scope"`
	// MailPorts are the ports that scope "mail" means. 1 to 64 ports.
	// Default: 25, 465, 587.
	MailPorts []uint16 `mapstructure:"mail_ports"`
	// Counters is the largest set for which each blocked element counts its
	// packets and bytes ("still knocking"), as MaxAddresses. A counter makes
	// additions cost twice as much. 0 counts nowhere. Default: 0.
	Counters int `mapstructure:"counters"`
	// Extend, if not 0s, keeps a blocked address blocked, when its time is up,
	// until its packets have ceased for so long; the kernel does it. Networks
	// do not take part. 0s or 1s to 24h. Default: 0s.
	Extend time.Duration `mapstructure:"extend"`
	// ExtendLimit ends an extended block this long after it began, however
	// much its source knocks. 1m to 8760h. Default: 168h.
	ExtendLimit time.Duration `mapstructure:"extend_limit"`
	// Foreign is what becomes of elements that others put into our sets:
	// "remove", or "adopt" into the ledger as blocks by hand. Default: remove.
	Foreign string `mapstructure:"foreign"`
	// Unsaved says what becomes of messages over RELP while the ledger cannot be
	// written: "hold" does not acknowledge them, so that the mail hosts keep them
	// in their queues and, when those are full, are heard no more; "acknowledge"
	// goes on, and what was blocked meanwhile is lost by a crash. Blocks are in
	// the kernel either way. Default: hold.
	Unsaved string `mapstructure:"unsaved"`
	// CheckInterval is the pause between two checks that the kernel still has
	// our table, chain, rules and sets. Changes are also announced by the
	// kernel, and checked at once. 50ms to 1m. Default: 500ms.
	CheckInterval time.Duration `mapstructure:"check_interval"`
	// VerifyRate is how many elements a second are asked for one by one, so
	// that each is seen now and then. 0 to 100000, 0 asks for none.
	// Default: 1000.
	VerifyRate int `mapstructure:"verify_rate"`
	// SeenGrace is how long after a block its source may still turn up in the
	// logs, out of queues and open sessions, before that means that its
	// packets come around the gateway. 1s to 24h. Default: 5m.
	SeenGrace time.Duration `mapstructure:"seen_grace"`
	// History is the number of blocks whose evidence is kept. 0 to 1000000.
	// Default: 20000.
	History int `mapstructure:"history"`
	// Audit is the number of entries that the audit log keeps. 100 to
	// 1000000. Default: 10000.
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
