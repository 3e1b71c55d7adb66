package feed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// Config says where other firewalls get the block list, and which may.
type Config struct {
	// Listen is the address "host:port" where other firewalls get the block list;
	// "" for none. Default: none.
	Listen string `mapstructure:"listen"`
	// ConfigFile is a web configuration file of the Prometheus exporter-toolkit,
	// with TLS settings. It must not name users: clients have keys. Without one
	// there is no TLS, and keys can be read along on the way. Default: none.
	ConfigFile string `mapstructure:"config_file"`
	// Clients lists who may have the list, such as {name: opnsense, key_file:
	// /etc/uppercut/opnsense.key}. Default: none.
	Clients []ClientConfig `mapstructure:"clients"`
	// MaxConnections limits the connections of clients, 8 to 10000, and at most an
	// eighth of the process's file descriptors; one address may use half of them.
	// Above the limit the connection that has been idle longest is closed. Default:
	// 256.
	MaxConnections int `mapstructure:"max_connections"`
	// Zones is where the list is written for rbldnsd, whose answers mail servers
	// ask for.
	Zones ZoneConfig `mapstructure:"zones"`
}

// on reports whether anybody gets the list.
func (c Config) on() bool { return c.Listen != "" || c.Zones.Directory != "" }

// ClientConfig is somebody who may have the list.
type ClientConfig struct {
	// Name is what metrics and the log call the client: letters, digits, dots,
	// hyphens and underscores.
	Name string `mapstructure:"name"`
	// KeyFile is a file with the client's API key, 16 to 512 printable characters.
	KeyFile string `mapstructure:"key_file"`
	// Certificate is the name in the client's certificate (a DNS name, or else the
	// common name), which is an alternative to a key. config_file must name the
	// authority that has signed it.
	Certificate string `mapstructure:"certificate"`
	// Addresses limits where the client may come from. Default: anywhere.
	Addresses []netip.Prefix `mapstructure:"addresses"`
	// IPv6 is what the client gets of a blocked IPv6 network: network, or, for
	// clients that cannot block networks, address: the addresses in it that the
	// log lines behind the block name. Default: network.
	IPv6 string `mapstructure:"ipv6"`
}

// What a client gets of a blocked IPv6 network.
const (
	ipv6Network = "network"
	ipv6Address = "address"
)

// maxClients bounds the clients, and with them the label values of metrics.
const maxClients = 1000

// DefaultConfig serves nobody.
func DefaultConfig() Config {
	return Config{
		MaxConnections: 256,
		Zones:          ZoneConfig{Interval: time.Minute, TTL: time.Minute, Text: "$ is blocked by uppercut"},
	}
}

// Validate returns every mistake, joined (errors.Join), each beginning with its
// key. Files are not read.
func (c Config) Validate() error {
	var mistakes []error
	for _, err := range c.Zones.mistakes() {
		mistakes = append(mistakes, fmt.Errorf("zones.%w", err))
	}
	return errors.Join(append(mistakes, c.listenMistakes()...)...)
}

// listenMistakes are those in what the listener needs.
func (c Config) listenMistakes() (mistakes []error) {
	if c.Listen == "" {
		if c.ConfigFile != "" || len(c.Clients) > 0 {
			mistakes = append(mistakes, errors.New("listen: missing: there is no listener for clients or config_file"))
		}
		return mistakes
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		mistakes = append(mistakes, fmt.Errorf("listen: %q is not an address with a port, as 10.25.0.1:9516 or [::1]:9516", c.Listen))
	}
	if c.MaxConnections < 8 || c.MaxConnections > 10_000 {
		mistakes = append(mistakes, fmt.Errorf("max_connections: %d is not between 8 and 10000", c.MaxConnections))
	}
	if len(c.Clients) == 0 {
		mistakes = append(mistakes, errors.New("clients: missing: list who may have the block list"))
	}
	if len(c.Clients) > maxClients {
		mistakes = append(mistakes, fmt.Errorf("clients: %d are more than %d", len(c.Clients), maxClients))
	}
	for i, client := range c.Clients {
		for _, err := range client.mistakes() {
			mistakes = append(mistakes, fmt.Errorf("clients[%d].%w", i, err))
		}
		same := func(other ClientConfig) bool { return other.Name == client.Name }
		if slices.IndexFunc(c.Clients, same) < i {
			mistakes = append(mistakes, fmt.Errorf("clients[%d].name: %q is there twice", i, client.Name))
		}
		if client.Certificate != "" && c.ConfigFile == "" {
			mistakes = append(mistakes, fmt.Errorf("clients[%d].certificate: without config_file there is no TLS", i))
		}
	}
	return mistakes
}

var clientName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (c ClientConfig) mistakes() (mistakes []error) {
	if !clientName.MatchString(c.Name) {
		mistakes = append(mistakes, fmt.Errorf("name: %q is not 1 to 64 letters, digits, dots, hyphens and underscores", c.Name))
	}
	if c.KeyFile == "" && c.Certificate == "" {
		mistakes = append(mistakes, errors.New("key_file: missing: name the file with the client's key, or the certificate"))
	}
	if c.IPv6 != "" && c.IPv6 != ipv6Network && c.IPv6 != ipv6Address {
		mistakes = append(mistakes, fmt.Errorf("ipv6: %q is neither %s nor %s", c.IPv6, ipv6Network, ipv6Address))
	}
	return mistakes
}

// CheckFiles reads the files that c names and says what is wrong with them, each
// mistake beginning with its key.
func (c Config) CheckFiles() error {
	var mistakes []error
	if dir := c.Zones.Directory; dir != "" {
		if info, err := os.Stat(dir); err != nil {
			mistakes = append(mistakes, fmt.Errorf("zones.directory: %w", err))
		} else if !info.IsDir() {
			mistakes = append(mistakes, fmt.Errorf("zones.directory: %q is not a directory", dir))
		}
	}
	if c.Listen == "" {
		return errors.Join(mistakes...)
	}
	if err := checkWebFile(c.ConfigFile); err != nil {
		mistakes = append(mistakes, fmt.Errorf("config_file: %q: %w", c.ConfigFile, err))
	}
	_, err := newClients(c.Clients)
	return errors.Join(append(mistakes, err)...)
}

// checkWebFile refuses users in the file: they would have to give a password
// besides the key.
func checkWebFile(file string) error {
	if file == "" {
		return nil
	}
	if err := web.Validate(file); err != nil {
		return err
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return err
	}
	var users struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &users); err != nil {
		return err
	}
	if len(users.Users) > 0 {
		return errors.New("basic_auth_users: clients have keys instead; use a file of its own for the feed")
	}
	return nil
}

// readKey reads the key of a client.
func readKey(file string) (string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(text))
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(key) < 16 || len(key) > 512 || strings.ContainsFunc(key, odd) {
		return "", fmt.Errorf("%s does not hold a key of 16 to 512 printable characters", file)
	}
	return key, nil
}
