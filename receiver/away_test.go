package receiver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// away is a way in which uppercut is not there for a mail host.
type away struct {
	transport string
	syslogNG  bool
	readme    bool // the lines of the README instead of what sender-config prints
	hangs     bool // it takes connections and reads nothing; else it refuses them
}

// lines is how many the programs of the host log: more than its queue holds.
// syslog-ng takes several times as long for a line as rsyslogd.
func (w away) lines() int {
	if w.syslogNG {
		return 60_000
	}
	return 300_000
}

// TestAway: while uppercut is away, nothing waits on a mail host whose log
// daemon owns /dev/log. Its own files are complete, and when uppercut is back it
// gets what was kept, and the number of what was not.
//
// Once the queue is full, each call of syslog(3) that waits for the action waits
// for two seconds: three of 1.5 s fail the test. Of the others one in a hundred may
// take more than 50 ms, which only the scheduler of a busy machine makes of them.
func TestAway(t *testing.T) {
	config, a := everyTransport(t)
	for name, way := range map[string]away{
		"rsyslog, README":     {transport: "tcp", readme: true},
		"rsyslog tcp":         {transport: "tcp"},
		"rsyslog tls, hangs":  {transport: "tls", hangs: true},
		"rsyslog relp, hangs": {transport: "relp", hangs: true},
		"syslog-ng tcp":       {transport: "tcp", syslogNG: true},
		"rsyslog udp, nobody": {transport: "udp"},
	} {
		t.Run(name, func(t *testing.T) {
			where := nobodyThere(t, way.hangs)
			o := startOwner(t, way, way.text(t, where.Addr().String(), a))
			o.call(t, way.lines())
			for file, want := range map[string]int{"mail.log": way.lines(), "auth.log": way.lines() / 1000, "own.log": way.lines() / 1000} {
				eventually(t, file+" is complete", func() bool { return countLines(t, filepath.Join(o.dir, file)) == want })
			}
			_ = where.Close()
			if way.transport != "udp" {
				comesBack(t, config, way, where.Addr().String())
			}
		})
	}
}

// nobodyThere is an address of this host at which nobody answers, or at which
// somebody takes connections and does nothing else.
func nobodyThere(t *testing.T, hangs bool) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if !hangs {
		_ = l.Close()
	}
	return l
}

// text is the mail host's configuration, with a queue that is soon full and
// counts that are soon told.
func (w away) text(t *testing.T, address string, a *authority) string {
	t.Helper()
	text := forwardText(t, w.transport, address, a, w.syslogNG)
	if w.readme {
		page, err := os.ReadFile("../README.md")
		if err != nil {
			t.Fatal(err)
		}
		_, block, _ := strings.Cut(string(page), "```rsyslog\n")
		block, _, _ = strings.Cut(block, "```")
		host, port, _ := net.SplitHostPort(address)
		text = strings.NewReplacer("10.25.0.1", host, "5514", port, `resumeInterval="5"`, `resumeInterval="1"`).Replace(block)
		if text == block {
			t.Fatal("the README forwards to another address than 10.25.0.1:5514")
		}
	}
	return strings.NewReplacer(`interval="60"`, `interval="1"`, `maxDiskSpace="1g"`, `maxDiskSpace="2m"`,
		"disk-buf-size(1073741824)", "disk-buf-size(2097152)").Replace(text)
}

// owner is a host whose log daemon owns /dev/log.
type owner struct {
	dir string
	cmd *exec.Cmd
}

// startOwner starts the log daemon, with what an administrator has set up
// beside: files of the host's own, and a rule that ends with stop.
func startOwner(t *testing.T, w away, forward string) *owner {
	t.Helper()
	dir := shortDir(t)
	if err := os.Mkdir(filepath.Join(dir, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	program := rsyslogOwner(t, dir, forward)
	if w.syslogNG {
		program = syslogNGOwner(t, dir, forward)
	}
	o := &owner{dir: dir, cmd: exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "sh", "testdata/owner.sh", dir}, program...)...)}
	var said bytes.Buffer
	o.cmd.Stdout, o.cmd.Stderr = &said, &said
	o.cmd.Cancel = func() error { return o.cmd.Process.Signal(syscall.SIGTERM) }
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.cmd.Wait()
		if t.Failed() {
			t.Logf("the log daemon said:\n%.4000s", said.String())
		}
	})
	eventually(t, "the log daemon listens", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root%s/dev/log", o.cmd.Process.Pid, dir))
		return err == nil
	})
	return o
}

func rsyslogOwner(t *testing.T, dir, forward string) []string {
	t.Helper()
	file := filepath.Join(dir, "rsyslog.conf")
	writeFile(t, file, fmt.Sprintf(`global(workDirectory=%q localHostname="mx1")
module(load="imuxsock")
$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat
local0.* %[1]s/own.log
& stop
%[2]s
auth,authpriv.* %[1]s/auth.log
mail.* -%[1]s/mail.log
`, dir, forward))
	return []string{"rsyslogd", "-n", "-f", file, "-i", filepath.Join(dir, "pid")}
}

