package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestWarnings: what is valid and does not do what its author expects.
func TestWarnings(t *testing.T) {
	hosts := "receiver:\n  hosts: [{name: mx2, addresses: [192.0.2.12]}]\n"
	reachable := "  tcp: [\"203.0.113.1:5514\"]\n"
	for name, c := range map[string]struct{ receiver, want string }{
		"defaults":                {"", ""},
		"a host far away":         {hosts, "receiver: mx2 cannot reach uppercut, which listens on this machine only"},
		"a host that reaches us":  {hosts + reachable, ""},
		"a host on this machine":  {"receiver:\n  hosts: [{name: mx0, addresses: [127.0.0.2]}]\n", ""},
		"all addresses":           {hosts + "  udp: [\":5514\"]\n", ""},
		"a sender without a name": {hosts + reachable + "  senders: [192.0.2.13]\n", "receiver.senders: 192.0.2.13 is neither in receiver.hosts nor in receiver.relays: it counts as a mail host without a name"},
		"a sender that is a host": {hosts + reachable + "  senders: [192.0.2.12, 127.0.0.1]\n", ""},
		"a relay":                 {hosts + reachable + "  senders: [192.0.2.13]\n  relays: [192.0.2.13]\n", ""},
		"a network of relays":     {hosts + reachable + "  senders: [192.0.2.193]\n  relays: [192.0.2.192/27]\n", ""},
		"everybody":               {"receiver:\n  senders: [0.0.0.0/0, \"::/0\"]\n", "receiver.senders: 0.0.0.0/0 lets everybody send\nreceiver.senders: ::/0 lets everybody send"},
		"the system's own log":    {"receiver:\n  unix: [/dev/../dev/log]\n", "receiver.unix: every program of this host that logs to /dev/../dev/log waits while uppercut hangs: let rsyslog have it and forward, see docs/away.md"},
		"a text with a star":      {"detector:\n  texts: [{text: \"see q=*\", reason: dnsbl}, {text: \"see q={client}\", reason: dnsbl}]\n", `detector.texts[0].text: "see q=*" never matches: * stands for itself; {client} stands for the client's address`},
		"a socket of our own":     {"receiver:\n  unix: [/run/uppercut/log]\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "uppercut.yaml")
			writeTestFile(t, file, "mode: observe\n"+c.receiver)
			config, err := Source{File: file}.Load()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(config.Warnings(), "\n"); got != c.want {
				t.Errorf("warns %q, want %q", got, c.want)
			}
		})
	}
}
