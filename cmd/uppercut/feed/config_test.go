package feed

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

func TestMistakes(t *testing.T) {
	good := keyFile(t, testKey)
	for want, change := range map[string]func(*Config){
		"":                          func(*Config) {},
		"listen: missing":           func(c *Config) { c.Listen = "" },
		`listen: "10.25.0.1"`:       func(c *Config) { c.Listen = "10.25.0.1" },
		"max_connections: 7":        func(c *Config) { c.MaxConnections = 7 },
		"clients: missing":          func(c *Config) { c.Clients = nil },
		`clients[0].name: "a b"`:    func(c *Config) { c.Clients[0].Name = "a b" },
		"clients[0].key_file: mis":  func(c *Config) { c.Clients[0].KeyFile = "" },
		"clients[0].key_file: open": func(c *Config) { c.Clients[0].KeyFile = "/nowhere" },
		"clients[0].ipv6":           func(c *Config) { c.Clients[0].IPv6 = "both" },
		"clients[0].certificate":    func(c *Config) { c.Clients[0].Certificate = "fw.example.org" },
		"clients[1].name": func(c *Config) {
			c.Clients = append(c.Clients, ClientConfig{Name: "fw", KeyFile: keyFile(t, testKey+"2")})
		},
		"clients[1].key_file": func(c *Config) { c.Clients = append(c.Clients, ClientConfig{Name: "fw2", KeyFile: good}) },
		"config_file":         func(c *Config) { c.ConfigFile = "/nowhere" },
	} {
		c := DefaultConfig()
		c.Listen, c.Clients = "10.25.0.1:9516", []ClientConfig{{Name: "fw", KeyFile: good}}
		change(&c)
		err := c.Validate()
		if err == nil {
			err = c.CheckFiles()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestUsersAreNoClients(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("basic_auth_users:\n  anna: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkWebFile(file); err == nil || !strings.Contains(err.Error(), "basic_auth_users") {
		t.Errorf("%v", err)
	}
}

func TestKeys(t *testing.T) {
	for key, ok := range map[string]bool{testKey: true, "short": false, "with space 0123456789": false, strings.Repeat("k", 513): false} {
		if got, err := readKey(keyFile(t, key)); (err == nil) != ok || ok && got != key {
			t.Errorf("%q: %v", key, err)
		}
	}
}

var discard = slog.New(slog.DiscardHandler)

func netDial(address string) (net.Conn, error) { return net.Dial("udp", address) }
