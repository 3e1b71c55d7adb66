package netns

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// testPrefix begins the names of the namespaces of tests.
const testPrefix = "uctest"

var (
	made  atomic.Int64
	sweep = sync.OnceFunc(func() { Sweep(testPrefix) })
)

// New makes a namespace that is removed when the test ends. The role is for
// people who look at a running test with ip netns.
func New(t testing.TB, role string) *Namespace {
	t.Helper()
	sweep()
	n, err := Add(Name(testPrefix, fmt.Sprintf("%d-%s", made.Add(1), role)))
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("remove a network namespace: %v", err)
		}
	})
	return n
}

// Must fails the test if there is an error.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
