package receiver

import (
	"net/netip"
)

// Config says where to listen and whom to hear. The zero value listens
// nowhere; DefaultConfig is what runs without a file.
type Config struct {
	// UDP lists addresses "host:port" for datagrams, one message each.
	UDP []string `mapstructure:"udp"`
	// TCP lists addresses "host:port" for streams, framed by LF or octet
	// count (RFC 6587), told apart per frame.
	TCP []string `mapstructure:"tcp"`
	// Senders lists the networks that may log. Everybody else is counted and
	// dropped unread.
	Senders []netip.Prefix `mapstructure:"senders"`
	// MaxMessageSize is where a message is cut, in bytes, 1024 to 1 MiB.
	MaxMessageSize int `mapstructure:"max_message_size"`
}

// DefaultConfig returns what runs without a configuration file: both
// listeners on loopback, private networks may send.
func DefaultConfig() Config {
	return Config{
		UDP: []string{"127.0.0.1:5514"},
		TCP: []string{"127.0.0.1:5514"},
		Senders: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"),
			netip.MustParsePrefix("::1/128"),
			netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("172.16.0.0/12"),
			netip.MustParsePrefix("192.168.0.0/16"),
			netip.MustParsePrefix("fc00::/7"),
		},
		MaxMessageSize: 64 << 10,
	}
}
