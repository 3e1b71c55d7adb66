package detector

import (
	"math"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

func TestDefaultConfigIsValid(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if len(c.Weights) != len(offence.Reasons()) {
		t.Errorf("%d weights", len(c.Weights))
	}
	for _, r := range offence.Reasons() {
		if limit := c.SessionCaps[r.String()]; limit != 0 && limit < c.Weights[r.String()] {
			t.Errorf("one %v weighs %v, a session earns %v", r, c.Weights[r.String()], limit)
		}
	}
}

// Each mistake is named with its key and what is possible.
func TestConfigMistakes(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"tags: at least one is required":                                                             func(c *Config) { c.Tags = nil },
		"tags[1]: must not be empty":                                                                 func(c *Config) { c.Tags = []string{"a", ""} },
		`tags[0]: "s*m": * can stand only at the end`:                                                func(c *Config) { c.Tags = []string{"s*m"} },
		"rules: 0 rules; 1 to 32 are allowed":                                                        func(c *Config) { c.Rules = nil },
		`rules[1].name: "burst" is taken by another rule`:                                            func(c *Config) { c.Rules[1].Name = "burst" },
		`rules[0].name: "Burst": must be 1 to 32 characters of a-z, 0-9 and _`:                       func(c *Config) { c.Rules[0].Name = "Burst" },
		`rules[0].name: "manual" is reserved`:                                                        func(c *Config) { c.Rules[0].Name = "manual" },
		"rules[1].window: required, 1s to 168h0m0s":                                                  func(c *Config) { c.Rules[1].Window = 0 },
		"rules[1].window: 168h0m1s is not within 1s to 168h0m0s":                                     func(c *Config) { c.Rules[1].Window = 7*day + time.Second },
		"rules[0].window: 1.5s is not a number of whole seconds":                                     func(c *Config) { c.Rules[0].Window = 1500 * time.Millisecond },
		"rules[0].score: required, 1 to 10000":                                                       func(c *Config) { c.Rules[0].Score = 0 },
		"rules[0].score: NaN is not within 1 to 10000":                                               func(c *Config) { c.Rules[0].Score = math.NaN() },
		"rules[0].score: 1.01 is not a multiple of 0.05":                                             func(c *Config) { c.Rules[0].Score = 1.01 },
		"rules[0].block: required, 1s to 8760h0m0s":                                                  func(c *Config) { c.Rules[0].Block = 0 },
		`rules[0].reasons[1]: "spam" is not a reason`:                                                func(c *Config) { c.Rules[0].Reasons = []string{"dnsbl", "spam"} },
		"rules[0].min_hosts: -1 is not within 0 to 1000":                                             func(c *Config) { c.Rules[0].MinHosts = -1 },
		"rules[0].min_hosts: 2, but hosts names only 1":                                              func(c *Config) { c.Rules[0].MinHosts, c.Rules[0].Hosts = 2, []string{"mx1"} },
		"weights.spam: not a reason":                                                                 func(c *Config) { c.Weights["spam"] = 1 },
		"weights.dnsbl: 101 is not within 0 to 100":                                                  func(c *Config) { c.Weights["dnsbl"] = 101 },
		"weights.dnsbl: 0.03 is not a multiple of 0.05":                                              func(c *Config) { c.Weights["dnsbl"] = 0.03 },
		"session_caps.dnsbl: -1 is not within 0 to 1000":                                             func(c *Config) { c.SessionCaps["dnsbl"] = -1 },
		"session_total: 2000 is not within 0 to 1000":                                                func(c *Config) { c.SessionTotal = 2000 },
		"ipv6_prefix: 31 is not within 32 to 128":                                                    func(c *Config) { c.IPv6Prefix = 31 },
		"max_sources: 999 is not within 1000 to 16000000":                                            func(c *Config) { c.MaxSources = 999 },
		"evidence_bytes: 1 is not within 65536 to 1073741824":                                        func(c *Config) { c.EvidenceBytes = 1 },
		"favour.accepted: -1 is not within 0 to 100":                                                 func(c *Config) { c.Favour.Accepted = -1 },
		"favour.delivered: 101 is not within 0 to 100":                                               func(c *Config) { c.Favour.Delivered = 101 },
		"favour.partner: 0 is not within 1 to 65535":                                                 func(c *Config) { c.Favour.Partner = 0 },
		"breaker.sources: 0 is not within 1 to 1000":                                                 func(c *Config) { c.Breaker.Sources = 0 },
		"breaker.share: 0 is not greater than 0 and at most 1":                                       func(c *Config) { c.Breaker.Share = 0 },
		"breaker.surge: 1 is not within 2 to 1000":                                                   func(c *Config) { c.Breaker.Surge = 1 },
		"breaker.close: 1s is not within 1m0s to 24h0m0s":                                            func(c *Config) { c.Breaker.Close = time.Second },
		"ceiling.per_minute: 0 is not within 1 to 1000000":                                           func(c *Config) { c.Ceiling.PerMinute = 0 },
		"ceiling.host_share: 1.5 is not greater than 0 and at most 1":                                func(c *Config) { c.Ceiling.HostShare = 1.5 },
		"repeat.factor: 0.5 is not within 1 to 10":                                                   func(c *Config) { c.Repeat.Factor = 0.5 },
		"repeat.max: 0s is not within 1s to 8760h0m0s":                                               func(c *Config) { c.Repeat.Max = 0 },
		"repeat.forget: 1m0s is not within 1h0m0s to 8760h0m0s":                                      func(c *Config) { c.Repeat.Forget = time.Minute },
		"neighbourhood.ipv4: 1 is not within 2 to 256":                                               func(c *Config) { c.Neighbourhood.IPv4 = 1 },
		"neighbourhood.ipv6: 1 is not within 2 to 65536":                                             func(c *Config) { c.Neighbourhood.IPv6 = 1 },
		"neighbourhood.block: 0s is not within 1s to 8760h0m0s":                                      func(c *Config) { c.Neighbourhood.Block = 0 },
		"zones[0].sender: must not be empty":                                                         func(c *Config) { c.Zones = []Zone{{Zone: "UTC"}} },
		"zones[0].zone: unknown time zone Mars/Olympus":                                              func(c *Config) { c.Zones = []Zone{{Sender: "a", Zone: "Mars/Olympus"}} },
		`zones[0].zone: "Local": not a time zone of the IANA database, such as Europe/Berlin or UTC`: func(c *Config) { c.Zones = []Zone{{Sender: "a", Zone: "Local"}} },
		"texts[0].text: must not be empty":                                                           func(c *Config) { c.Texts = []sendmail.TextReason{{Reason: "dnsbl"}} },
		`texts[0].reason: unknown reason "spam"`:                                                     func(c *Config) { c.Texts = []sendmail.TextReason{{Text: "x", Reason: "spam"}} },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := New(c, Options{}); err == nil {
			t.Errorf("New takes it: %s", want)
		}
	}
}

