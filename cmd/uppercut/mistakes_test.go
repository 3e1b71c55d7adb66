package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/deploy/netns"
)

// TestReceiverMistakes starts the real program with what it cannot listen with:
// one sentence names key, file and remedy, the exit code is 1, and the sockets
// that could have been bound are not left behind.
func TestReceiverMistakes(t *testing.T) {
	p := newPost(t)
	occupied, err := p.net.Listen("tcp", "127.0.0.1:7777")
	netns.Must(t, err)
	defer occupied.Close()
	cert, key := filepath.Join(p.dir, "collector.example.org.pem"), filepath.Join(p.dir, "collector.example.org.key")
	other, none := filepath.Join(p.dir, "mx1.example.org.key"), filepath.Join(p.dir, "none.pem")
	ca, locked := filepath.Join(p.dir, "ca.pem"), filepath.Join(p.dir, "locked.key")
	file := filepath.Join(p.dir, "mistake.yaml")
	writeFile(t, locked, "")
	netns.Must(t, os.Chown(locked, 1, 1))
	const tcp = `tcp: ["127.0.0.1:5514"]`
	for _, test := range []struct{ name, old, new, want string }{
		{
			"address in use", tcp, `tcp: ["127.0.0.1:5514", "127.0.0.1:7777"]`,
			"receiver.tcp[1]: listen on 127.0.0.1:7777: bind: address already in use: stop the program that has it (ss -lnp shows which) or choose another port",
		},
		{
			"port without the right", tcp, `tcp: ["127.0.0.1:5514", "127.0.0.1:514"]`,
			"receiver.tcp[1]: listen on 127.0.0.1:514: bind: permission denied: grant CAP_NET_BIND_SERVICE, let systemd pass the socket, or choose a port from 1024 up",
		},
		{
			"address of another host", tcp, `tcp: ["192.0.2.1:5514"]`,
			"receiver.tcp[0]: listen on 192.0.2.1:5514: bind: cannot assign requested address: choose an address of this host",
		},
		{
			"unreadable key", key, locked,
			file + ":11: receiver.tls.key_file: open " + locked + ": permission denied: give the user that runs uppercut read access",
		},
		{
			"key of another certificate", key, other,
			file + ":11: receiver.tls.key_file: " + other + " does not match the certificate in " + cert +
				" (tls: private key does not match public key): use the key of this certificate, both in PEM",
		},
		{
			"no authority", ca, none,
			file + ":12: receiver.tls.client_ca_file: open " + none + ": no such file or directory: create the file or correct the path",
		},
		{
			"no authority in the file", ca, key,
			file + ":12: receiver.tls.client_ca_file: " + key + " contains no certificate: use the certificate of the authority that signed the senders' certificates, in PEM",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			writeFile(t, file, strings.Replace(strings.ReplaceAll(postConfig, "DIR", p.dir), test.old, test.new, 1))
			commands := [][]string{{"serve"}}
			if strings.HasPrefix(test.want, file) {
				commands = append(commands, []string{"check", "--quiet"}) // it reads the files and binds nothing
			}
			for _, command := range commands {
				if said := p.refuses(file, command...); said[strings.LastIndexByte(said, '\n')+1:] != "uppercut: "+test.want {
					t.Errorf("%s says\n%s\nand not\nuppercut: %s", command, said, test.want)
				}
			}
			if conn, err := p.net.Dial(t.Context(), new(net.Dialer), "tcp", "127.0.0.1:5514"); err == nil {
				conn.Close()
				t.Error("somebody listens")
			}
		})
	}
}

// refuses returns what a command that must end with exit code 1 says. It runs
// as a root that may neither read what is not its own nor use low ports.
func (p *post) refuses(file string, command ...string) string {
	p.t.Helper()
	lacking := "-dac_override,-dac_read_search,-net_bind_service"
	args := append([]string{"--bounding-set=" + lacking, "--inh-caps=" + lacking, p.program, "--config", file}, command...)
	_, err := p.net.CommandContext(p.t.Context(), "setpriv", args...).Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 {
		p.t.Fatalf("%s ended with %v, want exit code 1", command, err)
	}
	return strings.TrimSpace(string(exit.Stderr))
}
