package main

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestHostLabels(t *testing.T) {
	h := newHostLabels(prometheus.NewRegistry())
	for host, want := range map[string]string{
		"mx1": "mx1", "mx1.example.org": "mx1.example.org",
		"": otherHost, "203.0.113.9": otherHost, "2001:db8::1": otherHost, "a b": otherHost, "x\n": otherHost,
	} {
		if got := h.label("10.0.0.1", host); got != want {
			t.Errorf("label of %q is %q, want %q", host, got, want)
		}
	}
}

// Whoever sends by UDP can invent names; labels stay bounded and it is counted.
func TestHostLabelsAreBounded(t *testing.T) {
	h := newHostLabels(prometheus.NewRegistry())
	for n := range maxHosts + 10 {
		h.label("10.0.0.1", fmt.Sprintf("host%d", n))
	}
	if got := h.label("10.0.0.1", "host0"); got != "host0" {
		t.Errorf("a known host has become %q", got)
	}
	if got := h.label("10.0.0.1", "host9999"); got != otherHost {
		t.Errorf("one host too many is %q", got)
	}
	if got := testutil.ToFloat64(h.overflow); got != 11 {
		t.Errorf("%v observations folded, want 11", got)
	}
}
