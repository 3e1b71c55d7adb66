package detector

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// Config holds what the judge goes by.
type Config struct {
	// Tags lists the syslog tags of sendmail; a trailing * matches any rest.
	// Default: sendmail, sm-*.
	Tags []string `mapstructure:"tags"`
	// Programs lists the programs beside sendmail whose lines are read as soon as
	// a host sends them: openssh, dovecot, exim,
	// postfix. Default: openssh, dovecot, exim, postfix.
	Programs []string `mapstructure:"programs"`
	// Rules are all evaluated; if several fire, the one with the longest block
	// applies. 1 to 32 rules.
	Rules []Rule `mapstructure:"rules"`
	// Weights is the number of points for one offence of each reason, 0 to 100
	// in steps of 0.05. A reason that is not listed keeps its default. Answers
	// with a 4xx code have no weight, whatever is set here, except rate_limit,
	// conn_limit, bad_command and bare_newline, which are judgements of the
	// client.
	Weights map[string]float64 `mapstructure:"weights"`
	// SessionCaps limits the points that one SMTP session can earn for each
	// reason, 0 (no limit) to 1000 in steps of 0.05.
	SessionCaps map[string]float64 `mapstructure:"session_caps"`
	// SessionTotal limits the points that one SMTP session can earn for all
	// reasons together, 0 (no limit) to 1000 in steps of 0.05. Spam traps and
	// what only an attacker can cause do not count towards it. Default: 9.
	SessionTotal float64 `mapstructure:"session_total"`
	// IPv6Prefix is the prefix length by which IPv6 sources are counted and
	// blocked, 32 to 128. NAT64 (64:ff9b::/96) and Teredo (2001::/32) are always
	// counted by address, because one /64 there holds unrelated clients.
	// Default: 64.
	IPv6Prefix int `mapstructure:"ipv6_prefix"`
	// MaxSources limits the sources that are tracked, 1000 to 16000000; the
	// source with the lowest score is dropped first. A source takes at most 256
	// bytes on average. Default: 1000000.
	MaxSources int `mapstructure:"max_sources"`
	// EvidenceBytes is the size of the ring buffer that holds the log lines of
	// suspected sources, in bytes, 65536 to 1073741824. Default: 16 MiB.
	EvidenceBytes int `mapstructure:"evidence_bytes"`
	// Favour is how much good mail counts in favour of a source.
	Favour Favour `mapstructure:"favour"`
	// Breaker disregards the evidence of a malfunctioning mail host.
	Breaker Breaker `mapstructure:"breaker"`
	// Ceiling limits the new blocks per minute.
	Ceiling Ceiling `mapstructure:"ceiling"`
	// Repeat makes each further block of a source longer.
	Repeat Repeat `mapstructure:"repeat"`
	// Neighbourhood blocks whole networks. Off by default.
	Neighbourhood Neighbourhood `mapstructure:"neighbourhood"`
	// Zones lists the time zones of senders whose timestamps have none (RFC
	// 3164). A sender that is not listed is assumed to log in local time or UTC
	// until its lines show otherwise.
	Zones []Zone `mapstructure:"zones"`
	// Texts maps your own reject texts to reasons.
	Texts []sendmail.TextReason `mapstructure:"texts"`
}

// Rule blocks a source whose offences within Window add up to Score.
type Rule struct {
	// Name is a metric label: [a-z0-9_]{1,32}.
	Name string `mapstructure:"name"`
	// Window is the width of the sliding window, 1s to 7d in whole seconds.
	Window time.Duration `mapstructure:"window"`
	// Score is the sum of points at which the rule fires, 1 to 10000 in steps of
	// 0.05.
	Score float64 `mapstructure:"score"`
	// Block is how long the source is blocked, counted from the offence: 1s to
	// 365d in whole seconds.
	Block time.Duration `mapstructure:"block"`
	// Reasons limits the rule to these reasons; empty means all.
	Reasons []string `mapstructure:"reasons"`
	// Hosts limits the rule to reports of these mail hosts, by the name in their
	// log lines; empty means all.
	Hosts []string `mapstructure:"hosts"`
	// MinHosts is the number of distinct mail hosts that must have reported the
	// source within the window, 0 or 1 (no condition) to 1000.
	MinHosts int `mapstructure:"min_hosts"`
}

