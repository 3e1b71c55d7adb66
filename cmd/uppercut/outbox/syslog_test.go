package outbox

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"gopkg.in/mcuadros/go-syslog.v2/format"
)

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func logConfig(address string) Config {
	c := DefaultConfig()
	c.Syslog.Address = address
	return c
}

// parsed holds a message against RFC 5424 by the parser of a library, and
// returns its event.
func parsed(t *testing.T, message string) (e Event) {
	t.Helper()
	p := (&format.RFC5424{}).GetParser([]byte(message))
	if err := p.Parse(); err != nil {
		t.Fatalf("%v in %q", err, message)
	}
	parts := p.Dump()
	if parts["app_name"] != "uppercut" || parts["proc_id"] != fmt.Sprint(os.Getpid()) || parts["facility"] != 3 {
		t.Errorf("header: %v", parts)
	}
	text, ok := strings.CutPrefix(parts["message"].(string), "@cee: ")
	if err := json.Unmarshal([]byte(text), &e); !ok || err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if parts["msg_id"] != string(e.Kind) || !parts["timestamp"].(time.Time).Equal(e.Time) {
		t.Errorf("header %v of event %+v", parts, e)
	}
	if want := map[Kind]int{Breaker: severityNotice}[e.Kind]; want != 0 && parts["severity"] != want {
		t.Errorf("severity %v of a %s", parts["severity"], e.Kind)
	}
	return e
}

// readFrame reads one octet-counted frame.
func readFrame(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var n int
	if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		t.Fatal(err)
	}
	return string(frame)
}

func TestSyslogOverDatagrams(t *testing.T) {
	dir := t.TempDir()
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			where := map[string]string{"udp": "127.0.0.1:0", "unixgram": filepath.Join(dir, "log")}[network]
			l, err := net.ListenPacket(network, where)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			address := "unix://" + where
			if network == "udp" {
				address = "udp://" + l.LocalAddr().String()
			}
			r := start(t, logConfig(address))
			r.Publish(aBlock())
			r.Publish(Event{Time: lately, Kind: Breaker, Host: "mx1", State: "open", Cause: "surge"})
			_ = l.SetReadDeadline(time.Now().Add(20 * time.Second))
			for _, kind := range []Kind{Block, Breaker} {
				buf := make([]byte, 64<<10)
				n, _, err := l.ReadFrom(buf)
				if err != nil {
					t.Fatal(err)
				}
				if e := parsed(t, string(buf[:n])); e.Kind != kind || e.Evidence != nil {
					t.Errorf("%+v, want a %s without log lines", e, kind)
				}
			}
			r.stop()
			r.counts(t, map[string]float64{"syslog delivered": 2, "syslog failures": 0, "webhook delivered": 0})
		})
	}
}

// A stream is framed, and opened anew when the other side has hung up: no
// message goes into the old one.
func TestSyslogOverStreams(t *testing.T) {
	dir := t.TempDir()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			l := listen(t, network, map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(dir, "log")}[network])
			if err := l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			r := start(t, logConfig(network+"://"+l.Addr().String()))
			for round := range 3 {
				e := aBlock()
				e.Block = uint64(round)
				r.Publish(e)
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if got := parsed(t, readFrame(t, bufio.NewReader(conn))); got.Block != e.Block {
					t.Errorf("block %d, want %d", got.Block, e.Block)
				}
				_ = conn.Close()
				eventually(t, "it counts as delivered", func() bool { return r.delivered(sinkSyslog) == float64(round+1) })
			}
			r.counts(t, map[string]float64{"syslog failures": 0})
		})
	}
}

// A connection is closed when a reload switches syslog off, not at the next event.
func TestSyslogSwitchedOff(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	r := start(t, logConfig("tcp://"+l.Addr().String()))
	r.Publish(aBlock())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	readFrame(t, from)
	use, err := r.Prepare(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	use()
	if rest, err := io.ReadAll(from); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v: want the end of the connection", rest, err)
	}
}

func TestSyslogServerComesUpLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r := start(t, logConfig("unix://"+path))
	r.Publish(aBlock())
	eventually(t, "a failure is counted", func() bool {
		return testutil.ToFloat64(r.syslog.metrics.failures.WithLabelValues(sinkSyslog)) > 0
	})
	l, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	eventually(t, "it is delivered", func() bool { return r.delivered(sinkSyslog) == 1 })
}

