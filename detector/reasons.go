package detector

import (
	"maps"
	"math"
	"slices"

	"uppercut/detector/sendmail"
)

// points is a score in twentieths of a point, so that 0.2, 0.25 and 0.5 add up
// exactly.
type points uint32

const pointUnit = 20

func toPoints(p float64) points { return points(math.Round(p * pointUnit)) }

func (p points) float() float64 { return float64(p) / pointUnit }

// reasonSet is a set of reasons, one bit each.
type reasonSet uint64

const allReasons = ^reasonSet(0)

func reasons(list ...sendmail.Reason) (s reasonSet) {
	for _, r := range list {
		s |= 1 << r
	}
	return s
}

func (s reasonSet) has(r sendmail.Reason) bool { return s>>r&1 == 1 }

// What the classes have in common.
var (
	// attackerOnly is what nobody but the client itself can do, and no honest
	// one does: never excused by favour, never set aside by a breaker, never
	// held back by the ceiling.
	attackerOnly = reasons(sendmail.Pregreet, sendmail.OpenProxy, sendmail.BogusCmd,
		sendmail.SMTPAttack, sendmail.AuthFail, sendmail.AuthDecode, sendmail.LongInput)

	// contextOnly never makes a rule fire: monitoring probes do nothing else.
	contextOnly = reasons(sendmail.NullConnection, sendmail.Timeout, sendmail.LostInput,
		sendmail.PrematureEOM, sendmail.TLSFail)

	// clientsOwn is the client's own doing, or says something about the client
	// itself, but honest clients are hit by it when we or a list are wrong.
	// Favour excuses it for partners only, and so does a breaker: a surge of
	// it is a botnet at work rather than a mail host gone wrong.
	clientsOwn = reasons(sendmail.DNSBL, sendmail.TCPWrappers, sendmail.EHLOPipelining,
		sendmail.RelayDenied, sendmail.BadCommand, sendmail.BadHelo)

	// ourLimits are limits of our own. They show a client that is in a hurry, and
	// hold it back by themselves.
	ourLimits = reasons(sendmail.RateLimit, sendmail.ConnLimit)

	// judged4xx are the classes in which a 4xx answer is a judgement on the
	// client. Every other 4xx reports a failure of ours and weighs nothing.
	judged4xx = reasons(sendmail.RateLimit, sendmail.ConnLimit, sendmail.BadCommand, sendmail.BareNewline)

	// ours are failures of ours whatever the answer was: they never weigh.
	ours = reasons(sendmail.DNSBLTempfail, sendmail.RDNSTemp, sendmail.SenderDomainTemp, sendmail.AuthUnavailable)
)

// EndsSession tells whether an offence for r may say no more than that a session
// has ended: as when a block has cut it off, and sendmail's Timeout.command, an
// hour by default, has run out. Such a line is no sign of a packet.
func EndsSession(r sendmail.Reason) bool { return contextOnly.has(r) }

// builtinWeights is the table of the classes; what is not listed weighs
// nothing.
var builtinWeights = map[sendmail.Reason]float64{
	sendmail.RcptTrap:         10,
	sendmail.DNSBL:            5,
	sendmail.AccessReject:     4,
	sendmail.SenderAccess:     2,
	sendmail.AccessDenied:     2,
	sendmail.Discard:          2,
	sendmail.TCPWrappers:      4,
	sendmail.NoRDNS:           2,
	sendmail.RateLimit:        2,
	sendmail.ConnLimit:        2,
	sendmail.Pregreet:         6,
	sendmail.EHLOPipelining:   3,
	sendmail.RelayDenied:      5,
	sendmail.UnknownUser:      1,
	sendmail.RcptFlood:        5,
	sendmail.AuthFail:         3,
	sendmail.AuthDecode:       5,
	sendmail.SMTPAttack:       5,
	sendmail.VrfyExpn:         2,
	sendmail.VrfyExpnRejected: 2,
	sendmail.OpenProxy:        8,
	sendmail.BogusCmd:         8,
	sendmail.LongInput:        6,
	sendmail.BadCommand:       4,
	sendmail.BadHelo:          3,
	sendmail.NullConnection:   0.5,
	sendmail.SenderDomain:     1,
	sendmail.BadMX:            1,
	sendmail.BadSenderSyntax:  2,
	sendmail.RcptSyntax:       1,
	sendmail.BareNewline:      2,
	sendmail.PrematureEOM:     0.2,
	sendmail.LostInput:        0.2,
	sendmail.Timeout:          0.2,
	sendmail.TLSFail:          0.5,
	sendmail.MilterReject:     2,
	sendmail.MilterDiscard:    1,
	sendmail.MilterQuarantine: 1,
	sendmail.HeaderReject:     2,
	sendmail.RcptAccess:       0.5,
	sendmail.HeaderOverflow:   1,
	sendmail.Other:            1,
}

// builtinCaps limits, by session, the classes of which one client can write
// many lines without being an attacker beyond doubt.
const builtinCap = 5

func defaultWeights() map[string]float64 {
	weights := map[string]float64{}
	for _, r := range sendmail.Reasons() {
		weights[r.String()] = builtinWeights[r]
	}
	return weights
}

func defaultSessionCaps() map[string]float64 {
	caps := map[string]float64{}
	for _, r := range sendmail.Reasons() {
		if attackerOnly.has(r) {
			caps[r.String()] = 0
			continue
		}
		caps[r.String()] = max(builtinCap, builtinWeights[r])
	}
	return caps
}

// reasonPoints looks up every reason in over, then in builtin.
func reasonPoints(builtin, over map[string]float64) (p [64]points) {
	for _, r := range sendmail.Reasons() {
		value, ok := over[r.String()]
		if !ok {
			value = builtin[r.String()]
		}
		p[r] = toPoints(value)
	}
	return p
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
