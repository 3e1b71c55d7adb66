package config

import (
	"path/filepath"
	"testing"
)

// Flush without an appliance needs the state directory; to forget it also needs
// what shapes the ledger, or it would cut the audit log to another length.
func TestReadingToFlush(t *testing.T) {
	for _, test := range []struct {
		name, text          string
		plainFails, forgets bool
	}{
		{"mistake elsewhere", "mode: foo\nstate_dir: /nonexistent\n", false, true},
		{"no such key", "state_dir: /nonexistent\nenforcer: {colour: red}\n", false, true},
		{"allow list", "state_dir: /nonexistent\nenforcer: {allow: [\"300.1.1.1\"]}\n", false, true},
		{"ledger", "state_dir: /nonexistent\nenforcer: {audit: 1}\n", false, false},
		{"ledger, and a mistake elsewhere", "state_dir: /nonexistent\nenforcer: {audit: 1}\ncolour: red\n", false, false},
		{"a word for a number", "state_dir: /nonexistent\nenforcer: {history: many}\n", false, false},
		{"ports", "state_dir: /nonexistent\nenforcer: {mail_ports: [smtp]}\n", false, false},
		{"networks", "state_dir: /nonexistent\ndetector: {ipv6_prefix: wide}\n", false, false},
		{"no YAML", "mode: a\n  b: c\nstate_dir: /nonexistent\n", false, false},
		{"state directory", "state_dir: [a, b]\n", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "uppercut.yaml")
			writeTestFile(t, file, test.text)
			r := Source{File: file}.Read()
			c, err := r.ToFlush(false)
			if (err != nil) != test.plainFails || err == nil && c.StateDir != "/nonexistent" {
				t.Errorf("flush: state directory %q, error %v", c.StateDir, err)
			}
			if _, err := r.ToFlush(true); (err == nil) != test.forgets {
				t.Errorf("flush --forget: error %v", err)
			}
		})
	}
}
