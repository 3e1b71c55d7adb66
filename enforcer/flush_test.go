package enforcer

import (
	"testing"
	"time"
)

// Without an appliance flush takes the table away and the next start brings
// the blocks back, unless they are to be forgotten.
func TestFlushStopped(t *testing.T) {
	ns := newKernel(t)
	c, o := DefaultConfig(), options(t, ns)
	a := start(t, c, o)
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush()
	a.stop()
	if got := ns.nft(t, "list", "tables"); got == "" {
		t.Fatal("the table went with the process")
	}
	ns.nft(t, "add", "table", "inet", "others")
	for _, want := range []bool{true, false} {
		if found, err := FlushStopped(t.Context(), Config{MaxAddresses: -1}, o, "op", "stopped", false); err != nil || found != want {
			t.Fatalf("there was a table: %v, %v; want %v", found, err, want)
		}
	}
	if got := ns.nft(t, "list", "tables"); got != "table inet others\n" {
		t.Errorf("tables after the flush: %q", got)
	}
	back := start(t, c, o)
	notes := 0
	for entry, err := range back.AuditLog() {
		if err != nil || entry.Action != ActionFlush || entry.Author != "op" || entry.Note != "stopped" {
			t.Errorf("audit log: %+v, %v", entry, err)
		}
		notes++
	}
	if notes != 2 {
		t.Errorf("%d entries in the audit log, want one of each flush", notes)
	}
	if !back.whole(1) {
		t.Errorf("the block did not come back: %v", inKernel(t, ns))
	}
	back.stop()
	if _, err := FlushStopped(t.Context(), c, o, "op", "gone for good", true); err != nil {
		t.Fatal(err)
	}
	forgot := start(t, c, o)
	if n := forgot.Count(); n != 0 {
		t.Errorf("%d blocks came back although they were to be forgotten", n)
	}
}
