package detector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/detector/offence"
)

// sshHost is a host that sends what sshd writes.
type sshHost struct {
	t        *testing.T
	d        *Detector
	reader   *Reader
	now      time.Time
	lines    uint64
	verdicts []Verdict
	events   []offence.Event
	unknown  []string
	host     string
}

func newSSHHost(t *testing.T, change func(*Config)) *sshHost {
	t.Helper()
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	h := &sshHost{t: t, now: noon, host: "mx1"}
	var err error
	if h.reader, err = NewReader(c); err != nil {
		t.Fatal(err)
	}
	h.d, err = New(c, Options{
		Local:     time.UTC,
		OnEvent:   func(_ *Line, e *offence.Event) { h.events = append(h.events, *e) },
		OnUnknown: func(_ *Line, text string) { h.unknown = append(h.unknown, strings.Clone(text)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *sshHost) hear(tag string, pid uint32, text string) {
	h.t.Helper()
	h.lines++
	l := Line{
		Number: h.lines, Sender: "10.25.0.11", Transport: "tls", Received: h.now, Time: h.now, Stamp: StampFull,
		Host: h.host, Tag: tag, PID: pid, Size: len(text) + 60,
	}
	h.reader.Read(&l, text)
	h.verdicts = append(h.verdicts, h.d.Observe(&l)...)
}

// pass lets seconds go by.
func (h *sshHost) pass(seconds int) {
	for range seconds {
		h.now = h.now.Add(time.Second)
		h.verdicts = append(h.verdicts, h.d.Tick(h.now)...)
	}
}

// told says what the events were, and forgets them.
func (h *sshHost) told() string {
	var all []string
	for i := range h.events {
		all = append(all, fmt.Sprintf("%s %s", h.events[i].Reason, h.events[i].Addr))
	}
	h.events = h.events[:0]
	return strings.Join(all, ", ")
}

// TestOpenSSHIsJudged: who guesses passwords at sshd is blocked like who guesses
// them at sendmail, with what sshd wrote as evidence.
func TestOpenSSHIsJudged(t *testing.T) {
	h := newSSHHost(t, nil)
	for i := range 12 {
		h.hear("sshd", uint32(100+i), fmt.Sprintf("Failed password for invalid user u%d from 203.0.113.9 port %d ssh2", i, 40000+i))
		h.hear("sshd", uint32(100+i), fmt.Sprintf("Received disconnect from 203.0.113.9 port %d:11: bye [preauth]", 40000+i))
		h.pass(3)
	}
	if len(h.verdicts) != 1 || h.verdicts[0].Prefix.String() != "203.0.113.9/32" {
		t.Fatalf("12 guesses at sshd led to %v", h.verdicts)
	}
	for _, e := range h.verdicts[0].Evidence {
		if e.Reason != offence.AuthFail || !strings.HasPrefix(e.Text, "Failed password for invalid user u") {
			t.Errorf("evidence is %s: %s", e.Reason, e.Text)
		}
	}
	if n := len(h.verdicts[0].Evidence); n < 3 {
		t.Errorf("%d lines of evidence", n)
	}
}

// TestOpenSSHCutLine: a name can be the end of a line that a hop has cut. Such a
// line waits; what the same process says of its client decides.
func TestOpenSSHCutLine(t *testing.T) {
	const victim, cut = "192.0.2.66", "Failed password for invalid user x from 192.0.2.66 port 22 ssh2"
	h := newSSHHost(t, nil)
	h.hear("sshd", 7, cut)
	h.hear("sshd", 7, "Received disconnect from 203.0.113.9 port 40000:11: bye [preauth]")
	h.pass(5)
	if got := h.told(); strings.Contains(got, victim) {
		t.Errorf("the end of a cut line was believed: %s", got)
	}
	// a name above 64 bytes: the line counts once a longer one has come whole
	long := "Failed password for invalid user " + strings.Repeat("y", 70) + " from 203.0.113.9 port 40000 ssh2"
	h.hear("sshd", 8, long)
	h.pass(5)
	if got := h.told(); got != "" {
		t.Errorf("a line that may have been cut was believed: %s", got)
	}
	h.hear("sshd", 9, "error: maximum authentication attempts exceeded for invalid user "+strings.Repeat("z", 100)+" from 203.0.113.9 port 40001 ssh2 [preauth]")
	if got := h.told(); got != "auth_fail 203.0.113.9" {
		t.Errorf("after a longer line: %q", got)
	}
}

// TestSSHDAndSendmailShareNoSession: PIDs of programs in other containers may be
// equal.
func TestSSHDAndSendmailShareNoSession(t *testing.T) {
	h := newSSHHost(t, nil)
	h.hear("sendmail", 7, "6ANJY8aV000007: [203.0.113.9]: possible SMTP attack: command=HELO/EHLO, count=3")
	h.told()
	h.hear("sshd", 7, "Connection closed by 198.51.100.7 port 4711 [preauth]")
	if got := h.told(); got != "null_connection 198.51.100.7" {
		t.Errorf("sshd's client is %q", got)
	}
}

func TestProgramsSwitchedOff(t *testing.T) {
	h := newSSHHost(t, func(c *Config) { c.Programs = nil })
	h.hear("sshd", 7, "Connection closed by 198.51.100.7 port 4711 [preauth]")
	if got := h.told(); got != "" || h.reader.Ours("sshd") {
		t.Errorf("sshd is read, though it is switched off: %q", got)
	}
	h = newSSHHost(t, nil)
	h.hear("sshd", 7, "Something new about 198.51.100.7 port 4711")
	if len(h.unknown) != 1 || h.told() != "" {
		t.Errorf("a line of no known form: %q", h.unknown)
	}
	for _, names := range [][]string{{"sendmail"}, {"openssh", "openssh"}, {""}} {
		c := DefaultConfig()
		c.Programs = names
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "programs[") {
			t.Errorf("programs %q: %v", names, err)
		}
	}
}

// TestRepeatedSSHLine: rsyslog writes how often a line came again.
func TestRepeatedSSHLine(t *testing.T) {
	h := newSSHHost(t, nil)
	h.hear("sshd", 7, "message repeated 4 times: [ Failed password for root from 203.0.113.9 port 40000 ssh2]")
	h.pass(3)
	if len(h.events) != 1 || h.events[0].Count != 4 {
		t.Errorf("events: %+v", h.events)
	}
}

// TestDovecotIsJudged: each line is a conversation of its own, for Dovecot has no
// PID; the number of attempts in a line counts.
func TestDovecotIsJudged(t *testing.T) {
	h := newSSHHost(t, nil)
	for i := range 6 {
		h.hear("dovecot", 0, dovecotFailure("imap", fmt.Sprintf("user%d", i), "203.0.113.9", i))
		h.hear("dovecot", 0, dovecotFailure("imap", "phone", "198.51.100.7", i))
		h.pass(3)
	}
	if len(h.verdicts) != 1 || h.verdicts[0].Prefix.String() != "203.0.113.9/32" {
		t.Fatalf("6 guesses at Dovecot led to %v", h.verdicts)
	}
	for _, e := range h.verdicts[0].Evidence {
		if strings.Contains(e.Text, "user=<user") || !strings.Contains(e.Text, "user=<***>") {
			t.Errorf("a name is shown: %s", e.Text)
		}
	}
	h = newSSHHost(t, nil)
	h.hear("dovecot", 0, strings.Replace(dovecotFailure("imap", "joe", "203.0.113.9", 1), "1 attempts", "4 attempts", 1))
	h.hear("dovecot", 0, "message repeated 2 times: [ "+dovecotFailure("imap", "ann", "203.0.113.9", 2)+"]")
	if len(h.events) != 2 || h.events[0].Count != 4 || h.events[1].Count != 2 {
		t.Errorf("events: %+v", h.events)
	}
}

func dovecotFailure(protocol, user, client string, session int) string {
	return fmt.Sprintf("%s-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<%s>, method=PLAIN, rip=%s, lip=198.51.100.25, session=<clFZ6Iph%04d>",
		protocol, user, client, session)
}

// TestOldPassword: a phone that asks for its mail with an old password, by IMAP, POP
// and submission each minute, is not blocked.
func TestOldPassword(t *testing.T) {
	h := newSSHHost(t, nil)
	for minute := range 24 * 60 {
		for i, protocol := range []string{"imap", "pop3", "submission"} {
			h.hear("dovecot", 0, dovecotFailure(protocol, "ann@example.org", "203.0.113.9", 3*minute+i))
		}
		h.pass(60)
	}
	if len(h.events) != 3*24*60 || len(h.verdicts) != 0 {
		t.Errorf("%d events, blocked: %v", len(h.events), h.verdicts)
	}
}

// TestFourServices: three passwords at each of four services on three hosts are seen
// together. None of the services alone would have seen enough.
func TestFourServices(t *testing.T) {
	h := newSSHHost(t, nil)
	hear := func(host, tag string, pid uint32, text string) {
		h.host = host
		h.hear(tag, pid, text)
		h.pass(20)
	}
	const client = "203.0.113.9"
	for i := range 3 {
		host := fmt.Sprintf("mx%d", i)
		hear(host, "sshd", uint32(100+i), fmt.Sprintf("Failed password for invalid user s%d from %s port %d ssh2", i, client, 40000+i))
		hear(host, "dovecot", 0, dovecotFailure("imap", fmt.Sprintf("d%d", i), client, i))
		hear(host, "exim", uint32(200+i), eximFailure(fmt.Sprintf("e%d", i), client))
		hear(host, "sendmail", uint32(300+i), fmt.Sprintf("6ANJY8aV%06d: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=m%d, relay=[%s]", 300+i, i, client))
	}
	if len(h.verdicts) != 1 || h.verdicts[0].Prefix.String() != "203.0.113.9/32" {
		t.Errorf("blocked: %v", h.verdicts)
	}
}

// TestEximWritesTwice: each refusal comes twice, for the main and the reject log.
func TestEximWritesTwice(t *testing.T) {
	h := newSSHHost(t, nil)
	for i := range 2 {
		h.hear("exim", 7, eximFailure("joe", "203.0.113.9"))
		h.now = h.now.Add(time.Duration(i+1) * time.Microsecond)
	}
	if got := testutil.ToFloat64(h.d.metrics.duplicates); got != 1 {
		t.Errorf("%v duplicates", got)
	}
}

func eximFailure(user, client string) string {
	return fmt.Sprintf("plain authenticator failed for (x) [%s]: 535 Incorrect authentication data (set_id=%s)", client, user)
}
