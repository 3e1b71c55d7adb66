package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// outcome runs a command of ours and returns what it prints and its exit code.
func (g *gateway) outcome(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	text, err := g.uppercut(t, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(text), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text), exitOK
}

// says fails unless a command ends with this code and prints each of words.
func (g *gateway) says(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	out, got := g.outcome(t, args...)
	if got != code {
		t.Errorf("uppercut %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("uppercut %s does not say %q:\n%s", strings.Join(args, " "), word, out)
		}
	}
}

// serveWith starts uppercut on a gateway without clients.
func serveWith(t *testing.T, yaml string) *gateway {
	t.Helper()
	g := newGateway(t)
	g.serve(t, "state_dir: "+g.dir+"/state\nreceiver: {udp: [], tcp: [\"10.25.0.1:5514\"]}\n"+yaml)
	return g
}

// The answer "no" has exit code 3 in JSON as well, and lists are lists.
func TestExitCodeIsThatOfTheAnswer(t *testing.T) {
	g := serveWith(t, "")
	for _, tc := range []struct {
		code int
		args []string
		json string
	}{
		{exitNo, []string{"why", "198.51.100.1"}, `"addr": "198.51.100.1"`},
		{exitNo, []string{"unblock", "198.51.100.1"}, `"unblocked": []`},
		{exitNo, []string{"block", "127.0.0.1"}, `"blocked": []`},
		{exitNo, []string{"allow", "--remove", "198.51.100.1"}, "[]\n"},
		{exitOK, []string{"allow"}, "[]\n"},
		{exitOK, []string{"blocks"}, `"blocks": []`},
		{exitOK, []string{"health"}, `"ready": true`},
		{exitOK, []string{"firewall", "verify"}, `"missing": 0`},
		{exitUsage, []string{"block", "--for", "9999d", "198.51.100.1"}, "for: must be 0 to"},
		{exitUsage, []string{"blocks", "foo"}, `"foo" is neither`},
	} {
		g.says(t, tc.code, tc.args)
		g.says(t, tc.code, append(tc.args, "--json"), tc.json)
	}
	g.ask(t, "flush")
	for _, args := range [][]string{{"health"}, {"firewall", "verify"}} {
		g.says(t, exitNo, args)
		g.says(t, exitNo, append(args, "--json"))
	}
}
