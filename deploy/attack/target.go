package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
)

// Where the appliance under attack listens, in a namespace of its own.
const (
	tcpAddress  = "127.0.0.1:5514"
	tlsAddress  = "127.0.0.1:6514"
	relpAddress = "127.0.0.1:2514"
	pageAddress = "127.0.0.1:9514"
)

// password is that of the only user of the page, anna.
const password = "correct horse"

// target is an uppercut serve that is attacked.
type target struct {
	ns        *netns.Namespace
	dir       string
	program   string
	cmd       *exec.Cmd
	group     *group // nil without a limit
	ended     chan struct{}
	authority *certs.Authority
	log       *os.File
	unread    *os.File // the end of a log that nobody reads
	level     string   // of the log
	extra     string   // sections of the configuration that this attack needs
	damaged   bool     // it may be up and not ready
}

var targets atomic.Int32

// startTarget starts program with the packaged limits and a setting, within so many bytes of memory; 0 is no limit.
func startTarget(ctx context.Context, program string, memory int, s setting) (t *target, err error) {
	t = &target{program: program, level: "warn", extra: s.extra}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.stop())
		}
	}()
	if t.dir, err = os.MkdirTemp("", "uppercut-attack"); err != nil {
		return t, err
	}
	if err := t.writeFiles(); err != nil {
		return t, err
	}
	name := netns.Name("uca", strconv.Itoa(int(targets.Add(1))))
	if t.ns, err = netns.Add(name); err != nil {
		return t, err
	}
	if memory > 0 {
		if t.group, err = newGroup(name, memory); err != nil {
			return t, err
		}
	}
	if t.log, err = os.Create(filepath.Join(t.dir, "log")); err != nil {
		return t, err
	}
	if s.stalled {
		t.log.Close()
		if t.unread, t.log, err = os.Pipe(); err != nil {
			return t, err
		}
		t.level = "info"
	}
	return t, t.start(ctx)
}

// start starts the program and waits until it answers.
func (t *target) start(ctx context.Context) error {
	if err := t.launch(); err != nil {
		return err
	}
	return t.await(ctx)
}

// end ends the program by a signal, as often as an attack wants.
func (t *target) end(signal syscall.Signal) {
	_ = t.cmd.Process.Signal(signal)
	<-t.ended
}

// launch starts the program in its group from its first instruction on: it
// waits for a line before it becomes uppercut.
func (t *target) launch() error {
	t.cmd = t.ns.Command("sh", "-c", `read line; exec "$@"`, "sh", t.program, "serve", "--config", t.path("uppercut.yaml"), "--log.level", t.level)
	t.cmd.Stdout, t.cmd.Stderr = t.log, t.log
	input, err := t.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := netns.Start(t.cmd); err != nil {
		return err
	}
	cmd, ended := t.cmd, make(chan struct{})
	t.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	if t.group != nil {
		if err := t.group.add(t.cmd.Process.Pid); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(input, "go")
	return errors.Join(err, input.Close())
}

func (t *target) path(name string) string { return filepath.Join(t.dir, name) }

// configuration names only keys that every version has.
const configuration = `state_dir: %[1]s/state
receiver:
  udp: ["127.0.0.1:5514"]
  tcp: [%[2]q]
  relp: [%[3]q]
  senders: %[4]s
  tls: {listen: [%[5]q], cert_file: %[1]s/server.pem, key_file: %[1]s/server.key, client_ca_file: %[1]s/ca.pem, client_names: %[6]s}
web: {listen: %[7]q, config_file: %[1]s/web.yml}
`

// configure writes the configuration: who may log by address, and by name.
func (t *target) configure(senders, names string) error {
	text := fmt.Sprintf(configuration, t.dir, tcpAddress, relpAddress, senders, tlsAddress, names, pageAddress) + t.extra
	return os.WriteFile(t.path("uppercut.yaml"), []byte(text), 0o600)
}

func (t *target) writeFiles() error {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		return err
	}
	if t.authority, err = certs.NewAuthority("attack"); err != nil {
		return err
	}
	until := time.Now().Add(24 * time.Hour)
	return errors.Join(
		os.Mkdir(t.path("state"), 0o750),
		t.configure("[127.0.0.0/8]", "[thief, honest]"),
		os.WriteFile(t.path("web.yml"), fmt.Appendf(nil, "basic_auth_users:\n  anna: %s\n", hash), 0o600),
		t.authority.WriteCertificate(t.path("ca.pem")),
		t.authority.IssueIn(t.dir, until, "server"),
		t.authority.IssueIn(t.dir, until, "thief"),
		t.authority.IssueIn(t.dir, until, "honest"),
	)
}

// await waits until the target is ready.
func (t *target) await(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if status, err := t.get(ctx, "/-/ready", password); err == nil && (status == http.StatusOK || t.damaged) {
			return nil
		}
		select {
		case <-tick.C:
		case <-t.ended:
			return fmt.Errorf("uppercut has ended: %s", t.said())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// said is the end of the target's log.
func (t *target) said() string {
	text, _ := os.ReadFile(t.path("log"))
	return string(text[max(0, len(text)-2000):])
}

// alive reports whether the target still runs.
func (t *target) alive() bool {
	select {
	case <-t.ended:
		return false
	default:
		return true
	}
}

// stop ends the target and removes what belongs to it. systemd would wait for 60
// seconds.
func (t *target) stop() (err error) {
	const patience = 30 * time.Second
	if t.ended != nil {
		_ = t.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-t.ended:
		case <-time.After(patience):
			_ = t.cmd.Process.Kill()
			<-t.ended
			err = fmt.Errorf("uppercut does not stop within %v", patience)
		}
	}
	if t.group != nil {
		_ = t.group.remove()
	}
	if t.ns != nil {
		_ = t.ns.Close()
	}
	if t.log != nil {
		t.log.Close()
	}
	_ = os.RemoveAll(t.dir)
	return err
}

// reload has the target read its configuration again.
func (t *target) reload() error { return t.cmd.Process.Signal(syscall.SIGHUP) }

// dial connects from an address of loopback, "" for any.
func (t *target) dial(ctx context.Context, from, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return t.ns.Dial(ctx, dialer, "tcp", address)
}

// dialTLS connects with the certificate of a name.
func (t *target) dialTLS(ctx context.Context, name string) (net.Conn, error) {
	pair, err := tls.LoadX509KeyPair(t.path(name+".pem"), t.path(name+".key"))
	if err != nil {
		return nil, err
	}
	raw, err := t.dial(ctx, "", tlsAddress)
	if err != nil {
		return nil, err
	}
	// Whom the attacker talks to is no secret to him.
	conn := tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}) //nolint:gosec // our own target
	return conn, conn.HandshakeContext(ctx)
}

// get asks the page as anna.
func (t *target) get(ctx context.Context, path, password string) (status int, err error) {
	conn, err := t.dial(ctx, "", pageAddress)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+pageAddress+path, nil)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth("anna", password)
	req.Close = true
	if err := req.Write(conn); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// peak is the most memory that was resident, in bytes; 0 once it has ended.
func (t *target) peak() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("VmHWM:"))
	fields := strings.Fields(string(rest[:min(len(rest), 40)]))
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n << 10
}

// cpu is the processor time that the target has taken.
func (t *target) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