// TestRealRsyslogd sends to Debian's rsyslogd over each of its inputs and reads
// what it wrote, taken apart by its own JSON parser.
func TestRealRsyslogd(t *testing.T) {
	dir := t.TempDir()
	socket, out := filepath.Join(dir, "devlog"), filepath.Join(dir, "out")
	udp, tcp := freePort(t, "udp"), freePort(t, "tcp")
	conf := filepath.Join(dir, "rsyslog.conf")
	text := fmt.Sprintf(`
global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
module(load="imudp") module(load="imtcp") module(load="mmjsonparse")
input(type="imuxsock" Socket=%q RateLimit.Interval="0" UseSpecialParser="off" ParseHostname="on")
input(type="imudp" address="127.0.0.1" port="%s")
input(type="imtcp" address="127.0.0.1" port="%s")
template(name="line" type="string" string="%%syslogfacility-text%%.%%syslogseverity-text%% %%app-name%% %%msgid%% %%$!prefix%% %%$!block%% %%$!note%%\n")
action(type="mmjsonparse")
action(type="omfile" file=%q template="line")
`, dir, socket, udp, tcp, out)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "rsyslogd", "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	eventually(t, "rsyslogd listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+tcp)
		if err == nil {
			_ = c.Close()
		}
		_, missing := os.Stat(socket)
		return err == nil && missing == nil
	})
	var want []string
	for i, address := range []string{"udp://127.0.0.1:" + udp, "tcp://127.0.0.1:" + tcp, "unix://" + socket} {
		r := start(t, logConfig(address))
		e := aBlock()
		e.Block, e.Note = uint64(i+1), "ticket 7: \"customer\u202e\" called\n"
		r.Publish(e)
		r.stop()
		r.counts(t, map[string]float64{"syslog delivered": 1})
		want = append(want, fmt.Sprintf(`daemon.info uppercut block 203.0.113.9/32 %d ticket 7: "customer\u202e" called\x0a`, i+1))
	}
	var got string
	eventually(t, "rsyslogd has written three lines", func() bool {
		written, _ := os.ReadFile(out)
		got = string(written)
		return strings.Count(got, "\n") >= len(want)
	})
	for _, line := range want {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

// freePort returns a port of loopback that nobody has.
func freePort(t *testing.T, network string) string {
	t.Helper()
	var address net.Addr
	if network == "udp" {
		l, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		address = l.LocalAddr()
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		address = l.Addr()
	}
	_, port, _ := net.SplitHostPort(address.String())
	return port
}

func TestMistakes(t *testing.T) {
	good := func(change func(*Config)) Config {
		c := DefaultConfig()
		c.Webhook.URL, c.Webhook.SecretFile = "https://hooks.example.org/uppercut", "/etc/uppercut/webhook"
		c.Syslog.Address = "udp://192.0.2.1:514"
		change(&c)
		return c
	}
	for want, c := range map[string]Config{
		"":                                    good(func(*Config) {}),
		"webhook.url":                         good(func(c *Config) { c.Webhook.URL = "hooks.example.org" }),
		"webhook.url: must not contain":       good(func(c *Config) { c.Webhook.URL = "https://me:secret@example.org/" }),
		"webhook.secret_file":                 good(func(c *Config) { c.Webhook.SecretFile = "" }),
		"webhook.timeout":                     good(func(c *Config) { c.Webhook.Timeout = 0 }),
		"webhook.kinds[1]":                    good(func(c *Config) { c.Webhook.Kinds = []string{"block", "blok"} }),
		"webhook.queue":                       good(func(c *Config) { c.Webhook.Queue = 0 }),
		"webhook.give_up":                     good(func(c *Config) { c.Webhook.GiveUp = time.Millisecond }),
		"syslog.queue":                        good(func(c *Config) { c.Syslog.Queue = 2_000_000 }),
		`syslog.address: "192.0.2.1:514"`:     good(func(c *Config) { c.Syslog.Address = "192.0.2.1:514" }),
		`syslog.address: "udp://192.0.2.1"`:   good(func(c *Config) { c.Syslog.Address = "udp://192.0.2.1" }),
		`syslog.address: "unix://dev/log"`:    good(func(c *Config) { c.Syslog.Address = "unix://dev/log" }),
		`syslog.address: "tls://192.0.2.1:1"`: good(func(c *Config) { c.Syslog.Address = "tls://192.0.2.1:1" }),
	} {
		err := c.Validate()
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
