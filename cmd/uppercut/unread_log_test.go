package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"uppercut/deploy/netns"
)

// TestUnreadStandardError: a program whose standard error nobody reads goes on
// blocking, and one whose reader has ended goes on, too.
func TestUnreadStandardError(t *testing.T) {
	p := newPost(t)
	r, w, err := os.Pipe()
	netns.Must(t, err)
	p.log.Reset()
	p.stderr = w
	p.start()
	w.Close()
	block := func(third, n int) {
		t.Helper()
		args := []string{"--config", filepath.Join(p.dir, "uppercut.yaml"), "block"}
		for i := range n {
			args = append(args, fmt.Sprintf("20.0.%d.%d", third+i>>8, i&255))
		}
		if said, code := p.ask(args...); code != 0 {
			t.Fatal(said)
		}
	}
	block(0, 1500) // a pipe holds some 300 lines
	block(100, 1)
	if !p.drops("20.0.100.0") {
		t.Error("nothing is blocked behind a log that nobody reads")
	}
	r.Close()
	block(101, 2)
	if said, code := p.ask("--config", filepath.Join(p.dir, "uppercut.yaml"), "health"); code != 0 {
		t.Errorf("after the reader's end: %d\n%s", code, said)
	}
	p.end(syscall.SIGTERM)
}