func syslogNGOwner(t *testing.T, dir, forward string) []string {
	t.Helper()
	file := filepath.Join(dir, "syslog-ng.conf")
	forward = strings.Replace(forward, "disk-buf-size(", fmt.Sprintf("dir(%q) disk-buf-size(", dir), 1)
	forward = strings.Replace(forward, "stats-freq(600)", "stats-freq(1)", 1) // to be told while the test waits
	writeFile(t, file, fmt.Sprintf(`@version: 3.38
options { stats-freq(0); time-reopen(1); };
source s_src { unix-dgram("/dev/log"); internal(); };
destination d_own { file("%[1]s/own.log"); };
destination d_auth { file("%[1]s/auth.log"); };
destination d_mail { file("%[1]s/mail.log"); };
log { source(s_src); filter { facility(local0); }; destination(d_own); flags(final); };
%[2]s
log { source(s_src); filter { facility(auth); }; destination(d_auth); };
log { source(s_src); filter { facility(mail); }; destination(d_mail); };
`, dir, forward))
	return syslogNGCommand(t, dir, file)
}

// call has programs of the host call syslog(3).
func (o *owner) call(t *testing.T, lines int) {
	t.Helper()
	script, err := filepath.Abs("testdata/callers.py")
	if err != nil {
		t.Fatal(err)
	}
	callers := exec.CommandContext(t.Context(), "nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", o.cmd.Process.Pid),
		"/usr/bin/python3", script, strconv.Itoa(lines))
	var said bytes.Buffer
	callers.Stderr = &said
	out, err := callers.Output()
	if err != nil {
		t.Fatalf("the callers: %v: %s", err, said.String())
	}
	var took struct {
		Calls, Slow int
		Max         float64
	}
	if err := json.Unmarshal(out, &took); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls, %d over 50 ms, the longest %.0f ms", took.Calls, took.Slow, took.Max*1000)
	if took.Calls != lines || took.Slow > lines/100 {
		t.Fatalf("programs of the mail host wait: after %d of %d calls %d took more than 50 ms, the longest %.1f s",
			took.Calls, lines, took.Slow, took.Max)
	}
}

func countLines(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// comesBack runs a receiver where nobody was, and waits until what has come and
// what is said to be dropped are all that the host wrote.
func comesBack(t *testing.T, c Config, w away, address string) {
	t.Helper()
	c.UDP, c.TCP, c.RELP, c.TLS.Listen, c.TLS.RELPListen = nil, nil, nil, nil, nil
	switch w.transport {
	case "tls":
		c.TLS.Listen = []string{address}
	case "relp":
		c.RELP = []string{address}
	default:
		c.TCP = []string{address}
	}
	var count tally
	t.Cleanup(func() {
		kept, dropped := count.both()
		t.Logf("%d kept, %d told to be dropped", kept, dropped)
	})
	openWith(t, c, count.take)
	eventually(t, "what was kept, and the number of what was not", func() bool {
		kept, dropped := count.both()
		if w.readme { // it keeps 50,000, and has nothing that counts
			return kept > 40_000
		}
		return kept > 1000 && kept+dropped >= w.lines()
	})
	if _, dropped := count.both(); dropped > w.lines() {
		t.Errorf("%d lines are said to be dropped", dropped)
	}
}

var (
	rsyslogDropped  = regexp.MustCompile(`uppercut queue(\[DA\])?: .* discarded\.full=(\d+)`)
	syslogNGDropped = regexp.MustCompile(`dropped='dst\.[^']*d_uppercut[^']*=(\d+)'`)
)

// tally counts the lines that come, and keeps what the host's log daemon last
// said to have dropped.
type tally struct {
	mu      sync.Mutex
	kept    int
	dropped map[string]int
}

func (c *tally) take(batch []Message, judged, release func()) {
	c.mu.Lock()
	for _, m := range batch {
		switch m.Tag {
		case "sm-mta":
			c.kept++
		case "rsyslogd-pstats":
			c.note(rsyslogDropped.FindStringSubmatch(m.Text))
		case "syslog-ng":
			c.note(syslogNGDropped.FindStringSubmatch(m.Text))
		}
	}
	c.mu.Unlock()
	if release != nil {
		release()
	}
	if judged != nil {
		judged()
	}
}

// note keeps a match: a queue's name and a number, or a number. The name is
// copied: the text that it stands in is overwritten when the batch is released.
func (c *tally) note(found []string) {
	if found == nil {
		return
	}
	if c.dropped == nil {
		c.dropped = make(map[string]int)
	}
	name := strings.Clone(strings.Join(found[1:len(found)-1], ""))
	c.dropped[name], _ = strconv.Atoi(found[len(found)-1])
}

func (c *tally) both() (kept, dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.dropped {
		dropped += n
	}
	return c.kept, dropped
}