// A weight that is not named keeps its default, one that is 0 weighs nothing.
func TestWeightsOverDefaults(t *testing.T) {
	j := newJudgement(Config{Weights: map[string]float64{"dnsbl": 0, "pregreet": 2.5}})
	for r, want := range map[offence.Reason]float64{
		offence.DNSBL: 0, offence.Pregreet: 2.5, offence.OpenProxy: 8, offence.LostInput: 0.2, offence.TooBig: 0,
	} {
		if got := j.weights[r].float(); got != want {
			t.Errorf("%v weighs %v, want %v", r, got, want)
		}
	}
}

func TestTags(t *testing.T) {
	j := newJudgement(Config{Tags: []string{"sendmail", "sm-*"}})
	for tag, ours := range map[string]bool{
		"sendmail": true, "sendmail2": false, "sm-mta": true, "sm-": true, "sm": false, "postfix/smtpd": false, "": false,
	} {
		if j.ours(tag) != ours {
			t.Errorf("%q is ours: %v", tag, !ours)
		}
	}
	if !newJudgement(Config{Tags: []string{"*"}}).ours("anything") {
		t.Error("* takes everything")
	}
}

// A new configuration judges by what is known already.
func TestReconfigure(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 100))
	for i := range 5 {
		b.offend(noon.Add(time.Duration(i)*time.Second), someone, offence.OpenProxy)
	}
	c := DefaultConfig()
	c.Rules[0].Score = 48
	if err := b.d.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	if v := b.offend(noon.Add(time.Minute), someone, offence.OpenProxy); len(v) != 1 || v[0].Score != 48 {
		t.Errorf("%+v", v)
	}
	c.Tags = nil
	if err := b.d.Reconfigure(c); err == nil || !strings.HasPrefix(err.Error(), "tags: ") {
		t.Errorf("%v", err)
	}
	if !b.d.judgement.ours("sendmail") {
		t.Error("a configuration that is refused changes nothing")
	}
}
