package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
	"uppercut/deploy/senders"
	"uppercut/detector"
	"uppercut/enforcer"
	"uppercut/enforcer/ledger"
)

// post is an uppercut in a process and a network of its own, to be ended and
// started again.
type post struct {
	t   *testing.T
	net *netns.Namespace
	// authority has signed the certificates in dir
	authority *certs.Authority
	dir       string
	program   string
	held      *os.File // a UDP socket that outlives the process, as systemd's does; nil for none
	cmd       *exec.Cmd
	log       bytes.Buffer
	stderr    *os.File // in place of log, if not nil
}

// postConfig blocks a client without reverse DNS at once, and one that is
// refused relaying the fifth time.
const postConfig = `
state_dir: DIR/state
receiver:
  udp: ["127.0.0.1:5514"]
  tcp: ["127.0.0.1:5514"]
  relp: ["127.0.0.1:2514"]
  tls:
    listen: ["127.0.0.1:6514"]
    relp_listen: ["127.0.0.1:2515"]
    cert_file: DIR/collector.example.org.pem
    key_file: DIR/collector.example.org.key
    client_ca_file: DIR/ca.pem
detector:
  weights: {no_rdns: 5, relay_denied: 1}
  rules:
    - {name: burst, window: 1h, score: 5, block: 1h}
  breaker: {enabled: false}
  ceiling: {per_minute: 1000000, host_share: 1}
`

// buildProgram builds the real program, once, and removes those of test runs
// that are over.
var buildProgram = sync.OnceValues(func() (string, error) {
	const prefix = "uppercut-program"
	for _, left := range netns.Left(os.TempDir(), prefix) {
		_ = os.RemoveAll(filepath.Join(os.TempDir(), left))
	}
	dir := filepath.Join(os.TempDir(), netns.Name(prefix, "test"))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "uppercut")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build uppercut: %w: %s", err, out)
	}
	return program, nil
})

// newPost lays the network and issues the certificates; nothing runs yet.
func newPost(t *testing.T) *post {
	t.Helper()
	program, err := buildProgram()
	netns.Must(t, err)
	p := &post{t: t, net: netns.New(t, "post"), program: program, dir: t.TempDir()}
	p.authority, err = certs.NewAuthority("test")
	netns.Must(t, err)
	until := time.Now().Add(time.Hour)
	netns.Must(t,
		p.authority.WriteCertificate(filepath.Join(p.dir, "ca.pem")),
		p.authority.IssueIn(p.dir, until, "collector.example.org"),
		p.authority.IssueIn(p.dir, until, "mx1.example.org"))
	writeFile(t, filepath.Join(p.dir, "uppercut.yaml"), strings.ReplaceAll(postConfig, "DIR", p.dir))
	return p
}

// hold binds the UDP socket as deploy/systemd/uppercut.socket has it, for every
// uppercut from now on.
func (p *post) hold() {
	p.t.Helper()
	conn, err := p.net.ListenPacket("udp", "127.0.0.1:5514")
	netns.Must(p.t, err)
	defer conn.Close()
	p.held, err = conn.(*net.UDPConn).File()
	netns.Must(p.t, err)
	p.t.Cleanup(func() { p.held.Close() })
	fd := int(p.held.Fd())
	netns.Must(p.t,
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1))
}

// start runs uppercut and returns when it is ready.
func (p *post) start() {
	p.t.Helper()
	p.cmd = p.net.Command(p.program, "--config", filepath.Join(p.dir, "uppercut.yaml"), "serve")
	if p.held != nil {
		p.cmd = p.net.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" --config "$1" serve`, p.program, filepath.Join(p.dir, "uppercut.yaml"))
		p.cmd.ExtraFiles = []*os.File{p.held}
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if p.stderr != nil {
		p.cmd.Stderr = p.stderr
	}
	netns.Must(p.t, p.cmd.Start())
	running := p.cmd
	p.t.Cleanup(func() {
		_ = running.Process.Kill()
		_ = running.Wait()
	})
	waitFor(p.t, 30*time.Second, "uppercut is ready", func() bool {
		_, err := p.get("/-/ready")
		return err == nil
	})
}

// end ends it by a signal and waits.
func (p *post) end(signal syscall.Signal) {
	p.t.Helper()
	netns.Must(p.t, p.cmd.Process.Signal(signal))
	if err := p.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		p.t.Fatalf("uppercut: %v\n%s", err, p.log.String())
	}
}

