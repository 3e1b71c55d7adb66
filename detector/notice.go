package detector

import (
	"net/netip"
	"time"
)

// NoticeKind says what a Notice is about.
type NoticeKind uint8

// The kinds of notices, and what they fill in beside Sender and Host.
const (
	// ZoneLearned: a host's time zone was taken from its lines; Offset, east
	// of UTC. Somebody should configure it.
	ZoneLearned NoticeKind = iota
	// BreakerOpened: a host's evidence is set aside from now on; Cause.
	BreakerOpened
	// BreakerClosed: a host's evidence counts again.
	BreakerClosed
	// SeveralNames: a sender writes under several host names and is not declared
	// to be a relay, so that it counts as one host. Once for each sender.
	SeveralNames
	// OverLimit: a witness has blocked as many as it can alone in a minute by what
	// only an attacker does; Host is its name. The others wait for the ceiling.
	OverLimit
	// Exempted: a source would have been blocked; Prefix, Cause, Rule, Score.
	Exempted
)

// Notice is what an operator should know, as a value: the Detector does not
// log.
type Notice struct {
	Kind         NoticeKind
	Sender, Host string
	Offset       time.Duration
	Cause        string
	Prefix       netip.Prefix
	Rule         string
	Score        float64
}

func (d *Detector) notice(n Notice) {
	if d.options.OnNotice != nil {
		d.options.OnNotice(n)
	}
}

func (h *host) notice(kind NoticeKind) Notice {
	return Notice{Kind: kind, Sender: h.sender.name, Host: h.name}
}
