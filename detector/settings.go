package detector

import (
	"math"
	"strings"
)

// judgement is a Config made ready.
type judgement struct {
	tags          tags
	rules         []rule
	leastScore    points // of all rules
	longestWindow uint32 // of all rules
	weights       [64]points
	caps          [64]points // of one session; 0 is none
	sessionTotal  points     // of one session over all reasons with a cap; 0 is none
	credit        [2]points  // by kind of favour
	partner       int
	ipv6Prefix    int
	breaker       Breaker
	ceiling       Ceiling
	repeat        Repeat
	neighbourhood Neighbourhood
}

func newJudgement(c Config) *judgement {
	j := &judgement{
		tags:          newTags(c.Tags),
		leastScore:    math.MaxUint32,
		weights:       reasonPoints(defaultWeights(), c.Weights),
		caps:          reasonPoints(defaultSessionCaps(), c.SessionCaps),
		sessionTotal:  toPoints(c.SessionTotal),
		credit:        [2]points{acceptedMail: toPoints(c.Favour.Accepted), deliveredMail: toPoints(c.Favour.Delivered)},
		partner:       c.Favour.Partner,
		ipv6Prefix:    c.IPv6Prefix,
		breaker:       c.Breaker,
		ceiling:       c.Ceiling,
		repeat:        c.Repeat,
		neighbourhood: c.Neighbourhood,
	}
	for _, r := range c.Rules {
		compiled := newRule(r)
		j.rules = append(j.rules, compiled)
		j.leastScore = min(j.leastScore, compiled.score)
		j.longestWindow = max(j.longestWindow, compiled.window)
	}
	return j
}

// tags are syslog tags, and beginnings of them.
type tags []tag

type tag struct {
	text string
	open bool
}

func newTags(list []string) (all tags) {
	for _, t := range list {
		stem, open := strings.CutSuffix(t, "*")
		all = append(all, tag{stem, open})
	}
	return all
}

func (t tags) match(name string) bool {
	for _, t := range t {
		if name == t.text || t.open && strings.HasPrefix(name, t.text) {
			return true
		}
	}
	return false
}

// ours tells whether a tag is one of sendmail's.
func (j *judgement) ours(name string) bool { return j.tags.match(name) }

// keep is how long a source is remembered after the last that was heard of it,
// in seconds.
func (j *judgement) keep() uint32 { return max(j.longestWindow, seconds(longestWindow)) }

// dead tells that nothing is held for or against a source any more.
func (d *Detector) dead(s *source, now uint32) bool {
	if s.flags&waiting != 0 || now < s.until || now-min(now, s.seen) < d.judgement.keep() {
		return false
	}
	return s.blocks == 0 || d.forgiven(s, now)
}
