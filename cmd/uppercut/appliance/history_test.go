package appliance

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
	block := enforcer.Block{At: noon, Until: at(60)}
	for name, tc := range map[string]struct {
		past  enforcer.Unblock
		now   time.Time
		at    time.Time
		cause string
	}{
		"the ledger has it":          {enforcer.Unblock{Block: block, Ended: at(10), Cause: "ssh_peer"}, at(90), at(10), "ssh_peer"},
		"an older ledger, its time":  {enforcer.Unblock{Block: block}, at(60), at(60), endExpired},
		"an older ledger, before it": {enforcer.Unblock{Block: block}, at(59), time.Time{}, endUnknown},
	} {
		if at, cause := ending(tc.past, tc.now); !at.Equal(tc.at) || cause != tc.cause {
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
	a := &Appliance{enforcer: e, pipeline: newPipeline(nil, nil, nil, nil)}
	t.Cleanup(runUntilTheEnd(t, a))
	own := netip.MustParsePrefix("203.0.113.9/32")
	for range MaxHistory + 5 {
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
		if len(w.History) != MaxHistory || w.History[0].Cause != first || w.History[1].Cause != "replaced" {
			t.Errorf("%d blocks: %+v, want %d, the last %s", len(w.History), w.History, MaxHistory, first)
		}
	}
	history("replaced")
	if err := e.Flush(t.Context(), "anna", "start over", time.Time{}, true); err != nil {
		t.Fatal(err)
	}
	history("flushed")
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
