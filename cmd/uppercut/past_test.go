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
		"by its own end":                 {now: at(60), at: at(60), cause: endExpired},
		"before its time, nobody knows":  {now: at(59), cause: endUnknown},
		"unblocked":                      {lifts: lift(enforcer.ActionUnblock, 10, own), now: at(90), at: at(10), cause: endManual},
		"unblocked as it began":          {lifts: lift(enforcer.ActionUnblock, 0, own), now: at(90), at: noon, cause: endManual},
		"unblocked before it began":      {lifts: lift(enforcer.ActionUnblock, -1, own), now: at(90), at: at(60), cause: endExpired},
		"unblocked after it had run out": {lifts: lift(enforcer.ActionUnblock, 60, own), now: at(90), at: at(60), cause: endExpired},
		"unblocked with its network":     {lifts: lift(enforcer.ActionUnblock, 10, around), now: at(90), at: at(10), cause: endManual},
		"allowed with its neighbours":    {lifts: lift(enforcer.ActionAllow, 10, around), now: at(90), at: at(10), cause: endAllowed},
		"forgotten by a flush":           {lifts: []enforcer.Audit{{Action: enforcer.ActionFlush, Time: at(10), Count: 7}}, now: at(90), at: at(10), cause: endFlushed},
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

// The history holds the last 20 blocks that are over, also if one more is in
// force, and knows of a flush that forgot them.
func TestHistoryIsLimited(t *testing.T) {
	e, err := enforcer.New(t.Context(), enforcer.DefaultConfig(), enforcer.Options{StateDir: t.TempDir(), Observe: true})
	if err != nil {
		t.Fatal(err)
	}
	a := &appliance{enforcer: e, pipeline: newPipeline(nil, nil, nil, nil)}
	t.Cleanup(runUntilTheEnd(t, a))
	own := netip.MustParsePrefix("203.0.113.9/32")
	for range maxHistory + 5 {
		if _, err := e.BlockNow(t.Context(), "anna", "", time.Now().Add(time.Hour), own); err != nil {
			t.Fatal(err)
		}
	}
	history := func(first string) {
		t.Helper()
		w := console.Why{Source: own}
		if b, blocked := e.Lookup(own.Addr()); blocked {
			w.Block = &console.Block{ID: b.ID}
		}
		if err := a.describeHistory(&w); err != nil {
			t.Fatal(err)
		}
		if len(w.History) != maxHistory || w.History[0].Cause != first || w.History[1].Cause != endReplaced {
			t.Errorf("%d blocks: %+v, want %d, the last %s", len(w.History), w.History, maxHistory, first)
		}
	}
	history(endReplaced)
	if err := e.Flush(t.Context(), "anna", "start over", true); err != nil {
		t.Fatal(err)
	}
	history(endFlushed)
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
