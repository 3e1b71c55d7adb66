package main

import (
	"testing"
	"time"
)

// TestOwnLatency reads what uppercut status --json prints.
func TestOwnLatency(t *testing.T) {
	p50, p99, err := ownLatency([]byte(`{"mode": "enforce", "block_latency_p50": "2ms", "block_latency_p99": "0.5s"}`))
	if p50 != 2*time.Millisecond || p99 != 500*time.Millisecond || err != nil {
		t.Errorf("%v, %v, %v", p50, p99, err)
	}
	if _, _, err := ownLatency([]byte(`{"mode": "enforce"}`)); err == nil {
		t.Error("no latency is taken for one")
	}
}
