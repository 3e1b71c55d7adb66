package console

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
)

// SocketName is the control socket's name in the state directory.
const SocketName = "control.sock"

// Config says where the web listener is and under which names it is known.
type Config struct {
	// Listen is the address "host:port" of metrics and status page; "" has
	// none. Default: 127.0.0.1:9514.
	Listen string `mapstructure:"listen"`
	// ConfigFile is a web configuration file of the Prometheus
	// exporter-toolkit, with TLS and users; "" has neither, and then the page
	// shows counts only. Default: none.
	ConfigFile string `mapstructure:"config_file"`
	// Hosts lists the names under which browsers reach the page, besides
	// addresses, localhost and the machine's own name. Default: none.
	Hosts []string `mapstructure:"hosts"`
}

// DefaultConfig returns what runs without a file.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:9514"} }

// Validate says what is wrong, beginning with the key.
func (c Config) Validate() error {
	if c.Listen != "" {
		if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
			return fmt.Errorf("listen: %q is not host:port", c.Listen)
		}
	}
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/: \t") {
			return fmt.Errorf("hosts[%d]: %q is not a host name without scheme and port", i, h)
		}
	}
	if c.ConfigFile != "" && c.Listen == "" {
		return errors.New("config_file: there is no listener to use it (listen is empty)")
	}
	return nil
}

// CheckFiles reads the web configuration file and those that it names and says
// what is wrong with them, beginning with the key.
func (c Config) CheckFiles() error {
	if err := web.Validate(c.ConfigFile); err != nil {
		return fmt.Errorf("config_file: %q: %w", c.ConfigFile, err)
	}
	return nil
}