func (p *post) get(path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return p.net.Dial(ctx, new(net.Dialer), network, addr)
		},
	}}
	resp, err := client.Get("http://127.0.0.1:9514" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(text), err
}

// metric is what the running uppercut counts under a name without labels.
func (p *post) metric(name string) int {
	text, _ := p.get("/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, _ := strconv.ParseFloat(value, 64)
			return int(n)
		}
	}
	return 0
}

// numbered is the client of a number's refusal: each has its own.
func numbered(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
}

// refusal is the text of number i: an even one is enough for a block, an odd
// one scores a point.
func refusal(i int) string {
	if i%2 == 0 {
		return refused(numbered(i).String())
	}
	return fmt.Sprintf("ruleset=check_rcpt, arg1=<a@example.net>, relay=[%s], reject=550 5.7.1 <a@example.net>... Relaying denied", numbered(i))
}

// pidOf is another session for each number.
func pidOf(i int) int { return 1000 + i }

// count is what uppercut made of the numbers 1 to last: whose block is missing
// in the ledger, whose point in the scores, and who scored more than once.
type count struct{ noBlock, noScore, twice int }

// count reads the state of an uppercut that has ended.
func (p *post) count(last int) (c count) {
	p.t.Helper()
	blocked := p.blocked()
	config := detector.DefaultConfig()
	d, err := detector.New(config, detector.Options{})
	netns.Must(p.t, err)
	saved, err := os.Open(filepath.Join(p.dir, "state", "scores"))
	netns.Must(p.t, err)
	defer saved.Close()
	netns.Must(p.t, d.Restore(saved, time.Now()))
	for i := 1; i <= last; i++ {
		status, known := d.Source(numbered(i), time.Now())
		for _, total := range status.Offences {
			if total.Count > 1 {
				p.t.Logf("number %d scored %d times", i, total.Count)
				c.twice++
			}
		}
		switch {
		case i%2 == 0 && !blocked[numbered(i)]:
			c.noBlock++
		case i%2 == 1 && !known:
			c.noScore++
		}
	}
	return c
}

// blocked reads the ledger of an uppercut that has ended.
func (p *post) blocked() map[netip.Addr]bool {
	p.t.Helper()
	l, err := ledger.Open(filepath.Join(p.dir, "state", enforcer.LedgerFile), ledger.Options{})
	netns.Must(p.t, err)
	defer l.Close()
	blocked := make(map[netip.Addr]bool)
	netns.Must(p.t, l.Blocks(func(b ledger.Block) error {
		blocked[b.Prefix.Addr()] = true
		return nil
	}))
	return blocked
}

// logger is a real rsyslogd beside the post, and the socket it reads.
type logger struct {
	t    *testing.T
	conn net.Conn
}

// rsyslogd starts one with the configuration that we give to mail hosts.
func (p *post) rsyslogd(transport string) *logger {
	p.t.Helper()
	forward, err := senders.Config(senders.Options{Host: "mx1.example.org", Collector: "collector.example.org", Transport: transport})
	netns.Must(p.t, err)
	forward = strings.NewReplacer(
		`target="collector.example.org`, `target="127.0.0.1`, "/etc/rsyslog.d/tls", p.dir,
		`resumeInterval="5"`, `resumeInterval="1"`,
	).Replace(forward)
	dir, err := os.MkdirTemp("", "uppercut") // short: the name of a socket has a limit
	netns.Must(p.t, err)
	p.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, socket := filepath.Join(dir, "rsyslog.conf"), filepath.Join(dir, "log")
	writeFile(p.t, file, fmt.Sprintf(`global(workDirectory=%q localHostname="mx1")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0")
`, dir, socket)+forward)
	cmd := p.net.Command("rsyslogd", "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	netns.Must(p.t, cmd.Start())
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); p.t.Failed() {
			p.t.Logf("rsyslogd: %v: %s", err, said.String())
		}
	})
	l := &logger{t: p.t}
	waitFor(p.t, 10*time.Second, "rsyslogd listens", func() bool {
		l.conn, err = net.Dial("unixgram", socket)
		return err == nil
	})
	p.t.Cleanup(func() { l.conn.Close() })
	return l
}

