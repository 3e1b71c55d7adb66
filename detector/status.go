package detector

import (
	"net/netip"
	"slices"
	"time"

	"uppercut/detector/offence"
)

// BreakerStatus is the state of a mail host's breaker.
type BreakerStatus struct {
	Sender, Host string
	Open         bool
	// Cause is partners or surge, "" if the breaker is not open.
	Cause string
	// Since is when the evidence that is set aside begins, in the host's log
	// time; LastBad is when the host was last abnormal, in time of arrival.
	Since, LastBad time.Time
	// SetAside is the number of offences that came in since it opened and do
	// not count; 0 if it is not open.
	SetAside uint64
	// Refusing of Heard sources with accepted mail were refused by the host
	// last, within 5 minutes.
	Refusing, Heard int
}

// Breakers returns the breakers of all mail hosts, those that are open first.
func (d *Detector) Breakers() []BreakerStatus {
	list := make([]BreakerStatus, 0, len(d.hosts.byNumber))
	for h := range d.hosts.all {
		list = append(list, h.breakerStatus())
	}
	slices.SortStableFunc(list, func(a, b BreakerStatus) int {
		switch {
		case a.Open == b.Open:
			return 0
		case a.Open:
			return -1
		}
		return 1
	})
	return list
}

func (h *host) breakerStatus() BreakerStatus {
	b := h.breaker
	if joint := &h.witness.breaker; joint.open && !b.open {
		b = joint
	}
	s := BreakerStatus{Sender: h.sender.name, Host: h.name, Open: b.open, Refusing: b.refusing, Heard: b.heard}
	if b.open {
		s.Cause = b.cause.String()
		s.Since = fromSecond(b.intervals[len(b.intervals)-1].from)
		s.LastBad, s.SetAside = b.lastBad, b.setAside
	}
	return s
}

// CloseBreaker closes the breakers of the mail hosts that are meant, and returns
// how many were open. What was set aside stays so.
func (d *Detector) CloseBreaker(meant func(sender, host string) bool) (closed int) {
	for h := range d.hosts.all {
		for b := range h.breakers {
			if b.open && meant(h.sender.name, h.name) {
				d.closeBreaker(b)
				closed++
			}
		}
	}
	return closed
}

// SourceStatus is what is known of a source.
type SourceStatus struct {
	Prefix netip.Prefix
	// LastSeen is the newest offence or mail in its favour.
	LastSeen time.Time
	// Rules holds the score of each rule in the window that ends now.
	Rules []RuleScore
	// Offences are those that are still remembered, by reason.
	Offences []ReasonTotal
	// Accepted and Delivered are messages from and to the source in 7 days.
	// Partner: one session alone does not block it.
	Accepted, Delivered int
	Partner             bool
	// Blocks is how often it was blocked without being forgiven in between;
	// BlockedUntil is the end of the last block, past or to come, zero if
	// there was none.
	Blocks       int
	BlockedUntil time.Time
	// Waiting: a verdict waits for the ceiling. Exempt: the last one met an
	// exemption. Pardoned: it is left alone for now.
	Waiting, Exempt, Pardoned bool
	// Evidence holds its last lines, up to 20, oldest first.
	Evidence []Evidence
}

// RuleScore is a source's score by one rule.
type RuleScore struct {
	Rule  string
	Score float64 // after favour, caps and context
	Limit float64 // at which the rule fires
	Hosts int     // witnesses: distinct senders, and hosts in files
	// The score is made of what only an attacker does, what says something
	// about the client itself, what a relay can be made to do, context, and
	// the credit of mail.
	Attacker, Own, Relayed, Context, Credit float64
}

// ReasonTotal is a source's offences by one reason.
type ReasonTotal struct {
	Reason   offence.Reason
	Score    float64 // before favour
	Last     time.Time
	Count    int // offences; for AUTH failures user names
	LastHost string
}

// SourcePrefix returns the prefix by which addr is counted and blocked;
// ipv6Bits is Config.IPv6Prefix.
func SourcePrefix(addr netip.Addr, ipv6Bits int) netip.Prefix {
	return sourcePrefix(addr.Unmap(), ipv6Bits)
}

// Source returns what is known of the source that addr belongs to; false if
// nothing is.
func (d *Detector) Source(addr netip.Addr, now time.Time) (SourceStatus, bool) {
	prefix := sourcePrefix(addr, d.judgement.ipv6Prefix)
	key := d.sources.key(prefix)
	number := d.sources.find(&key)
	if number == 0 {
		return SourceStatus{Prefix: prefix, Pardoned: d.pardoned(prefix)}, false
	}
	return d.status(d.sources.at(number), now), true
}

// status is what is known of s.
func (d *Detector) status(s *source, now time.Time) SourceStatus {
	end, prefix := unixSecond(now), s.prefix()
	status := SourceStatus{
		Prefix: prefix, LastSeen: fromSecond(s.seen), Offences: d.totals(s),
		Blocks: int(s.blocks), Waiting: s.flags&waiting != 0, Exempt: s.flags&refused != 0,
		Pardoned: d.pardoned(prefix), Evidence: d.evidence(s),
	}
	if s.until != 0 {
		status.BlockedUntil = fromSecond(s.until)
	}
	status.Accepted, status.Delivered = d.mail(s, end)
	status.Partner = status.Accepted >= d.judgement.partner
	for i := range d.judgement.rules {
		status.Rules = append(status.Rules, d.ruleScore(&d.judgement.rules[i], s, end))
	}
	return status
}

func (d *Detector) ruleScore(r *rule, s *source, end uint32) RuleScore {
	offences := d.sources.offences(s)
	is := d.standing(r, s, end)
	t := d.tally(r, offences, end, is.known, false)
	witnesses, _ := d.witnesses(r, offences, end, is.known)
	score := RuleScore{
		Rule: r.name, Score: t.score(is).float(), Limit: r.score.float(), Hosts: witnesses,
		Attacker: t.attacker.float(), Own: t.own.float(), Credit: is.credit.float(),
	}
	score.Relayed, score.Context = t.relayed.float(), t.context.float()
	return score
}

// totals adds up a source's offences by reason, in the order of reasons.
func (d *Detector) totals(s *source) (totals []ReasonTotal) {
	var byReason [64]ReasonTotal
	offences := d.sources.offences(s)
	for i := range offences {
		m := &offences[i]
		t := &byReason[m.reason()]
		t.Reason, t.Last, t.LastHost = m.reason(), fromSecond(m.second), d.hosts.name(m.host())
		t.Score += points(m.weight).float()
		t.Count += offencesOf(m)
	}
	for _, t := range byReason {
		if t.Count > 0 {
			totals = append(totals, t)
		}
	}
	return totals
}

func offencesOf(m *mark) int {
	if m.reason() == offence.AuthFail {
		return 1
	}
	return int(m.extra)
}

// Tracked returns how many IPv4 and IPv6 sources are remembered.
func (d *Detector) Tracked() (ipv4, ipv6 int) {
	return d.sources.ipv4, d.sources.count - d.sources.ipv4
}

// Waiting returns how many verdicts wait for the ceiling.
func (d *Detector) Waiting() int { return len(d.ceiling.waiting) }

func fromSecond(second uint32) time.Time { return time.Unix(int64(second), 0).UTC() }
