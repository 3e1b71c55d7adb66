package console

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
)

// SocketName is the control socket's name in the state directory.
const SocketName = "control.sock"

// Config says where the web listener is and under which names it is known.
type Config struct {
	// Listen is the address "host:port" of metrics and status page; "" for none.
	// Default: 127.0.0.1:9514.
	Listen string `mapstructure:"listen"`
	// ConfigFile is a web configuration file of the Prometheus exporter-toolkit,
	// with TLS settings and users. Without one there is no TLS, nobody can sign
	// in, and the page shows counts only. Default: none.
	ConfigFile string `mapstructure:"config_file"`
	// Readers lists users of the web configuration file who may see everything
	// on the page but change nothing, neither there nor over the control API.
	// All other users of the file may act. Default: none.
	Readers []string `mapstructure:"readers"`
	// NetworkFiles lists local files in MaxMind's DB format, such as
	// GeoLite2-ASN.mmdb, GeoLite2-Country.mmdb or IP2Location's, as absolute
	// paths. The page of an address and `uppercut why` show its network and
	// country from them. They are read again when they change, and may have 256
	// MiB each. Nothing is looked up outside, and they do not affect judging.
	// Default: none.
	NetworkFiles []string `mapstructure:"network_files"`
	// Hosts lists the names by which browsers, Prometheus and probes reach the
	// listener, besides addresses, localhost and the machine's own name. A
	// request with any other name in its Host header is refused. Default: none.
	Hosts []string `mapstructure:"hosts"`
	// MaxConnections limits the connections of the web listener, 8 to 10000, and
	// at most an eighth of the process's file descriptors; one address may use
	// half of them. Above the limit the connection that has been idle longest is
	// closed. Default: 256.
	MaxConnections int `mapstructure:"max_connections"`
}

// DefaultConfig returns what runs without a file.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:9514", MaxConnections: 256} }

// Validate returns every mistake, joined (errors.Join), each beginning with its
// key.
func (c Config) Validate() error {
	var mistakes []error
	if c.Listen != "" {
		host, port, err := net.SplitHostPort(c.Listen)
		_, unknown := net.LookupPort("tcp", port)
		switch {
		case err != nil || port == "" || unknown != nil:
			mistakes = append(mistakes, fmt.Errorf("listen: %q is not an address with a port, as 127.0.0.1:9514 or [::1]:9514", c.Listen))
		case host == "*":
			mistakes = append(mistakes, fmt.Errorf("listen: %q: * is not an address; write \":%s\" to listen on every address", c.Listen, port))
		}
	}
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/: \t") {
			mistakes = append(mistakes, fmt.Errorf("hosts[%d]: %q is not a host name without scheme and port", i, h))
		}
	}
	if c.Listen != "" && (c.MaxConnections < 8 || c.MaxConnections > 10_000) {
		mistakes = append(mistakes, fmt.Errorf("max_connections: %d is not between 8 and 10000", c.MaxConnections))
	}
	for i, path := range c.NetworkFiles {
		if !filepath.IsAbs(path) {
			mistakes = append(mistakes, fmt.Errorf("network_files[%d]: %q is not an absolute path", i, path))
		}
	}
	if c.ConfigFile != "" && c.Listen == "" {
		mistakes = append(mistakes, errors.New("config_file: there is no listener to use it (listen is empty)"))
	}
	return errors.Join(mistakes...)
}

// CheckFiles reads the web configuration file and those that it names and says
// what is wrong with them, beginning with the key.
func (c Config) CheckFiles() error {
	var mistakes []error
	if err := web.Validate(c.ConfigFile); err != nil {
		mistakes = append(mistakes, fmt.Errorf("config_file: %q: %w", c.ConfigFile, err))
	}
	for i, path := range c.NetworkFiles {
		if _, err := openNetworks(path); err != nil {
			mistakes = append(mistakes, fmt.Errorf("network_files[%d]: %w", i, err))
		}
	}
	return errors.Join(mistakes...)
}
