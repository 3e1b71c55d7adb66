package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/feed"
	"uppercut/cmd/uppercut/outbox"
	"uppercut/detector"
	"uppercut/enforcer"
	"uppercut/enforcer/guard"
	"uppercut/enforcer/listfile"
	"uppercut/receiver"
)

// DefaultFile is read if it exists and no other file is named.
const DefaultFile = "/etc/uppercut/uppercut.yaml"

// Modes.
const (
	ModeEnforce = "enforce"
	ModeObserve = "observe"
)

// Config is the whole configuration. Each package documents and checks its own
// section.
type Config struct {
	// Mode is what happens to a block: enforce writes it to the kernel, observe
	// does everything else and blocks nobody. Default: enforce.
	Mode string `mapstructure:"mode"`
	// StateDir is the directory of the ledger, the snapshot of scores and the
	// control socket. Default: /var/lib/uppercut.
	StateDir string `mapstructure:"state_dir"`
	// Receiver is where uppercut listens, and who may send logs.
	Receiver receiver.Config `mapstructure:"receiver"`
	// Detector holds the rules and weights.
	Detector detector.Config `mapstructure:"detector"`
	// Enforcer is how blocking works, and who is never blocked.
	Enforcer Enforcer `mapstructure:"enforcer"`
	// Events is where blocks and other events are sent, besides the log.
	Events outbox.Config `mapstructure:"events"`
	// Feed is where other firewalls get the block list.
	Feed feed.Config `mapstructure:"feed"`
	// Web is where the page and the metrics are served.
	Web console.Config `mapstructure:"web"`
}

// Enforcer is how to block, and whom never.
type Enforcer struct {
	enforcer.Config `mapstructure:",squash"`
	// Allow lists who is never blocked: addresses, networks, ranges
	// "192.0.2.10-192.0.2.19", files "file:/path" with one entry a line, and DNS
	// names, of which all addresses count. Default: none.
	Allow []string `mapstructure:"allow"`
	// Block lists files of addresses that are always blocked, such as {file:
	// /etc/uppercut/drop.txt}, with at most a million entries in all. The allow
	// list and the guard take precedence. These blocks have the rule blocklist
	// and no end; they are removed when the file no longer lists them. Default:
	// none.
	Block []listfile.Config `mapstructure:"block"`
	// Guard is who else is never blocked.
	Guard guard.Config `mapstructure:"guard"`
}

// section is a part of the configuration that knows its own mistakes. The
// errors begin with keys within the section.
type section struct {
	key        string
	validate   func() error
	checkFiles func() error // reads the files that the section names; nil if it names none
}

func (c *Config) sections() []section {
	guarded := c.ForGuard()
	return []section{
		{"receiver", c.Receiver.Validate, c.Receiver.CheckFiles},
		{"detector", c.Detector.Validate, nil},
		{"enforcer", c.Enforcer.Validate, nil},
		{"enforcer", guarded.Validate, guarded.CheckFiles},
		{"enforcer.block", c.validateBlock, c.checkBlock},
		{"events", c.Events.Validate, c.Events.CheckFiles},
		{"feed", c.Feed.Validate, c.Feed.CheckFiles},
		{"web", c.Web.Validate, c.Web.CheckFiles},
	}
}

// Default is what runs without a file.
func Default() Config {
	return Config{
		Mode:     ModeEnforce,
		StateDir: "/var/lib/uppercut",
		Receiver: receiver.DefaultConfig(),
		Detector: detector.DefaultConfig(),
		Enforcer: Enforcer{Config: enforcer.DefaultConfig(), Guard: guard.DefaultConfig()},
		Events:   outbox.DefaultConfig(),
		Feed:     feed.DefaultConfig(),
		Web:      console.DefaultConfig(),
	}
}

// validate returns every mistake, each beginning with its key.
func (c *Config) validate() []error {
	var mistakes []error
	if c.Mode != ModeEnforce && c.Mode != ModeObserve {
		mistakes = append(mistakes, fmt.Errorf("mode: %q is neither enforce nor observe", c.Mode))
	}
	if !filepath.IsAbs(c.StateDir) {
		mistakes = append(mistakes, fmt.Errorf("state_dir: %q is not an absolute path", c.StateDir))
	}
	for _, s := range c.sections() {
		mistakes = append(mistakes, s.keyed(s.validate())...)
	}
	return mistakes
}

func (c *Config) validateBlock() error { return listfile.Validate(c.Enforcer.Block) }
func (c *Config) checkBlock() error    { return listfile.CheckFiles(c.Enforcer.Block) }

// keyed takes the errors in err apart and puts the section's key before each.
func (s section) keyed(err error) (mistakes []error) {
	for _, mistake := range unjoin(err) {
		if strings.HasPrefix(mistake.Error(), "[") { // an entry of a list
			mistakes = append(mistakes, fmt.Errorf("%s%w", s.key, mistake))
			continue
		}
		mistakes = append(mistakes, fmt.Errorf("%s.%w", s.key, mistake))
	}
	return mistakes
}

// ForGuard is what the guard needs to know, allow list and senders included.
func (c *Config) ForGuard() guard.Config {
	g := c.Enforcer.Guard
	g.Allow = c.Enforcer.Allow
	g.Senders = slices.Clone(c.Receiver.Senders)
	for _, host := range c.Receiver.Hosts {
		g.Senders = append(g.Senders, host.Addresses...)
	}
	return g
}

// ForReceiver is what the receiver needs to know, sendmail's tags included.
func (c *Config) ForReceiver() receiver.Config {
	r := c.Receiver
	r.Tags = c.Detector.Tags
	return r
}

// ForEnforcer is what the enforcer needs to know: IPv6 sources are blocked
// as they are counted.
func (c *Config) ForEnforcer() enforcer.Config {
	e := c.Enforcer.Config
	e.IPv6PrefixLength = c.Detector.IPv6Prefix
	return e
}

// RuleNames are the names of the rules, in their order.
func (c *Config) RuleNames() []string {
	names := make([]string, len(c.Detector.Rules))
	for i, rule := range c.Detector.Rules {
		names[i] = rule.Name
	}
	return names
}

// unjoin takes errors.Join apart, also one inside another.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // exactly this error, not one inside it
	if !ok {
		return []error{err}
	}
	var all []error
	for _, inner := range joined.Unwrap() {
		all = append(all, unjoin(inner)...)
	}
	return all
}
