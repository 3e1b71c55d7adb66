package detector

import (
	"testing"
)

// TestContainersAreToldApart: processes of two containers of one host have the
// same PID, and each has sessions of its own.
func TestContainersAreToldApart(t *testing.T) {
	one, two := Line{Sender: "192.0.2.1", Host: "gw", Wrapper: "mx1", PID: 8}, Line{Sender: "192.0.2.1", Host: "gw", Wrapper: "mx2", PID: 8}
	again := one
	for _, l := range []*Line{&one, &two, &again} {
		l.Digest()
	}
	if one.sessionKey == two.sessionKey || one.hash() == two.hash() {
		t.Error("two containers share their sessions")
	}
	if one.hostKey != two.hostKey || one.sessionKey != again.sessionKey || one.hash() != again.hash() {
		t.Error("one host or one container counts as two")
	}
}
