package detector

import (
	"maps"
	"math"
	"slices"

	"uppercut/detector/offence"
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

func reasons(list ...offence.Reason) (s reasonSet) {
	for _, r := range list {
		s |= 1 << r
	}
	return s
}

func (s reasonSet) has(r offence.Reason) bool { return s>>r&1 == 1 }

// What the classes have in common.
var (
	// attackerOnly is what nobody but the client itself can do, and no honest
	// one does: never excused by favour, never set aside by a breaker, never
	// held back by the ceiling.
	attackerOnly = reasons(offence.Pregreet, offence.OpenProxy, offence.BogusCmd,
		offence.SMTPAttack, offence.AuthFail, offence.AuthDecode, offence.LongInput)

	// contextOnly never makes a rule fire: monitoring probes do nothing else.
	contextOnly = reasons(offence.NullConnection, offence.Timeout, offence.LostInput,
		offence.PrematureEOM, offence.TLSFail)

	// clientsOwn is the client's own doing, or says something about the client
	// itself, but honest clients are hit by it when we or a list are wrong.
	// Favour excuses it for partners only, and so does a breaker: a surge of
	// it is a botnet at work rather than a mail host gone wrong.
	clientsOwn = reasons(offence.DNSBL, offence.TCPWrappers, offence.EHLOPipelining,
		offence.RelayDenied, offence.BadCommand, offence.BadHelo)

	// ourLimits are limits of our own. They show a client that is in a hurry, and
	// hold it back by themselves.
	ourLimits = reasons(offence.RateLimit, offence.ConnLimit)

	// judged4xx are the classes in which a 4xx answer is a judgement on the
	// client. Every other 4xx reports a failure of ours and weighs nothing.
	judged4xx = reasons(offence.RateLimit, offence.ConnLimit, offence.BadCommand, offence.BareNewline)

	// ours are failures of ours whatever the answer was: they never weigh.
	ours = reasons(offence.DNSBLTempfail, offence.RDNSTemp, offence.SenderDomainTemp, offence.AuthUnavailable)
)

// EndsSession tells whether an offence for r may say no more than that a session
// has ended: as when a block has cut it off, and sendmail's Timeout.command, an
// hour by default, has run out. Such a line is no sign of a packet.
func EndsSession(r offence.Reason) bool { return contextOnly.has(r) }

// builtinWeights is the table of the classes; what is not listed weighs
// nothing.
var builtinWeights = map[offence.Reason]float64{
	offence.RcptTrap:         10,
	offence.DNSBL:            5,
	offence.AccessReject:     4,
	offence.SenderAccess:     2,
	offence.AccessDenied:     2,
	offence.Discard:          2,
	offence.TCPWrappers:      4,
	offence.NoRDNS:           2,
	offence.RateLimit:        2,
	offence.ConnLimit:        2,
	offence.Pregreet:         6,
	offence.EHLOPipelining:   3,
	offence.RelayDenied:      5,
	offence.UnknownUser:      1,
	offence.RcptFlood:        5,
	offence.AuthFail:         3,
	offence.AuthDecode:       5,
	offence.SMTPAttack:       5,
	offence.VrfyExpn:         2,
	offence.VrfyExpnRejected: 2,
	offence.OpenProxy:        8,
	offence.BogusCmd:         8,
	offence.LongInput:        6,
	offence.BadCommand:       4,
	offence.BadHelo:          3,
	offence.NullConnection:   0.5,
	offence.SenderDomain:     1,
	offence.BadMX:            1,
	offence.BadSenderSyntax:  2,
	offence.RcptSyntax:       1,
	offence.BareNewline:      2,
	offence.PrematureEOM:     0.2,
	offence.LostInput:        0.2,
	offence.Timeout:          0.2,
	offence.TLSFail:          0.5,
	offence.MilterReject:     2,
	offence.MilterDiscard:    1,
	offence.MilterQuarantine: 1,
	offence.HeaderReject:     2,
	offence.RcptAccess:       0.5,
	offence.HeaderOverflow:   1,
	offence.Other:            1,
}

// builtinCaps limits, by session, the classes of which one client can write
// many lines without being an attacker beyond doubt.
const builtinCap = 5

func defaultWeights() map[string]float64 {
	weights := map[string]float64{}
	for _, r := range offence.Reasons() {
		weights[r.String()] = builtinWeights[r]
	}
	return weights
}

func defaultSessionCaps() map[string]float64 {
	caps := map[string]float64{}
	for _, r := range offence.Reasons() {
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
	for _, r := range offence.Reasons() {
		value, ok := over[r.String()]
		if !ok {
			value = builtin[r.String()]
		}
		p[r] = toPoints(value)
	}
	return p
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
