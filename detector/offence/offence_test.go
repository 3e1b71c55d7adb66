package offence

import (
	"strings"
	"testing"
)

// TestReasons: each reason has a name of its own that leads back to it, and its
// number stays, since snapshots hold it.
func TestReasons(t *testing.T) {
	seen := map[string]Reason{}
	for _, r := range Reasons() {
		name := r.String()
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			t.Errorf("reason %d is named %q: no label", r, name)
		}
		if before, ok := seen[name]; ok {
			t.Errorf("%q is the name of %d and %d", name, before, r)
		}
		seen[name] = r
		if back, ok := ParseReason(name); !ok || back != r {
			t.Errorf("%q leads to %d, not to %d", name, back, r)
		}
	}
	for name, number := range map[string]Reason{"rcpt_trap": 1, "auth_fail": 19, "hops": 48, "other": 49, "auth_unavailable": 50} {
		if seen[name] != number {
			t.Errorf("%s is number %d; snapshots know it as %d", name, seen[name], number)
		}
	}
	for _, name := range []string{"", "nothing", "Other"} {
		if r, ok := ParseReason(name); ok {
			t.Errorf("%q is said to be reason %d", name, r)
		}
	}
}

func TestLineKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range LineKinds() {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("line kind %d is named %q", k, name)
		} else {
			seen[name] = true
		}
	}
	if len(seen) != int(NumLineKinds) {
		t.Errorf("%d line kinds, want %d", len(seen), NumLineKinds)
	}
}

// TestText: an event's text is masked by its reader, once.
func TestText(t *testing.T) {
	e := Event{Raw: "user joe, secret", Mask: func(s string) string { return strings.Replace(s, "secret", "***", 1) }}
	if got := e.Text(); got != "user joe, ***" {
		t.Errorf("masked text is %q", got)
	}
	e.Mask = nil
	if got := e.Text(); got != e.Raw {
		t.Errorf("text without a mask is %q", got)
	}
}