// log logs the numbers up to last, as sendmail would, 10,000 a second.
func (l *logger) log(last int) {
	const perTick = 50
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 1; i <= last; i++ {
		if i%perTick == 0 {
			<-tick.C
		}
		line := fmt.Sprintf("<22>%s sendmail[%d]: %s", time.Now().Format(time.Stamp), pidOf(i), refusal(i))
		if _, err := l.conn.Write([]byte(line)); err != nil {
			l.t.Errorf("log number %d: %v", i, err)
			return
		}
	}
}

// restart is one line of the table.
type restart struct {
	transport string
	held      bool // the socket is systemd's
	signal    syscall.Signal
	lossless  bool // as we promise; else it is counted only

	sent, again int
	count
}

func (r *restart) name() string {
	if r.held {
		return r.transport + ", socket activation"
	}
	return r.transport
}

func (r *restart) how() string {
	if r.signal == syscall.SIGKILL {
		return "kill -9"
	}
	return "SIGTERM"
}

// run ends uppercut in the middle of a stream of messages from rsyslogd, starts
// it again and counts.
func (r *restart) run(t *testing.T) {
	p := newPost(t)
	if r.held {
		p.hold()
	}
	p.start()
	host := p.rsyslogd(r.transport)
	var logging sync.WaitGroup
	logging.Go(func() { host.log(r.sent) })
	judged := 0
	waitFor(t, 60*time.Second, "a quarter is judged", func() bool {
		judged = p.metric("uppercut_messages_judged_total")
		return judged > r.sent/4
	})
	if judged > r.sent*9/10 {
		t.Errorf("%d of %d messages were judged when it ended", judged, r.sent)
	}
	p.end(r.signal)
	p.start()
	logging.Wait()
	p.settle(r.sent)
	r.again = p.metric("uppercut_duplicate_lines_total")
	p.end(syscall.SIGTERM)
	r.count = p.count(r.sent)
	if r.lossless && r.noBlock > 0 {
		t.Errorf("%d blocks are missing", r.noBlock)
	}
	if r.lossless && r.signal == syscall.SIGTERM && r.noScore > 0 {
		t.Errorf("%d scores are missing", r.noScore)
	}
	if r.twice > 0 {
		t.Errorf("%d scored twice", r.twice)
	}
}

// settle waits until the last number is blocked and nothing comes any more.
func (p *post) settle(last int) {
	p.t.Helper()
	waitFor(p.t, 20*time.Second, "the last message is judged", func() bool {
		out, err := p.net.Run(p.program, "--config", filepath.Join(p.dir, "uppercut.yaml"), "why", numbered(last).String())
		return err == nil && strings.Contains(out, "blocked as")
	})
	before, since := -1, time.Now()
	waitFor(p.t, 60*time.Second, "nothing comes any more", func() bool {
		if now := p.metric("uppercut_messages_judged_total"); now != before {
			before, since = now, time.Now()
		}
		return time.Since(since) > 1500*time.Millisecond
	})
}

// TestRestart measures what a restart costs, with the program as it is shipped
// and a real rsyslogd with its queue, and prints the table of docs/receiving.md.
func TestRestart(t *testing.T) {
	const sent = 20_000
	table := []*restart{
		{transport: "tcp", signal: syscall.SIGTERM, lossless: true},
		{transport: "tls", signal: syscall.SIGTERM, lossless: true},
		{transport: "relp", signal: syscall.SIGTERM, lossless: true},
		{transport: "relp-tls", signal: syscall.SIGTERM, lossless: true},
		{transport: "udp", signal: syscall.SIGTERM},
		{transport: "udp", held: true, signal: syscall.SIGTERM, lossless: true},
		{transport: "relp", signal: syscall.SIGKILL, lossless: true},
		{transport: "relp-tls", signal: syscall.SIGKILL, lossless: true},
		{transport: "tcp", signal: syscall.SIGKILL},
		{transport: "tls", signal: syscall.SIGKILL},
		{transport: "udp", signal: syscall.SIGKILL},
	}
	for _, r := range table {
		r.sent = sent
		t.Run(r.name()+" "+r.how(), r.run)
	}
	t.Log("\n" + restartTable(table))
	page := readFile(t, "../../docs/receiving.md")
	for _, r := range table {
		row := fmt.Sprintf("| %s | %s | %d |", r.name(), r.how(), r.sent)
		if r.lossless {
			row += " 0 |"
		}
		if !strings.Contains(page, row) {
			t.Errorf("docs/receiving.md has no row %s", row)
		}
	}
}