// Favour is weighed against offences that a relay can be made to commit by
// whoever sends one mail through it; if the source is a partner also against
// dnsbl, tcpwrappers, relay_denied, ehlo_pipelining, bad_command and bad_helo;
// never against what only the client itself can do.
type Favour struct {
	// Accepted is how many points each message accepted from the source within a
	// rule's window takes off its score, 0 to 100. Default: 1.
	Accepted float64 `mapstructure:"accepted"`
	// Delivered is how many points each message that your hosts delivered to the
	// source within a rule's window takes off its score, 0 to 100. Default: 1.
	Delivered float64 `mapstructure:"delivered"`
	// Partner is the number of messages accepted within 7 days that make a
	// source a partner, which a single session never gets blocked: 1 to 65535.
	// Default: 20.
	Partner int `mapstructure:"partner"`
}

// Breaker opens for a mail host that refuses whom the fleet accepts, or that
// suddenly refuses everybody for one reason.
type Breaker struct {
	// Enabled turns the breaker on. Default: true.
	Enabled bool `mapstructure:"enabled"`
	// Sources is the least number of sources known by accepted mail that the
	// host must refuse within 5 minutes, 1 to 1000. Default: 5.
	Sources int `mapstructure:"sources"`
	// Share is the least share that these must be of all sources known by
	// accepted mail that the host saw in that time, above 0 to 1. Default: 0.3.
	Share float64 `mapstructure:"share"`
	// Surge is how many times the usual number of distinct sources must be
	// refused for one reason, 2 to 1000. Default: 20.
	Surge float64 `mapstructure:"surge"`
	// Close is how long a host must behave normally for its breaker to close, 1m
	// to 1d. Default: 10m.
	Close time.Duration `mapstructure:"close"`
}

// Ceiling limits the rate of new blocks. What is above it waits in order of
// score, 100,000 decisions at most. What only an attacker does passes.
type Ceiling struct {
	// PerMinute is the number of new blocks allowed in any 60 seconds, 1 to
	// 1000000. Default: 10000.
	PerMinute int `mapstructure:"per_minute"`
	// HostShare is the share of it that one mail host can use, above 0 to 1.
	// Default: 0.5.
	HostShare float64 `mapstructure:"host_share"`
	// HostPasses is how many sources the reports of a single mail host can get
	// blocked in any 60 seconds outside the ceiling, for what only an attacker
	// does; further ones wait, too. 1 to 1000000. Default: 10000.
	HostPasses int `mapstructure:"host_passes"`
}

// Repeat is about sources that come back.
type Repeat struct {
	// Factor multiplies the duration with each further block, 1 to 10. Default:
	// 2.
	Factor float64 `mapstructure:"factor"`
	// Max limits the increased duration, up to 365d. It does not shorten the
	// block of a rule that is longer by itself. Default: 7d.
	Max time.Duration `mapstructure:"max"`
	// Forget is how long after the end of its last block a source must be clean
	// for its history to be forgotten, 1h to 365d. Default: 30d.
	Forget time.Duration `mapstructure:"forget"`
}

// Neighbourhood blocks a /24 (IPv4) or /48 (IPv6) as one when many of its
// sources are blocked, with holes for what is exempt.
type Neighbourhood struct {
	// Enabled turns blocking of whole networks on. Default: false.
	Enabled bool `mapstructure:"enabled"`
	// IPv4 is the number of blocked addresses in a /24 at which the whole /24 is
	// blocked, 2 to 256. Default: 16.
	IPv4 int `mapstructure:"ipv4"`
	// IPv6 is the number of blocked prefixes in a /48 at which the whole /48 is
	// blocked, 2 to 65536. Default: 16.
	IPv6 int `mapstructure:"ipv6"`
	// Block is how long the network is blocked, 1s to 365d. Default: 1d.
	Block time.Duration `mapstructure:"block"`
}

// Zone says in which zone a sender writes times without one.
type Zone struct {
	// Sender is the sender's name as `uppercut senders` shows it.
	Sender string `mapstructure:"sender"`
	// Zone is a name in the IANA time zone database, or UTC.
	Zone string `mapstructure:"zone"`
}

