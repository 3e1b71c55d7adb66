package receiver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/senders"
)

// mailHost is a real rsyslogd or syslog-ng, in the foreground with files of
// its own.
type mailHost struct {
	t      *testing.T
	socket string
	conn   net.Conn
}

// startRsyslog starts rsyslogd with a forwarding configuration.
func startRsyslog(t *testing.T, forward string) *mailHost {
	t.Helper()
	dir := shortDir(t)
	h := &mailHost{t: t, socket: filepath.Join(dir, "log")}
	file := filepath.Join(dir, "rsyslog.conf")
	writeFile(t, file, fmt.Sprintf(`global(workDirectory=%q localHostname="mx1")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0")
`, dir, h.socket)+forward)
	h.start(exec.Command("rsyslogd", "-n", "-f", file, "-i", filepath.Join(dir, "pid")))
	return h
}

// shortDir is a directory whose sockets have names that the kernel takes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "uppercut")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h *mailHost) start(cmd *exec.Cmd) {
	h.t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); h.t.Failed() {
			h.t.Logf("%s: %v: %s", cmd.Path, err, log.String())
		}
	})
	eventually(h.t, "the mail host listens", func() bool {
		conn, err := net.Dial("unixgram", h.socket)
		h.conn = conn
		return err == nil
	})
	h.t.Cleanup(func() { h.conn.Close() })
}

// log logs the numbers from first to last, as sendmail would.
func (h *mailHost) log(first, last int) {
	h.t.Helper()
	for i := first; i <= last; i++ {
		write(h.t, h.conn, fmt.Sprintf("<22>%s sendmail[4711]: number %d", time.Now().Format(time.Stamp), i))
	}
}

// numbers counts how often each number came.
func numbers(messages []Message) map[int]int {
	seen := make(map[int]int)
	for _, m := range messages {
		n, err := strconv.Atoi(strings.TrimPrefix(m.Text, "number "))
		if err == nil && m.Tag == "sendmail" && m.PID == 4711 {
			seen[n]++
		}
	}
	return seen
}

// lostAndDoubled counts the numbers from 1 to last that never came and those
// that came again.
func lostAndDoubled(seen map[int]int, last int) (lost, doubled int) {
	for i := 1; i <= last; i++ {
		if seen[i] == 0 {
			lost++
		} else {
			doubled += seen[i] - 1
		}
	}
	return lost, doubled
}

// forwardText is the configuration that uppercut gives to a mail host, for a
// receiver on this host with the files of a.
func forwardText(t *testing.T, transport, address string, a *authority, syslogNG bool) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	text, err := senders.Config(senders.Options{
		Host: "mx1.example.org", Collector: collector, Port: port, Transport: transport, SyslogNG: syslogNG,
	})
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer(
		`target="`+collector, `target="127.0.0.1`,
		"/etc/rsyslog.d/tls", a.dir, "/etc/syslog-ng/tls", a.dir,
		`syslog("`+collector+`"`, `syslog("localhost" ip-protocol(4)`,
		`resumeInterval="5"`, `resumeInterval="1"`,
	).Replace(text)
	return text
}

// everyTransport listens in every way.
func everyTransport(t *testing.T) (Config, *authority) {
	t.Helper()
	a := newAuthority(t, "test")
	config := tlsConfig(t, a)
	a.issue(t, "mx1.example.org", time.Now().Add(time.Hour))
	config.UDP, config.TCP, config.RELP = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	config.Senders = DefaultConfig().Senders
	return config, a
}

// TestRsyslog sends numbered messages with a real rsyslogd, configured by our
// own texts and in the other ways that there are.
func TestRsyslog(t *testing.T) {
	const count = 3000
	config, a := everyTransport(t)
	h := open(t, config)
	addresses := map[string]string{
		"udp": h.address(UDP), "tcp": h.address(TCP), "tls": h.address(TLS),
		"relp": h.Addrs(RELP)[0].String(), "relp-tls": h.Addrs(RELP)[1].String(),
	}
	texts := make(map[string]string)
	for transport, address := range addresses {
		texts[transport] = forwardText(t, transport, address, a, false)
	}
	_, tcpPort, _ := net.SplitHostPort(addresses["tcp"])
	for _, framing := range []string{"traditional", "octet-counted"} {
		for _, template := range []string{"RSYSLOG_TraditionalForwardFormat", "RSYSLOG_ForwardFormat", "RSYSLOG_SyslogProtocol23Format"} {
			texts["tcp "+framing+" "+template] = fmt.Sprintf("action(type=%q target=%q port=%q protocol=%q TCP_Framing=%q template=%q)\n",
				"omfwd", "127.0.0.1", tcpPort, "tcp", framing, template)
		}
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			h.forget()
			startRsyslog(t, text).log(1, count)
			h.wait(t, count)
			if lost, doubled := lostAndDoubled(numbers(h.all()), count); lost+doubled > 0 {
				t.Errorf("%d lost, %d doubled", lost, doubled)
			}
		})
	}
}

