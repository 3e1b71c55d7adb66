package detector

import "time"

// Config holds the rules and weights.
type Config struct {
	// Tags lists the syslog tags of sendmail; a trailing * matches any rest.
	Tags []string `mapstructure:"tags"`
	// Rules are evaluated together; a source is blocked by the one that gives
	// the longest block.
	Rules []Rule `mapstructure:"rules"`
}

// Rule blocks a source whose offences within Window add up to Score.
type Rule struct {
	// Name is a metric label: [a-z0-9_]{1,32}.
	Name string `mapstructure:"name"`
	// Window is the width of the sliding window, 1 s to 7 days.
	Window time.Duration `mapstructure:"window"`
	// Score is the sum at which the rule fires, in points, 1 to 10000.
	Score float64 `mapstructure:"score"`
	// Block is how long the source is blocked, from the offence.
	Block time.Duration `mapstructure:"block"`
}

// DefaultConfig returns the rules that run without a file.
func DefaultConfig() Config {
	return Config{
		Tags: []string{"sendmail", "sm-*"},
		Rules: []Rule{
			{Name: "burst", Window: 10 * time.Minute, Score: 10, Block: time.Hour},
			{Name: "steady", Window: 24 * time.Hour, Score: 40, Block: 24 * time.Hour},
		},
	}
}
