package pack

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/machine"
)

// asService runs uppercut as the unit would: as its user, with its capability
// alone.
func asService(t *testing.T, m machine.Machine, args ...string) *exec.Cmd {
	t.Helper()
	return m.Command(t, "setpriv", append([]string{
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
	install(t, m, deb)
	for _, mode := range []string{"observe", "enforce"} {
		m.Do(t, "sed", "-i", "s/^mode:.*/mode: "+mode+"/", "/etc/uppercut/uppercut.yaml")
		var log strings.Builder
		serve := asService(t, m, "serve")
		serve.Stderr = &log
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- serve.Wait() }()
		if err := healthy(t, m, ended); err != nil {
			t.Fatalf("%s: %v\n%s", mode, err, log.String())
		}
		_, err := m.Try(t, "nft", "list", "table", "inet", "uppercut")
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
func healthy(t *testing.T, m machine.Machine, ended chan error) error {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := m.Try(t, "uppercut", "health")
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