// DefaultConfig returns the judgement that runs without a file.
func DefaultConfig() Config {
	return Config{
		Tags:     []string{"sendmail", "sm-*"},
		Programs: Programs(),
		Rules: []Rule{
			{Name: "burst", Window: 10 * time.Minute, Score: 10, Block: time.Hour},
			{Name: "steady", Window: 24 * time.Hour, Score: 40, Block: 24 * time.Hour},
		},
		Weights:       defaultWeights(),
		SessionCaps:   defaultSessionCaps(),
		SessionTotal:  9,
		IPv6Prefix:    64,
		MaxSources:    1_000_000,
		EvidenceBytes: 16 << 20,
		Favour:        Favour{Accepted: 1, Delivered: 1, Partner: 20},
		Breaker:       Breaker{Enabled: true, Sources: 5, Share: 0.3, Surge: 20, Close: 10 * time.Minute},
		Ceiling:       Ceiling{PerMinute: 10_000, HostShare: 0.5, HostPasses: 10_000},
		Repeat:        Repeat{Factor: 2, Max: 7 * day, Forget: 30 * day},
		Neighbourhood: Neighbourhood{IPv4: 16, IPv6: 16, Block: 24 * time.Hour},
	}
}

const day = 24 * time.Hour

// longestWindow limits windows, and with them the memory of favour.
const longestWindow = 7 * day

// Validate returns every mistake in c, joined (errors.Join), each beginning with
// its key.
func (c Config) Validate() error {
	return errors.Join(
		c.validateTags(), c.validatePrograms(), c.validateRules(), c.validateWeights(), c.validateBounds(),
		c.Favour.validate(), c.Breaker.validate(), c.Ceiling.validate(), c.Repeat.validate(),
		c.Neighbourhood.validate(), c.validateZones(), c.validateTexts(),
	)
}

func (c Config) validateTags() error {
	if len(c.Tags) == 0 {
		return errors.New("tags: at least one is required")
	}
	var mistakes []error
	for i, tag := range c.Tags {
		if tag == "" {
			mistakes = append(mistakes, fmt.Errorf("tags[%d]: must not be empty", i))
		}
		if strings.Contains(strings.TrimSuffix(tag, "*"), "*") {
			mistakes = append(mistakes, fmt.Errorf("tags[%d]: %q: * can stand only at the end", i, tag))
		}
	}
	return errors.Join(mistakes...)
}

func (c Config) validateRules() error {
	if len(c.Rules) == 0 || len(c.Rules) > 32 {
		return fmt.Errorf("rules: %d rules; 1 to 32 are allowed", len(c.Rules))
	}
	var mistakes []error
	for i, r := range c.Rules {
		for _, mistake := range r.mistakes() {
			mistakes = append(mistakes, fmt.Errorf("rules[%d].%w", i, mistake))
		}
		if slices.ContainsFunc(c.Rules[:i], func(o Rule) bool { return o.Name == r.Name }) {
			mistakes = append(mistakes, fmt.Errorf("rules[%d].name: %q is taken by another rule", i, r.Name))
		}
	}
	return errors.Join(mistakes...)
}

var ruleName = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

func (r Rule) mistakes() (mistakes []error) {
	add := func(key, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf(key+": "+format, args...))
	}
	switch {
	case !ruleName.MatchString(r.Name):
		add("name", "%q: must be 1 to 32 characters of a-z, 0-9 and _", r.Name)
	case r.Name == neighbourhoodRule || r.Name == "manual" || r.Name == "blocklist":
		add("name", "%q is reserved", r.Name)
	}
	switch {
	case r.MinHosts < 0 || r.MinHosts > 1000:
		add("min_hosts", "%d is not within 0 to 1000", r.MinHosts)
	case len(r.Hosts) > 0 && r.MinHosts > len(r.Hosts):
		add("min_hosts", "%d, but hosts names only %d", r.MinHosts, len(r.Hosts))
	}
	for i, name := range r.Reasons {
		if _, ok := offence.ParseReason(name); !ok {
			add(fmt.Sprintf("reasons[%d]", i), "%q is not a reason", name)
		}
	}
	if r.Window == 0 {
		add("window", "required, 1s to %v", longestWindow)
	} else if err := durationWithin("window", r.Window, time.Second, longestWindow); err != nil {
		mistakes = append(mistakes, err)
	}
	if r.Score == 0 {
		add("score", "required, 1 to 10000")
	} else if err := pointsWithin("score", r.Score, 1, 10_000); err != nil {
		mistakes = append(mistakes, err)
	}
	if r.Block == 0 {
		add("block", "required, 1s to %v", 365*day)
	} else if err := durationWithin("block", r.Block, time.Second, 365*day); err != nil {
		mistakes = append(mistakes, err)
	}
	return mistakes
}

