package outbox

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config says whom to tell what happens, besides the log.
type Config struct {
	// Webhook posts events as JSON.
	Webhook WebhookConfig `mapstructure:"webhook"`
	// Syslog sends events to a syslog server.
	Syslog SyslogConfig `mapstructure:"syslog"`
}

// WebhookConfig is where events are posted.
type WebhookConfig struct {
	// URL is where events are posted, http or https; "" turns the webhook off.
	// It appears wherever the configuration is shown, so it must not contain a
	// password. Default: none.
	URL string `mapstructure:"url"`
	// SecretFile is the file with the secret that signs each post: "whsec_" and
	// 24 to 64 bytes in base64 (https://www.standardwebhooks.com). Required if
	// url is set. Default: none.
	SecretFile string `mapstructure:"secret_file"`
	// CAFile is a file with the authorities, in PEM, that the server's
	// certificate is checked against; "" uses those of the system. Default:
	// none.
	CAFile string `mapstructure:"ca_file"`
	// Timeout is how long one post may take, 1s to 5m. Default: 10s.
	Timeout time.Duration `mapstructure:"timeout"`
	// Delivery bounds what waits.
	Delivery `mapstructure:",squash"`
}

// SyslogConfig is where events go as syslog messages (RFC 5424).
type SyslogConfig struct {
	// Address is udp://HOST:PORT, tcp://HOST:PORT (octet-counted frames) or
	// unix:///PATH, such as unix:///dev/log; "" turns syslog off. Default: none.
	Address string `mapstructure:"address"`
	// Delivery bounds what waits.
	Delivery `mapstructure:",squash"`
}

// Delivery says what a sink takes, and how long it tries.
type Delivery struct {
	// Kinds lists the kinds of events to send: block, unblock, guard, breaker.
	// Default: block, unblock, guard, breaker.
	Kinds []string `mapstructure:"kinds"`
	// Queue is how many events may wait, 1 to 1000000. When it is full, new
	// events are dropped and counted. Default: 10000.
	Queue int `mapstructure:"queue"`
	// GiveUp is how long delivery of an event is retried, 1s to 7d. After that,
	// and after at least one attempt, it is dropped and counted. Default: 1h.
	GiveUp time.Duration `mapstructure:"give_up"`
}

// DefaultConfig tells nobody.
func DefaultConfig() Config {
	d := Delivery{Kinds: Kinds(), Queue: 10_000, GiveUp: time.Hour}
	return Config{
		Webhook: WebhookConfig{Timeout: 10 * time.Second, Delivery: d},
		Syslog:  SyslogConfig{Delivery: d},
	}
}

// Validate returns the mistakes in c, each beginning with its key. Files are
// not read.
func (c Config) Validate() error {
	var mistakes []error
	for _, err := range c.Webhook.mistakes() {
		mistakes = append(mistakes, fmt.Errorf("webhook.%w", err))
	}
	for _, err := range c.Syslog.mistakes() {
		mistakes = append(mistakes, fmt.Errorf("syslog.%w", err))
	}
	return errors.Join(mistakes...)
}

// CheckFiles reads the files that c names and returns what is wrong with them,
// beginning with the key.
func (c Config) CheckFiles() error {
	_, _, err := c.destinations("")
	return err
}

func (c WebhookConfig) mistakes() []error {
	mistakes := c.Delivery.mistakes()
	if c.Timeout < time.Second || c.Timeout > 5*time.Minute {
		mistakes = append(mistakes, fmt.Errorf("timeout: %s is not in 1s to 5m", c.Timeout))
	}
	if c.URL == "" {
		return mistakes
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		mistakes = append(mistakes, fmt.Errorf("url: %q is not a URL that begins with http:// or https://", c.URL))
	case u.User != nil:
		mistakes = append(mistakes, errors.New("url: must not contain a user or password: everyone who may read the configuration sees it"))
	}
	if c.SecretFile == "" {
		mistakes = append(mistakes, errors.New("secret_file: missing: name the file with the secret that signs the requests"))
	}
	return mistakes
}

func (c SyslogConfig) mistakes() []error {
	mistakes := c.Delivery.mistakes()
	if c.Address == "" {
		return mistakes
	}
	if _, _, err := splitAddress(c.Address); err != nil {
		mistakes = append(mistakes, fmt.Errorf("address: %w", err))
	}
	return mistakes
}

func (d Delivery) mistakes() (mistakes []error) {
	for i, kind := range d.Kinds {
		if !slices.Contains(Kinds(), kind) {
			mistakes = append(mistakes, fmt.Errorf("kinds[%d]: %q is not one of %s", i, kind, strings.Join(Kinds(), ", ")))
		}
	}
	if d.Queue < 1 || d.Queue > 1_000_000 {
		mistakes = append(mistakes, fmt.Errorf("queue: %d is not in 1 to 1000000", d.Queue))
	}
	if d.GiveUp < time.Second || d.GiveUp > 7*24*time.Hour {
		mistakes = append(mistakes, fmt.Errorf("give_up: %s is not in 1s to 7d", d.GiveUp))
	}
	return mistakes
}

// splitAddress takes an address such as udp://192.0.2.1:514 apart.
func splitAddress(address string) (network, where string, err error) {
	network, where, _ = strings.Cut(address, "://")
	switch network {
	case "unix":
		if strings.HasPrefix(where, "/") {
			return network, where, nil
		}
	case "udp", "tcp":
		if host, port, err := net.SplitHostPort(where); err == nil && host != "" && port != "" {
			return network, where, nil
		}
	}
	return "", "", fmt.Errorf("%q is neither udp://HOST:PORT nor tcp://HOST:PORT nor unix:///PATH", address)
}
