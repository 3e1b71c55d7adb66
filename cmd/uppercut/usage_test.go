package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// Exit codes: what is wrong with the command line is 2.
func TestUsageExitCodes(t *testing.T) {
	for _, args := range [][]string{
		{"why"},
		{"why", "192.0.2.1", "192.0.2.2"},
		{"blocks", "a", "b"},
		{"top", "everything"},
		{"audit", "a", "b"},
		{"firewall", "mend"},
		{"unblock"},
		{"status", "now"},
		{"blocks", "--nothing"},
		{"serve", "--log.format", "xml"},
		{"block", "--for", "600", "192.0.2.1"},
		{"blocks", "--limit", "-1"},
		{"top", "--limit", "-1"},
		{"audit", "--limit", "-1"},
		{"blocks", "--reason", "no_rnds"},
		{"why", "mx1"},
		{"firewall"},
		{"completion", "foo"},
		{"allow", "--remove"},
		{"audit", "--action", "nosuch"},
		{"stauts"},
		{"help", "stauts"},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), args, nil, strings.NewReader(""), &out, &out); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, exitUsage, out.String())
		}
	}
}
