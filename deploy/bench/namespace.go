package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"

	"uppercut/deploy/lab"
)

var namespaces atomic.Int32

// newNamespace makes a network namespace that is a machine of its own: loopback
// and a firewall. remove ends it.
func newNamespace() (ns lab.Namespace, remove func(), err error) {
	ns = lab.Namespace(fmt.Sprintf("ucb%d-%d", os.Getpid(), namespaces.Add(1)))
	if err := ip("netns", "add", string(ns)); err != nil {
		return "", nil, err
	}
	remove = func() { _ = ip("netns", "del", string(ns)) }
	if err := ip("-n", string(ns), "link", "set", "lo", "up"); err != nil {
		remove()
		return "", nil, err
	}
	return ns, remove, nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", args, err, out)
	}
	return nil
}
