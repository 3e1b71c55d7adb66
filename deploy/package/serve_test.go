package pack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/sandbox"
)

// asService runs uppercut as the unit would: as its user, with its capability
// alone.
func asService(t *testing.T, m sandbox.Machine, args ...string) *exec.Cmd {
	t.Helper()
	return m.Command(t, "setpriv", append([]string{
		"--reuid=uppercut", "--regid=uppercut", "--init-groups", "--no-new-privs",
		"--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin",
		"uppercut",
	}, args...)...)
}

// serve runs the installed program as its unit would, and returns when it is
// healthy. stop ends it.
func serve(t *testing.T, m sandbox.Machine) (stop func()) {
	t.Helper()
	var printed, log strings.Builder
	command := asService(t, m, "serve")
	command.Stdout, command.Stderr = &printed, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	if err := healthy(t, m, ended); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return func() {
		t.Helper()
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v\n%s", err, log.String())
		}
		if strings.Contains(printed.String(), "defaults") {
			t.Errorf("it takes its configuration for none:\n%s", printed.String())
		}
	}
}

// mode writes it into the packaged configuration.
func mode(t *testing.T, m sandbox.Machine, mode string) {
	t.Helper()
	m.Do(t, "sed", "-i", "s/^mode:.*/mode: "+mode+"/", "/etc/uppercut/uppercut.yaml")
}

// TestServeAsPackaged runs with the packaged configuration and then enforcing.
func TestServeAsPackaged(t *testing.T) {
	deb, _ := packages(t)
	m := newMachine(t)
	install(t, m, deb)
	for _, word := range []string{"observe", "enforce"} {
		mode(t, m, word)
		stop := serve(t, m)
		_, err := m.Try(t, "nft", "list", "table", "inet", "uppercut")
		if enforces := err == nil; enforces != (word == "enforce") {
			t.Errorf("%s: there is a table: %v", word, enforces)
		}
		stop()
	}
}

// TestUpgradeKeepsBlocks: from before the upgrade until the new version serves
// the kernel drops what it dropped; removal lets everybody in again.
func TestUpgradeKeepsBlocks(t *testing.T) {
	const client = "203.0.113.9"
	deb, _ := packages(t)
	m := newMachine(t)
	install(t, m, deb)
	mode(t, m, "enforce")
	inForce := func(when string) {
		t.Helper()
		if out, err := m.Try(t, "nft", "list", "set", "inet", "uppercut", "block4"); err != nil || !strings.Contains(out, client) {
			t.Errorf("%s the block is not in force: %v\n%s", when, err, out)
		}
	}
	stop := serve(t, m)
	m.Do(t, "uppercut", "block", "--for", "2h", client)
	inForce("before the upgrade")
	install(t, m, filepath.Join(second(t), debName("0.2.0")))
	inForce("after the upgrade")
	stop()
	inForce("between the versions")
	stop = serve(t, m)
	inForce("under the new version")
	if out := m.Do(t, "uppercut", "blocks"); !strings.Contains(out, client) {
		t.Errorf("the new version does not know the block:\n%s", out)
	}
	stop()
	m.Do(t, "dpkg", "--remove", "uppercut")
	if out, err := m.Try(t, "nft", "list", "table", "inet", "uppercut"); err == nil {
		t.Errorf("after the removal the table is still there:\n%s", out)
	}
}

// healthy waits until the appliance says that it is well.
func healthy(t *testing.T, m sandbox.Machine, ended chan error) error {
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