func (c Config) validateWeights() error {
	return errors.Join(
		validatePoints("weights", c.Weights, 100),
		validatePoints("session_caps", c.SessionCaps, 1000),
	)
}

func validatePoints(key string, points map[string]float64, most float64) error {
	var mistakes []error
	for _, name := range sortedKeys(points) {
		if _, ok := offence.ParseReason(name); !ok {
			mistakes = append(mistakes, fmt.Errorf("%s.%s: not a reason", key, name))
		} else {
			mistakes = append(mistakes, pointsWithin(key+"."+name, points[name], 0, most))
		}
	}
	return errors.Join(mistakes...)
}

func (c Config) validateBounds() error {
	return errors.Join(
		pointsWithin("session_total", c.SessionTotal, 0, 1000),
		intWithin("ipv6_prefix", c.IPv6Prefix, 32, 128),
		intWithin("max_sources", c.MaxSources, 1000, 16_000_000),
		intWithin("evidence_bytes", c.EvidenceBytes, 64<<10, 1<<30),
	)
}

func (f Favour) validate() error {
	return errors.Join(
		pointsWithin("favour.accepted", f.Accepted, 0, 100),
		pointsWithin("favour.delivered", f.Delivered, 0, 100),
		intWithin("favour.partner", f.Partner, 1, math.MaxUint16),
	)
}

func (b Breaker) validate() error {
	return errors.Join(
		intWithin("breaker.sources", b.Sources, 1, 1000),
		shareWithin("breaker.share", b.Share),
		numberWithin("breaker.surge", b.Surge, 2, 1000),
		durationWithin("breaker.close", b.Close, time.Minute, day),
	)
}

func (c Ceiling) validate() error {
	return errors.Join(
		intWithin("ceiling.per_minute", c.PerMinute, 1, 1_000_000),
		shareWithin("ceiling.host_share", c.HostShare),
		intWithin("ceiling.host_passes", c.HostPasses, 1, 1_000_000),
	)
}

func (r Repeat) validate() error {
	return errors.Join(
		numberWithin("repeat.factor", r.Factor, 1, 10),
		durationWithin("repeat.max", r.Max, time.Second, 365*day),
		durationWithin("repeat.forget", r.Forget, time.Hour, 365*day),
	)
}

func (n Neighbourhood) validate() error {
	return errors.Join(
		intWithin("neighbourhood.ipv4", n.IPv4, 2, 256),
		intWithin("neighbourhood.ipv6", n.IPv6, 2, 65_536),
		durationWithin("neighbourhood.block", n.Block, time.Second, 365*day),
	)
}

func (c Config) validateZones() error {
	var mistakes []error
	for i, z := range c.Zones {
		if z.Sender == "" {
			mistakes = append(mistakes, fmt.Errorf("zones[%d].sender: must not be empty", i))
		}
		if _, err := loadZone(z.Zone); err != nil {
			mistakes = append(mistakes, fmt.Errorf("zones[%d].zone: %w", i, err))
		}
	}
	return errors.Join(mistakes...)
}

func (c Config) validateTexts() error {
	if _, err := sendmail.NewParser(c.Texts); err != nil {
		return fmt.Errorf("texts%w", err)
	}
	return nil
}

func durationWithin(key string, d, least, most time.Duration) error {
	switch {
	case d < least || d > most:
		return fmt.Errorf("%s: %v is not within %v to %v", key, d, least, most)
	case d%time.Second != 0:
		return fmt.Errorf("%s: %v is not a number of whole seconds", key, d)
	}
	return nil
}

func pointsWithin(key string, p, least, most float64) error {
	if err := numberWithin(key, p, least, most); err != nil {
		return err
	}
	if twentieths := p * pointUnit; math.Abs(twentieths-math.Round(twentieths)) > 1e-6 {
		return fmt.Errorf("%s: %v is not a multiple of 0.05", key, p)
	}
	return nil
}

func numberWithin(key string, n, least, most float64) error {
	if !(n >= least && n <= most) { // also NaN
		return fmt.Errorf("%s: %v is not within %v to %v", key, n, least, most)
	}
	return nil
}

func shareWithin(key string, share float64) error {
	if !(share > 0 && share <= 1) {
		return fmt.Errorf("%s: %v is not greater than 0 and at most 1", key, share)
	}
	return nil
}

func intWithin(key string, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("%s: %d is not within %d to %d", key, n, least, most)
	}
	return nil
}
