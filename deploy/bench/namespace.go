package main

import (
	"strconv"
	"sync/atomic"

	"uppercut/netns"
)

var namespaces atomic.Int32

// newNamespace makes a network namespace that is a machine of its own: loopback
// and a firewall. The caller closes it.
func newNamespace() (*netns.Namespace, error) {
	return netns.Add(netns.Name("ucb", strconv.Itoa(int(namespaces.Add(1)))))
}
