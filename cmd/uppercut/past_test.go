package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/enforcer"
)

func TestEnding(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	own, other, around := netip.MustParsePrefix("203.0.113.9/32"), netip.MustParsePrefix("203.0.113.8/32"), netip.MustParsePrefix("203.0.113.0/24")
	block := enforcer.Block{Prefix: own, At: noon, Until: at(60)}
	lift := func(action string, minute int, p netip.Prefix) []enforcer.Audit {
		return []enforcer.Audit{{Action: action, Time: at(minute), Prefixes: []netip.Prefix{other, p}}}
	}
	for name, tc := range map[string]struct {
		newer []enforcer.Block
		lifts []enforcer.Audit
		now   time.Time
		at    time.Time
		cause string
	}{
		"by itself":                      {now: at(60), at: at(60), cause: endExpired},
		"before its time, nobody knows":  {now: at(59), cause: endUnknown},
		"unblocked":                      {lifts: lift(enforcer.ActionUnblock, 10, own), now: at(90), at: at(10), cause: endManual},
		"unblocked as it began":          {lifts: lift(enforcer.ActionUnblock, 0, own), now: at(90), at: noon, cause: endManual},
		"unblocked before it began":      {lifts: lift(enforcer.ActionUnblock, -1, own), now: at(90), at: at(60), cause: endExpired},
		"unblocked after it had run out": {lifts: lift(enforcer.ActionUnblock, 60, own), now: at(90), at: at(60), cause: endExpired},
		"somebody else unblocked":        {lifts: lift(enforcer.ActionUnblock, 10, around), now: at(90), at: at(60), cause: endExpired},
		"allowed with its neighbours":    {lifts: lift(enforcer.ActionAllow, 10, around), now: at(90), at: at(10), cause: endAllowed},
		"blocked for longer": {
			newer: []enforcer.Block{{Prefix: own, At: at(70)}, {Prefix: around, At: at(10)}, {Prefix: own, At: at(20)}},
			now:   at(30), at: at(20), cause: endReplaced,
		},
	} {
		if at, cause := ending(block, tc.newer, tc.lifts, tc.now); !at.Equal(tc.at) || cause != tc.cause {
			t.Errorf("%s: %v %s, want %v %s", name, at, cause, tc.at, tc.cause)
		}
	}
}

// What the search of the audit log suggests is what the ledger says, so that
// each suggestion can find something.
func TestSuggestedActionsAreThoseOfTheLedger(t *testing.T) {
	want := []string{
		enforcer.ActionBlock, enforcer.ActionUnblock, enforcer.ActionAllow, enforcer.ActionDisallow, auditCloseBreaker,
		enforcer.ActionFlush, enforcer.ActionResume, enforcer.ActionRepair, auditReload,
	}
	if got := console.Actions(); !slices.Equal(got, want) {
		t.Errorf("suggested are %v, the ledger has %v", got, want)
	}
}