// childAddresses names the environment variable that makes this test binary a
// receiver, so that one can be killed.
const childAddresses = "UPPERCUT_TEST_RECEIVER"

func TestMain(m *testing.M) {
	if config := os.Getenv(childAddresses); config != "" {
		os.Exit(child(strings.Split(config, ",")))
	}
	os.Exit(m.Run())
}

// child receives until SIGTERM and writes the texts to a file, before it calls
// a message judged: out, directory of certificates, addresses of TCP, TLS and
// RELP.
func child(args []string) int {
	out, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	a := &authority{dir: args[1]}
	c := DefaultConfig()
	c.UDP, c.TCP, c.RELP, c.TLS.Listen = nil, args[2:3], args[4:5], args[3:4]
	c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ClientCAFile = a.path(collector+".pem"), a.path(collector+".key"), a.path("ca.pem")
	r, err := New(c, Options{Handle: func(batch []Message, judged func()) {
		var b bytes.Buffer
		for i := range batch {
			fmt.Fprintln(&b, batch[i].Text)
		}
		_, err := out.Write(b.Bytes())
		if err == nil && judged != nil {
			judged()
		}
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := r.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childReceiver is a receiver in a process of its own.
type childReceiver struct {
	t    *testing.T
	spec []string // the arguments of child
	cmd  *exec.Cmd
}

func (c *childReceiver) start() {
	c.t.Helper()
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childAddresses+"="+strings.Join(c.spec, ","))
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the receiver listens", func() bool {
		conn, err := net.Dial("tcp", c.spec[2])
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (c *childReceiver) end(signal syscall.Signal) {
	c.t.Helper()
	_ = c.cmd.Process.Signal(signal)
	if err := c.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		c.t.Errorf("receiver: %v", err)
	}
}

func (c *childReceiver) numbers() map[int]int {
	text, _ := os.ReadFile(c.spec[0])
	seen := make(map[int]int)
	for line := range strings.Lines(string(text)) {
		if n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "number ")); err == nil {
			seen[n]++
		}
	}
	return seen
}

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestRestart ends the receiver in the middle of a stream from a real rsyslogd
// with its disk queue, and starts it again.
func TestRestart(t *testing.T) {
	const count = 20000
	for _, test := range []struct {
		transport string
		signal    syscall.Signal
		mayLose   bool // the protocol cannot keep what was in flight
	}{
		{"tcp", syscall.SIGTERM, false},
		{"tls", syscall.SIGTERM, false},
		{"relp", syscall.SIGTERM, false},
		{"relp", syscall.SIGKILL, false},
		{"tcp", syscall.SIGKILL, true},
	} {
		t.Run(test.transport+" "+test.signal.String(), func(t *testing.T) {
			_, a := everyTransport(t)
			c := &childReceiver{t: t, spec: []string{filepath.Join(t.TempDir(), "out"), a.dir, freePort(t), freePort(t), freePort(t)}}
			address := map[string]string{"tcp": c.spec[2], "tls": c.spec[3], "relp": c.spec[4]}[test.transport]
			c.start()
			host := startRsyslog(t, forwardText(t, test.transport, address, a, false))
			logged := make(chan struct{})
			go func() { defer close(logged); host.log(1, count) }()
			eventually(t, "a quarter of the messages", func() bool { return len(c.numbers()) > count/4 })
			c.end(test.signal)
			c.start()
			<-logged
			host.log(count+1, count+1)
			eventually(t, "the last message", func() bool { return c.numbers()[count+1] > 0 })
			quiet := 0
			for before := -1; before != len(c.numbers()) && quiet < 10; quiet++ {
				before = len(c.numbers())
				<-time.After(500 * time.Millisecond)
			}
			c.end(syscall.SIGTERM)
			lost, doubled := lostAndDoubled(c.numbers(), count)
			t.Logf("| %s | %s | %d sent | %d lost | %d doubled |", test.transport, test.signal, count, lost, doubled)
			if lost > 0 && !test.mayLose {
				t.Errorf("%d lost", lost)
			}
		})
	}
}
