package console

import (
	"errors"
	"net/netip"
	"testing"
)

// An order that is in force and not saved has not failed, and says so.
func TestOrderThatIsNotSaved(t *testing.T) {
	f := newFake()
	r := start(t, DefaultConfig(), f)
	client := r.dial(t)
	p := netip.MustParsePrefix("203.0.113.9/32")
	if _, err := client.Disallow(t.Context(), "", p); err != nil || client.Unsaved() != "" {
		t.Errorf("saved: %v, %q", err, client.Unsaved())
	}
	f.unsaved = errors.New("in force, not saved: no space left on device\r\nX-Evil: 1")
	if _, err := client.Disallow(t.Context(), "", p); err != nil || client.Unsaved() != `in force, not saved: no space left on device\x0d\x0aX-Evil: 1` {
		t.Errorf("not saved: %v, %q", err, client.Unsaved())
	}
}
