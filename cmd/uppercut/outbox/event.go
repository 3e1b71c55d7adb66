package outbox

import (
	"net/netip"
	"time"

	"uppercut/cmd/uppercut/console"
)

// Kind says what happened.
type Kind = console.EventKind

// The kinds of events, the same as pages show.
const (
	Block   = console.EventBlock
	Unblock = console.EventUnblock
	Guard   = console.EventGuard
	Breaker = console.EventBreaker
)

// Kinds are all of them.
func Kinds() []string {
	return []string{string(Block), string(Unblock), string(Guard), string(Breaker)}
}

// Event is something that happened. What came out of logs has its secrets
// masked before it gets here; Publish makes visible what must not reach a
// screen.
type Event struct {
	// ID is unique; a repeated delivery has the same. Publish gives it.
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Prefix is who is or was blocked, or was not.
	Prefix netip.Prefix `json:"prefix,omitzero"`
	// Block is the number of the block, Until when it ends or was to end, zero
	// for a block forever.
	Block uint64    `json:"block,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Rule fired at the score Score; Rule is manual for a block by hand.
	Rule  string  `json:"rule,omitempty"`
	Score float64 `json:"score,omitempty"`
	// Reason is the class that weighed most, Host the mail host that reported
	// most or whose breaker it is.
	Reason string `json:"reason,omitempty"`
	Host   string `json:"host,omitempty"`
	// State of a breaker: open or closed.
	State string `json:"state,omitempty"`
	// Cause is why a block ended, why somebody was not blocked, or why a
	// breaker opened.
	Cause string `json:"cause,omitempty"`
	// Author ordered it and noted Note.
	Author string `json:"author,omitempty"`
	Note   string `json:"note,omitempty"`
	// Observed: decided in observe mode, not enforced.
	Observed bool `json:"observed,omitempty"`
	// Evidence holds the last lines that led to a block. Syslog goes without.
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Evidence is a log line that counted.
type Evidence struct {
	Time   time.Time `json:"time"`
	Host   string    `json:"host"`
	Reason string    `json:"reason"`
	Text   string    `json:"text"`
}

// The bounds of an event: the last lines, and so much of each text, in bytes.
const (
	maxEvidence = 3
	maxText     = 500
)

// bounded is e without what is too much and without what must not reach a
// screen: logs are the attacker's text, and nobody knows where it is shown.
func (e Event) bounded() Event {
	for _, text := range []*string{&e.Rule, &e.Reason, &e.Host, &e.State, &e.Cause, &e.Author, &e.Note} {
		*text = tame(*text)
	}
	lines := e.Evidence[max(0, len(e.Evidence)-maxEvidence):]
	e.Evidence = make([]Evidence, len(lines))
	for i, line := range lines {
		e.Evidence[i] = Evidence{line.Time, tame(line.Host), tame(line.Reason), tame(line.Text)}
	}
	return e
}

func tame(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "..." // a cut character becomes visible as its bytes
	}
	return console.Visible(text)
}
