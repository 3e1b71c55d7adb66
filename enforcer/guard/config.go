package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config says who is exempt beyond what the kernel knows.
type Config struct {
	// Allow is the operator's allow list. An entry is an address, a prefix, a
	// range "192.0.2.10-192.0.2.19", a file "file:/path" with one entry a
	// line, or a DNS name, all of whose addresses are exempt. It is filled in
	// from the key enforcer.allow.
	Allow []string `mapstructure:"-"`
	// Senders are the networks that may log; those of a single address are
	// exempt, a whole network is not. It is filled in from the key
	// receiver.senders.
	Senders []netip.Prefix `mapstructure:"-"`
	// SSHPorts lists the ports of the gateway's own sshd, 1 to 65535. Whoever
	// has an open connection to one of them is not blocked. An empty list turns
	// this off. Default: 22.
	SSHPorts []int `mapstructure:"ssh_ports"`
	// Reserved lists ranges that are never blocked because nobody on the
	// Internet has addresses in them. The default is loopback, private (RFC
	// 1918, fc00::/7), link-local, multicast and unspecified addresses; the
	// ranges for documentation, benchmarks (198.18.0.0/15) and shared addresses
	// (100.64.0.0/10) are treated as ordinary addresses. An empty list turns
	// this off.
	Reserved []netip.Prefix `mapstructure:"reserved"`
	// MinPrefix4 is the shortest IPv4 prefix that may be blocked, in bits, 1 to
	// 32. Default: 16.
	MinPrefix4 int `mapstructure:"min_prefix4"`
	// MinPrefix6 is the shortest IPv6 prefix that may be blocked, in bits, 1 to
	// 128. A registry gives a provider a /32. Default: 32.
	MinPrefix6 int `mapstructure:"min_prefix6"`
	// Refresh is how often addresses and routes are read in full, besides
	// following the kernel's events, 1s to 1h. Default: 30s.
	Refresh time.Duration `mapstructure:"refresh"`
	// Poll is how often the table of ssh connections and the dates of files are
	// checked, 100ms to 1m. Default: 1s.
	Poll time.Duration `mapstructure:"poll"`
	// ResolvConf lists the files that name the gateway's resolvers; the second
	// is for those behind systemd's stub. A file that does not exist counts as
	// empty. Default: /etc/resolv.conf, /run/systemd/resolve/resolv.conf.
	ResolvConf []string `mapstructure:"resolv_conf"`
	// DNSMinRefresh is the shortest time between two look-ups of a DNS name in
	// the allow list, whatever its TTL, and the time until the next look-up
	// after a failure, 1s to 1d. Default: 30s.
	DNSMinRefresh time.Duration `mapstructure:"dns_min_refresh"`
	// DNSMaxRefresh is the longest time between two look-ups of a DNS name in
	// the allow list, whatever its TTL, 1s to 1d and no less than
	// dns_min_refresh. Default: 1h.
	DNSMaxRefresh time.Duration `mapstructure:"dns_max_refresh"`
	// DNSTimeout limits one look-up, 100ms to 1m. Default: 5s.
	DNSTimeout time.Duration `mapstructure:"dns_timeout"`
}

// DefaultConfig returns what runs without a file.
func DefaultConfig() Config {
	return Config{
		SSHPorts: []int{22},
		Reserved: []netip.Prefix{
			netip.MustParsePrefix("0.0.0.0/8"),      // RFC 1122, "this network"
			netip.MustParsePrefix("10.0.0.0/8"),     // RFC 1918
			netip.MustParsePrefix("127.0.0.0/8"),    // loopback
			netip.MustParsePrefix("169.254.0.0/16"), // RFC 3927, link-local
			netip.MustParsePrefix("172.16.0.0/12"),  // RFC 1918
			netip.MustParsePrefix("192.168.0.0/16"), // RFC 1918
			netip.MustParsePrefix("224.0.0.0/4"),    // multicast
			netip.MustParsePrefix("255.255.255.255/32"),
			netip.MustParsePrefix("::/128"),
			netip.MustParsePrefix("::1/128"),
			netip.MustParsePrefix("fc00::/7"),  // RFC 4193, private
			netip.MustParsePrefix("fe80::/10"), // link-local
			netip.MustParsePrefix("ff00::/8"),  // multicast
		},
		MinPrefix4:    16,
		MinPrefix6:    32,
		Refresh:       30 * time.Second,
		Poll:          time.Second,
		ResolvConf:    []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"},
		DNSMinRefresh: 30 * time.Second,
		DNSMaxRefresh: time.Hour,
		DNSTimeout:    5 * time.Second,
	}
}

// Validate reports every value that cannot be, joined (errors.Join). Each error
// begins with the key within the section enforcer. Files are not read.
func (c Config) Validate() error {
	var errs []error
	for i, s := range c.Allow {
		e, err := ParseEntry(s)
		if err == nil {
			err = e.tooMuch(s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("allow[%d]: %w", i, err))
		}
	}
	for i, port := range c.SSHPorts {
		if port < 1 || port > 65535 {
			errs = append(errs, fmt.Errorf("guard.ssh_ports[%d]: %d is not a port from 1 to 65535", i, port))
		}
	}
	for i, p := range c.Reserved {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("guard.reserved[%d]: not a prefix", i))
		}
	}
	if c.MinPrefix4 < 1 || c.MinPrefix4 > 32 {
		errs = append(errs, fmt.Errorf("guard.min_prefix4: %d is not a prefix length from 1 to 32", c.MinPrefix4))
	}
	if c.MinPrefix6 < 1 || c.MinPrefix6 > 128 {
		errs = append(errs, fmt.Errorf("guard.min_prefix6: %d is not a prefix length from 1 to 128", c.MinPrefix6))
	}
	return errors.Join(append(errs, c.validateTimes()...)...)
}

// CheckFiles reads the files of the allow list and reports what is wrong with
// them, as Validate does.
func (c Config) CheckFiles() error {
	_, err := readAllow(c.Allow)
	return err
}

func (c Config) validateTimes() (errs []error) {
	for _, d := range []struct {
		key              string
		value, low, high time.Duration
	}{
		{"refresh", c.Refresh, time.Second, time.Hour},
		{"poll", c.Poll, 100 * time.Millisecond, time.Minute},
		{"dns_min_refresh", c.DNSMinRefresh, time.Second, 24 * time.Hour},
		{"dns_max_refresh", c.DNSMaxRefresh, time.Second, 24 * time.Hour},
		{"dns_timeout", c.DNSTimeout, 100 * time.Millisecond, time.Minute},
	} {
		if d.value < d.low || d.value > d.high {
			errs = append(errs, fmt.Errorf("guard.%s: %v is not within %v to %v", d.key, d.value, d.low, d.high))
		}
	}
	if c.DNSMaxRefresh < c.DNSMinRefresh {
		errs = append(errs, fmt.Errorf("guard.dns_max_refresh: %v is less than dns_min_refresh, %v", c.DNSMaxRefresh, c.DNSMinRefresh))
	}
	return errs
}
