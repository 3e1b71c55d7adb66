package receiver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
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
	return startRsyslogLimited(t, forward, `RateLimit.Interval="0"`)
}

// startRsyslogLimited starts rsyslogd with a limit of lines from each process.
func startRsyslogLimited(t *testing.T, forward, limit string) *mailHost {
	t.Helper()
	dir := shortDir(t)
	h := &mailHost{t: t, socket: filepath.Join(dir, "log")}
	file := filepath.Join(dir, "rsyslog.conf")
	writeFile(t, file, fmt.Sprintf(`global(workDirectory=%q localHostname="mx1")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q %s)
`, dir, h.socket, limit)+forward)
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
