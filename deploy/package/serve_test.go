package pack

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// asService runs uppercut as the unit would: as its user, with its capability
// alone.
func (m machine) asService(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return m.command(t, "setpriv", append([]string{
		"--reuid=uppercut", "--regid=uppercut", "--init-groups", "--no-new-privs",
		"--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin",
		"uppercut",
	}, args...)...)
}

// TestServeAsPackaged runs the installed program as its unit would, with the
// packaged configuration and then enforcing.
func TestServeAsPackaged(t *testing.T) {
	deb, _ := packages(t)
	m := newMachine(t)
	m.install(t, deb)
	for _, mode := range []string{"observe", "enforce"} {
		m.do(t, "sed", "-i", "s/^mode:.*/mode: "+mode+"/", "/etc/uppercut/uppercut.yaml")
		var log strings.Builder
		serve := m.asService(t, "serve")
		serve.Stderr = &log
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- serve.Wait() }()
		if err := m.healthy(t, ended); err != nil {
			t.Fatalf("%s: %v\n%s", mode, err, log.String())
		}
		_, err := m.try(t, "nft", "list", "table", "inet", "uppercut")
		if enforces := err == nil; enforces != (mode == "enforce") {
			t.Errorf("%s: there is a table: %v", mode, enforces)
		}
		if err := serve.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: serve: %v\n%s", mode, err, log.String())
		}
	}
}

// healthy waits until the appliance says that it is well.
func (m machine) healthy(t *testing.T, ended chan error) error {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := m.try(t, "uppercut", "health")
		if err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it ended by itself: %w", err)
		case <-deadline:
			return fmt.Errorf("not healthy: %s", out)
		case <-tick.C:
		}
	}
}
