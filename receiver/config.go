package receiver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"uppercut/receiver/header"
)

// Config says where to listen and whom to hear. The zero value listens
// nowhere; DefaultConfig is what runs without a file.
type Config struct {
	// UDP lists addresses "host:port" to receive datagrams on, one message each.
	// Default: 127.0.0.1:5514.
	UDP []string `mapstructure:"udp"`
	// TCP lists addresses "host:port" to receive streams on, framed by LF or by
	// octet count (RFC 6587), which is detected for each frame. Default:
	// 127.0.0.1:5514.
	TCP []string `mapstructure:"tcp"`
	// TLS is for syslog over TLS and for RELP over TLS.
	TLS TLSConfig `mapstructure:"tls"`
	// RELP lists addresses "host:port" for RELP, rsyslog's reliable protocol:
	// each message is acknowledged once it has been judged. Default: none.
	RELP []string `mapstructure:"relp"`
	// Unix lists paths of datagram sockets for programs on this host. They are
	// created with mode 0660. Default: none.
	Unix []string `mapstructure:"unix"`
	// Hosts lists the mail hosts that should send logs. One that falls silent is
	// reported. Default: none.
	Hosts []HostConfig `mapstructure:"hosts"`
	// Senders lists the networks that may send logs, besides the addresses in
	// receiver.hosts. Anything from elsewhere is dropped unread and counted,
	// with a warning once an hour. The default is loopback and the private
	// networks.
	Senders []netip.Prefix `mapstructure:"senders"`
	// Relays lists the senders that forward the lines of other hosts: addresses
	// and networks, names in client certificates, or unix for the local socket.
	// A sender that is not listed counts as a single mail host, whatever names
	// appear in its lines. All hosts behind a relay together are one witness.
	// Default: none.
	Relays []string `mapstructure:"relays"`
	// WrappingTags lists the tags of programs that forward what others wrote,
	// with another header or sendmail's "TAG[PID]: " at the start of their own
	// text: Docker's syslog driver (the container's name or ID), Fluent Bit,
	// Logstash. A trailing * matches any rest; - matches messages without a tag.
	// Whoever can make such a program write a line speaks for its host. A
	// message whose tag is in detector.tags needs no entry for another of those
	// tags at the start of its text. Default: none.
	WrappingTags []string `mapstructure:"wrapping_tags"`
	// Tags are the tags of the program whose lines matter.
	Tags []string `mapstructure:"-"`
	// ReversePath accepts a datagram only if it arrived on the interface that
	// the kernel would use to reach its source. Without it anybody who can reach
	// the port can impersonate a listed sender. Default: true.
	ReversePath bool `mapstructure:"reverse_path"`
	// MaxMessageSize is the length in bytes at which a message is cut, 1024 to
	// 1048576. Default: 65536.
	MaxMessageSize int `mapstructure:"max_message_size"`
	// ReceiveBuffer is the receive buffer to request for each datagram socket,
	// in bytes, 65536 to 1073741824. Without CAP_NET_ADMIN the kernel limits it
	// to net.core.rmem_max. A burst of 50,000 lines needs 64 MB, because the
	// kernel counts its own overhead for each; it grants twice what is
	// requested. Default: 32 MiB.
	ReceiveBuffer int `mapstructure:"receive_buffer"`
	// Readers is the number of sockets that share each UDP address, 1 to 64; 0
	// means one for each processor, at most 4. Default: 0.
	Readers int `mapstructure:"readers"`
	// MaxConnections limits the stream connections of all listeners together, 1
	// to 1000000. Default: 4096.
	MaxConnections int `mapstructure:"max_connections"`
	// MaxConnectionsPerSender limits the connections from one address, 8 to
	// 100000; rsyslog opens several for each action. Default: 64.
	MaxConnectionsPerSender int `mapstructure:"max_connections_per_sender"`
	// MaxSilentConnections limits the connections that have not yet sent a whole
	// message, 8 to 100000. Above the limit the one that has been silent longest
	// is closed. Default: 512.
	MaxSilentConnections int `mapstructure:"max_silent_connections"`
	// IdleTimeout is how long a connection may send nothing before it is closed,
	// 1s to 30d; 0s means forever. RELP is closed by its own protocol, TCP and
	// TLS by a FIN, after which incoming data is still read for the same time:
	// rsyslog and syslog-ng reconnect and lose nothing. Default: 1d.
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`
	// StopTimeout is how long senders get to finish when the receiver stops, 0s
	// to 5m. Default: 10s.
	StopTimeout time.Duration `mapstructure:"stop_timeout"`
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
		TLS: TLSConfig{
			MaxVersion:       "1.2",
			HandshakeTimeout: 10 * time.Second,
			MaxHandshakes:    128,
		},
		ReversePath:             true,
		MaxMessageSize:          64 << 10,
		ReceiveBuffer:           32 << 20,
		MaxConnections:          4096,
		MaxConnectionsPerSender: 64,
		MaxSilentConnections:    512,
		IdleTimeout:             24 * time.Hour,
		StopTimeout:             10 * time.Second,
	}
}

// Validate reports every value that is out of range, each by its key.
func (c Config) Validate() error {
	errs := []error{
		between("max_message_size", c.MaxMessageSize, 1024, 1<<20),
		between("receive_buffer", c.ReceiveBuffer, 64<<10, 1<<30),
		between("readers", c.Readers, 0, 64),
		between("max_connections", c.MaxConnections, 1, 1_000_000),
		between("max_connections_per_sender", c.MaxConnectionsPerSender, 8, 100_000),
		between("max_silent_connections", c.MaxSilentConnections, 8, 100_000),
		validateIdle(c.IdleTimeout),
		between("stop_timeout", c.StopTimeout, 0, 5*time.Minute),
		checkAddresses("udp", c.UDP),
		checkAddresses("tcp", c.TCP),
		checkAddresses("relp", c.RELP),
		checkPaths("unix", c.Unix),
		c.TLS.validate(),
		validateHosts(c.Hosts),
		validateRelays(c.Relays, c.Hosts),
		validateWrappingTags(c.WrappingTags),
	}
	for i, p := range c.Senders {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("senders[%d]: not a network", i))
		}
	}
	return errors.Join(errs...)
}

func validateWrappingTags(tags []string) error {
	var errs []error
	for i, tag := range tags {
		switch {
		case tag == "":
			errs = append(errs, fmt.Errorf("wrapping_tags[%d]: must not be empty; %q stands for messages without a tag", i, header.Untagged))
		case strings.Contains(strings.TrimSuffix(tag, "*"), "*"):
			errs = append(errs, fmt.Errorf("wrapping_tags[%d]: %q: * can stand only at the end", i, tag))
		case strings.ContainsAny(tag, " :["):
			errs = append(errs, fmt.Errorf("wrapping_tags[%d]: %q: a tag has no PID, colon or space", i, tag))
		}
	}
	return errors.Join(errs...)
}

// CheckFiles reads the certificates, looks up the names to listen on and reports
// what is wrong with them, by the key.
func (c Config) CheckFiles() error {
	unknown := errors.Join(
		resolveAddresses("udp", c.UDP), resolveAddresses("tcp", c.TCP), resolveAddresses("relp", c.RELP),
		resolveAddresses("tls.listen", c.TLS.Listen), resolveAddresses("tls.relp_listen", c.TLS.RELPListen),
	)
	if !c.TLS.enabled() {
		return unknown
	}
	_, err := readCertificates(c.TLS)
	return errors.Join(unknown, err)
}

func validateIdle(d time.Duration) error {
	if d == 0 {
		return nil
	}
	return between("idle_timeout", d, time.Second, 720*time.Hour)
}

func between[T int | time.Duration](key string, value, low, high T) error {
	if value < low || value > high {
		return fmt.Errorf("%s: %v is not between %v and %v", key, value, low, high)
	}
	return nil
}

// NeedsRestart reports a key that differs and that a running receiver cannot
// change.
func NeedsRestart(old, c Config) error {
	for _, key := range []struct {
		name string
		same bool
	}{
		{"udp", slices.Equal(old.UDP, c.UDP)},
		{"tcp", slices.Equal(old.TCP, c.TCP)},
		{"tls.listen", slices.Equal(old.TLS.Listen, c.TLS.Listen)},
		{"tls.relp_listen", slices.Equal(old.TLS.RELPListen, c.TLS.RELPListen)},
		{"relp", slices.Equal(old.RELP, c.RELP)},
		{"unix", slices.Equal(old.Unix, c.Unix)},
		{"reverse_path", old.ReversePath == c.ReversePath},
		{"max_message_size", old.MaxMessageSize == c.MaxMessageSize},
		{"receive_buffer", old.ReceiveBuffer == c.ReceiveBuffer},
		{"readers", old.Readers == c.Readers},
		{"stop_timeout", old.StopTimeout == c.StopTimeout},
	} {
		if !key.same {
			return fmt.Errorf("%s: changed; this needs a restart", key.name)
		}
	}
	return nil
}