func restartTable(table []*restart) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "\tover\tended by\tsent\tblocks missing\tscores missing\tsent again\tscored twice\t")
	for _, r := range table {
		fmt.Fprintf(w, "\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t\n", r.name(), r.how(), r.sent, r.noBlock, r.noScore, r.again, r.twice)
	}
	_ = w.Flush()
	return text.String()
}

// TestAcknowledgedIsDurable kills uppercut while it acknowledges: every message
// that it has acknowledged over RELP was judged, and its block is in the ledger.
func TestAcknowledgedIsDurable(t *testing.T) {
	p := newPost(t)
	p.start()
	conn, err := p.net.Dial(t.Context(), new(net.Dialer), "tcp", "127.0.0.1:2514")
	netns.Must(t, err)
	defer conn.Close()
	go func() { // until the connection breaks
		w := bufio.NewWriter(conn)
		offers := "relp_version=0\nrelp_software=test\ncommands=syslog"
		fmt.Fprintf(w, "1 open %d %s\n", len(offers), offers)
		for i := 2; w.Flush() == nil; i++ {
			line := fmt.Sprintf("<22>1 %s mx1 sendmail %d - - %s", time.Now().Format(time.RFC3339Nano), pidOf(i), refused(numbered(i).String()))
			fmt.Fprintf(w, "%d syslog %d %s\n", i, len(line), line)
		}
	}()
	acknowledged := make([]int, 0, 100_000)
	scanner := bufio.NewScanner(conn)
	for scanner.Scan() {
		number, answer, _ := strings.Cut(scanner.Text(), " ")
		if i, err := strconv.Atoi(number); err == nil && i > 1 && answer == "rsp 6 200 OK" {
			acknowledged = append(acknowledged, i)
		}
		if len(acknowledged) == 1000 {
			netns.Must(t, p.cmd.Process.Kill())
		}
	}
	_ = p.cmd.Wait()
	blocked, missing := p.blocked(), 0
	for _, i := range acknowledged {
		if !blocked[numbered(i)] {
			missing++
		}
	}
	t.Logf("%d acknowledged, %d blocks in the ledger", len(acknowledged), len(blocked))
	if missing > 0 || len(acknowledged) < 1000 {
		t.Errorf("of %d acknowledged messages %d left no block", len(acknowledged), missing)
	}
}

// TestCrashCostsRecentScoresOnly kills uppercut some time after it has saved
// its scores: what was saved is there, once, and what a sender repeats does not
// score again.
func TestCrashCostsRecentScoresOnly(t *testing.T) {
	p := newPost(t)
	p.start()
	const half = 500
	stamp := time.Now().Format(time.RFC3339Nano)
	say := func(first, last int) {
		conn, err := p.net.Dial(t.Context(), new(net.Dialer), "tcp", "127.0.0.1:5514")
		netns.Must(t, err)
		defer conn.Close()
		for i := first; i <= last; i++ {
			fmt.Fprintf(conn, "<22>1 %s mx1 sendmail %d - - %s\n", stamp, pidOf(i), refusal(i))
		}
	}
	judged := func(n int) {
		t.Helper()
		waitFor(t, 20*time.Second, "all is judged", func() bool { return p.metric("uppercut_messages_judged_total") >= n })
	}
	say(1, half)
	judged(half)
	begun := time.Now()
	waitFor(t, 30*time.Second, "the scores are saved", func() bool {
		return p.metric("uppercut_scores_last_save_timestamp_seconds") > int(begun.Unix())
	})
	const scoresInterval = 10 * time.Second
	if took := time.Since(begun); took > scoresInterval+15*time.Second { // slow saves are rare ones
		t.Errorf("the scores were saved after %v, want within %v", took, scoresInterval)
	}
	say(half+1, 2*half)
	judged(2 * half)
	p.end(syscall.SIGKILL)
	p.start()
	say(half-200, half) // as rsyslog does after a reconnect
	judged(201)
	if n := p.metric("uppercut_duplicate_lines_total"); n != 201 {
		t.Errorf("%d of 201 repeated lines are known to be so", n)
	}
	p.end(syscall.SIGTERM)
	if c := p.count(2 * half); c.twice != 0 || c.noScore != half/2 {
		t.Errorf("%+v; want the scores of the second half to be missing, and none twice", c)
	}
}
