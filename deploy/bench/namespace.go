package main

import (
	"strconv"
	"sync/atomic"

	"uppercut/deploy/netns"
)

// namePrefix is that of every namespace here.
const namePrefix = "ucb"

var namespaces atomic.Int32

// newNamespace makes a network namespace that is a machine of its own: loopback
// and a firewall. The caller closes it.
func newNamespace() (*netns.Namespace, error) {
	return netns.Add(netns.Name(namePrefix, strconv.Itoa(int(namespaces.Add(1)))))
}
