package sendmail

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"uppercut/detector/offence"
)

// dialogue feeds lines to a Memory. The clock stands at the time that idAt
// gives queue ids.
type dialogue struct {
	t      testing.TB
	m      *Memory
	p      *Parser
	now    time.Time
	line   uint64
	host   string
	sender string
}

func newDialogue(t testing.TB, o MemoryOptions) *dialogue {
	p, err := NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &dialogue{t: t, m: NewMemory(o), p: p, now: time.Date(2026, 11, 23, 8, 19, 3, 0, time.UTC), host: "mx1", sender: "10.0.0.1"}
}

// hear takes a line of the process pid and returns the events as
// "line kind/reason address".
func (d *dialogue) hear(pid uint32, text string) []string {
	d.t.Helper()
	var got []string
	for _, e := range d.events(pid, text) {
		what := e.Reason.String()
		if e.Kind != offence.Offence {
			what = [...]string{offence.Connected: "connected", offence.Accepted: "accepted", offence.Authenticated: "authenticated", offence.Delivered: "delivered"}[e.Kind]
		}
		got = append(got, fmt.Sprintf("%d %s %s", e.Line, what, e.Addr))
	}
	return got
}

func (d *dialogue) events(pid uint32, text string) []offence.Event {
	d.line++
	var rec Record
	d.p.Parse(text, &rec)
	events := d.m.Observe(Input{Line: d.line, Time: d.now, Host: HostKeyOf(d.sender, d.host), PID: pid, Record: &rec}, nil)
	return d.m.Settle(d.line, events)
}

// expect hears a line and compares.
func (d *dialogue) expect(pid uint32, text string, want ...string) {
	d.t.Helper()
	if got := d.hear(pid, text); strings.Join(got, "; ") != strings.Join(want, "; ") {
		d.t.Errorf("line %d: %q, want %q: %s", d.line, got, want, text)
	}
}

// prove shows that lines of up to n bytes are not cut on their way.
func (d *dialogue) prove(n int) {
	d.t.Helper()
	d.expect(0, "alias "+strings.Repeat("a", n))
}

// idAt is the queue id of a process that began at the given time.
func idAt(at time.Time, transaction string, pid uint32) string {
	const chars = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
	at = at.UTC()
	digits := []int{(at.Year() - 1900) % 60, int(at.Month()) - 1, at.Day(), at.Hour(), at.Minute(), at.Second()}
	var s strings.Builder
	for _, n := range digits {
		s.WriteByte(chars[n])
	}
	return fmt.Sprintf("%s%s%06d", s.String(), transaction, pid)
}

func (d *dialogue) id(pid uint32) string { return idAt(d.now, "00", pid) + ": " }

const (
	client = "h.example [198.51.100.7]"
	other  = "o.example [198.51.100.8]"
)

func envelope(from string, rcpts int, relay string) string {
	return fmt.Sprintf("from=%s, size=23, class=0, nrcpts=%d, proto=ESMTP, daemon=MTA, relay=%s", from, rcpts, relay)
}

func TestHeldUntilEnvelope(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.expect(100, id+"<n1@lab.example>... User unknown")
	d.now = d.now.Add(50 * time.Minute)
	d.expect(100, id+"<n2@lab.example>... User unknown")
	d.expect(100, id+envelope("<a@b>", 0, client), "1 unknown_user 198.51.100.7", "2 unknown_user 198.51.100.7")
	d.expect(100, id+"<n3@lab.example>... User unknown", "4 unknown_user 198.51.100.7")
	if s := d.m.Stats(); s.Held != 0 || s.HeldBytes != 0 || s.Sessions != 1 || s.Orphans != 0 {
		t.Errorf("%+v", s)
	}
}

func TestConnectNamesTheClient(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	d.expect(100, "NOQUEUE: connect from "+client, "1 connected 198.51.100.7")
	d.expect(100, d.id(100)+"<n@lab.example>... User unknown", "2 unknown_user 198.51.100.7")
	events := d.events(100, d.id(100)+"Milter: to=<a@b>, reject=451 4.7.1 later")
	if len(events) != 1 || !events[0].ViaSession || !events[0].Temporary || events[0].Session == 0 {
		t.Errorf("%+v", events)
	}
	direct := d.events(100, d.id(100)+client+": Possible SMTP RCPT flood, throttling.")
	if len(direct) != 1 || direct[0].ViaSession || direct[0].Session != events[0].Session {
		t.Errorf("%+v, want session %d", direct, events[0].Session)
	}
}

func TestNullSender(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	first, second := idAt(d.now, "00", 100)+": ", idAt(d.now, "01", 100)+": "
	d.events(100, first+"<n1@lab.example>... User unknown")
	d.events(100, second+"<n2@lab.example>... User unknown")
	events := d.events(100, second+envelope("<>", 0, client))
	if len(events) != 2 || events[0].NullSender || !events[1].NullSender {
		t.Errorf("%+v", events)
	}
}

// A message counts as accepted when a mailer takes it, not before: milters and
// header checks refuse later than the envelope is logged.
func TestAccepted(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.expect(100, id+envelope("<a@b>", 2, client))
	d.expect(101, id+"to=<n@lab.example>, delay=00:00:00, pri=30154, stat=Message rejected")
	d.expect(101, strings.TrimSuffix(idAt(d.now, "07", 100), "")+": to=root, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30414, dsn=2.0.0, stat=Sent")
	events := d.events(101, id+"to=root, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30414, dsn=2.0.0, stat=Sent")
	if len(events) != 1 || events[0].Kind != offence.Accepted || events[0].Count != 2 || events[0].Line != 1 || events[0].Addr != addr("198.51.100.7") {
		t.Fatalf("%+v", events)
	}
	d.expect(101, id+"to=root, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30414, dsn=2.0.0, stat=Sent")
	d.expect(100, id+envelope("<a@b>", 0, client))
	d.expect(101, id+"to=root, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30414, dsn=2.0.0, stat=Sent")
}

func TestDelivered(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	const sent = ", delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [198.51.100.9], dsn=2.0.0, stat=Sent (ok)"
	d.expect(101, d.id(100)+"to=<a@b>"+sent, "1 delivered 198.51.100.9")
	d.expect(101, d.id(100)+"to=<a@b>,<c@d>"+sent, "2 delivered 198.51.100.9")
	d.expect(101, d.id(100)+`to=<"x, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [192.0.2.66], dsn=2.0.0, stat=Sent"@b>`+sent, "3 delivered 198.51.100.9")
	d.expect(100, d.id(100)+`to=<"x, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [192.0.2.66], dsn=2.0.0, stat=Sent"@b>... User unknown`)
	d.expect(101, "to=<a@b>"+sent)
}

func TestAuthenticated(t *testing.T) {
	d := newDialogue(t, MemoryOptions{Key: [16]byte{1}})
	d.expect(100, "AUTH=server, relay="+client+", authid=joe, mech=PLAIN, bits=0", "1 authenticated 198.51.100.7")
	fail := func(m *dialogue, user string) offence.Event {
		events := m.events(100, m.id(100)+"AUTH failure (PLAIN): x (-13) y, user="+user+", relay="+client)
		if len(events) != 1 || strings.Contains(events[0].Text(), user) {
			t.Fatalf("%+v", events)
		}
		return events[0]
	}
	joe, ann := fail(d, "joe").User, fail(d, "ann").User
	if joe == 0 || ann == 0 || joe == ann || joe != fail(d, "joe").User {
		t.Errorf("users %x and %x", joe, ann)
	}
	if again := fail(newDialogue(t, MemoryOptions{Key: [16]byte{1}}), "joe").User; again != joe {
		t.Errorf("%x with the same key, was %x", again, joe)
	}
	if again := fail(newDialogue(t, MemoryOptions{Key: [16]byte{2}}), "joe").User; again == joe {
		t.Error("another key, the same hash")
	}
}

// PIDs come again (A15). What the old process left behind is not the new one's.
func TestPIDsComeAgain(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	old := d.id(100)
	d.expect(100, old+"<n1@lab.example>... User unknown")
	d.now = d.now.Add(3 * time.Minute)
	d.expect(100, d.id(100)+envelope("<a@b>", 0, other))
	if s := d.m.Stats(); s.Orphans != 1 || s.Reused != 1 {
		t.Errorf("%+v", s)
	}

	d = newDialogue(t, MemoryOptions{})
	d.expect(100, "NOQUEUE: connect from "+client, "1 connected 198.51.100.7")
	d.now = d.now.Add(3 * time.Minute)
	d.expect(100, d.id(100)+"<n1@lab.example>... User unknown")
	d.expect(100, d.id(100)+envelope("<a@b>", 0, other), "2 unknown_user 198.51.100.8")

	d = newDialogue(t, MemoryOptions{})
	d.expect(100, d.id(100)+client+" did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", "1 null_connection 198.51.100.7")
	d.expect(100, "STARTTLS=server, error: accept failed=-1, SSL_error=1, errno=0")
	d.now = d.now.Add(time.Minute)
	d.expect(100, d.id(100)+other+" did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", "3 null_connection 198.51.100.8")
	d.expect(100, "STARTTLS=server, error: accept failed=-1, SSL_error=1, errno=0")
	d.expect(100, "ruleset=check_relay, arg1=h, arg2=198.51.100.9, relay=h [198.51.100.9], reject=550 5.7.1 Access denied", "5 access_reject 198.51.100.9")
}

// Whenever a PID comes again, the client of a line without queue id is not that
// of the new process: once it is known how the clocks of a host differ, queue
// ids tell.
func TestPIDsComeAgainAtAnyTime(t *testing.T) {
	for name, left := range map[string]string{
		"refused at connect": "ruleset=check_relay, arg1=o.example, arg2=198.51.100.8, relay=" + other + ", reject=421 4.3.2 Connection rate limit exceeded.",
		"authenticated":      "AUTH=server, relay=" + other + ", authid=joe, mech=PLAIN, bits=0",
	} {
		for _, zone := range []time.Duration{0, 5*time.Hour + 45*time.Minute, -9 * time.Hour} {
			for again := 6 * time.Second; again < 65*time.Minute; again += 7 * time.Second {
				d := newDialogue(t, MemoryOptions{})
				hear := func(pid uint32, text string) []string {
					d.now = d.now.Add(zone) // lines are dated by their zone, queue ids are not
					defer func() { d.now = d.now.Add(-zone) }()
					return d.hear(pid, text)
				}
				for pid := range uint32(enoughProcesses) {
					hear(200+pid, d.id(200+pid)+envelope("<a@b>", 0, client))
				}
				hear(100, left)
				d.now = d.now.Add(again)
				id := d.id(100)
				d.now = d.now.Add(2 * time.Second)
				got := hear(100, id+"<n1@lab.example>... User unknown")
				got = append(got, hear(100, id+envelope("<a@b>", 0, client))...)
				if want := fmt.Sprintf("%d unknown_user 198.51.100.7", d.line-1); len(got) != 1 || got[0] != want {
					t.Errorf("%s, zone %v, again after %v: %q, want %q", name, zone, again, got, want)
				}
			}
		}
	}
}

// What waits without a queue id is not given to the client that another process
// names: it speaks of an older process with that PID.
func TestAnotherProcessNamesAnOldClient(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	old := d.id(100)
	d.expect(100, old+envelope("<a@b>", 1, client))
	d.now = d.now.Add(20 * time.Minute)
	d.expect(100, "STARTTLS=server, error: accept failed=-1, reason=x, SSL_error=1, errno=0, retry=-1, relay=hhhhhhhhhhhhhhhhhhhhh")
	d.expect(200, old+"ruleset=check_compat, arg1=<a@b>, arg2=<c@d>, relay="+client+", reject=550 5.7.1 <c@d>... Access denied", "3 access_denied 198.51.100.7")
	if s := d.m.Stats(); s.Held != 0 || s.HeldBytes != 0 || s.Orphans != 1 {
		t.Errorf("%+v", s)
	}
}

// A line without queue id and address is given to the client that the next line
// of the process names, if that process can have written it.
func TestAnonymousLines(t *testing.T) {
	const failure = "STARTTLS=server, error: accept failed=-1, reason=x, SSL_error=1, errno=0, retry=-1, relay=hhhhhhhhhhhhhhhhhhhhh"
	d := newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.now = d.now.Add(time.Minute)
	d.expect(100, failure)
	d.expect(100, id+client+" did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", "1 tls_fail 198.51.100.7", "2 null_connection 198.51.100.7")

	// the process began after the line was written
	d = newDialogue(t, MemoryOptions{})
	d.expect(100, failure)
	d.now = d.now.Add(2 * time.Minute)
	d.expect(100, d.id(100)+client+" did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", "2 null_connection 198.51.100.7")

	// the session is known, the line must still wait
	d = newDialogue(t, MemoryOptions{})
	d.expect(100, d.id(100)+client+": VRFY x", "1 vrfy_expn 198.51.100.7")
	d.expect(100, failure)
	d.expect(100, d.id(100)+client+": VRFY y", "2 tls_fail 198.51.100.7", "3 vrfy_expn 198.51.100.7")
}

// A line without queue id that names a client does not speak for lines with one:
// its process may be the next with that PID.
func TestAnonymousClient(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	old := d.id(100)
	d.expect(100, old+"<n1@lab.example>... User unknown")
	d.now = d.now.Add(20 * time.Minute)
	d.expect(100, "AUTH=server, relay="+other+", authid=joe, mech=PLAIN, bits=0", "2 authenticated 198.51.100.8")
	d.expect(100, d.id(100)+envelope("<a@b>", 1, other))
	if s := d.m.Stats(); s.Orphans != 1 {
		t.Errorf("%+v", s)
	}

	d = newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.expect(100, id+"<n1@lab.example>... User unknown")
	d.expect(100, "STARTTLS=server, relay="+client+", version=TLSv1.3, verify=NO, cipher=X, bits=256/256")
	d.expect(100, id+"<n2@lab.example>... User unknown", "1 unknown_user 198.51.100.7", "3 unknown_user 198.51.100.7")

	// a queue runner that speaks of the old session's message shows nothing
	d = newDialogue(t, MemoryOptions{})
	id = d.id(100)
	d.expect(100, id+"<n1@lab.example>... User unknown")
	d.expect(100, "AUTH=server, relay="+other+", authid=joe, mech=PLAIN, bits=0", "2 authenticated 198.51.100.8")
	d.expect(200, id+"<n2@lab.example>... User unknown")

	d = newDialogue(t, MemoryOptions{})
	d.expect(100, "STARTTLS=server, error: accept failed=-1")
	d.now = d.now.Add(2 * time.Minute)
	d.expect(100, "AUTH=server, relay="+other+", authid=joe, mech=PLAIN, bits=0", "2 authenticated 198.51.100.8")
}

// Lines of one session may come over two connections and overtake one another.
func TestOvertaking(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.expect(100, id+"<n1@lab.example>... User unknown")
	d.expect(100, "NOQUEUE: connect from "+client, "2 connected 198.51.100.7")
	d.expect(100, id+"<n2@lab.example>... User unknown", "1 unknown_user 198.51.100.7", "3 unknown_user 198.51.100.7")
	d.now = d.now.Add(time.Minute)
	d.expect(100, "NOQUEUE: connect from "+other, "4 connected 198.51.100.8")
	d.expect(100, d.id(100)+"<n3@lab.example>... User unknown", "5 unknown_user 198.51.100.8")
	d.expect(100, id+"<n4@lab.example>... User unknown")
}

func TestTwoHostsWithOneName(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.expect(100, id+"<n1@lab.example>... User unknown")
	d.sender = "10.0.0.2"
	d.expect(100, id+envelope("<a@b>", 0, other))
	d.expect(100, id+"<n2@lab.example>... User unknown", "3 unknown_user 198.51.100.8")
	d.sender = "10.0.0.1"
	d.expect(100, id+envelope("<a@b>", 0, client), "1 unknown_user 198.51.100.7")
}

// Two clients in one session cannot be: nothing is proven any more.
func TestConflict(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	id := d.id(100)
	d.expect(100, id+client+": VRFY x", "1 vrfy_expn 198.51.100.7")
	d.expect(100, id+other+": VRFY x")
	d.expect(100, id+"<n1@lab.example>... User unknown")
	d.expect(100, id+client+": VRFY x")
	if s := d.m.Stats(); s.Conflicts != 3 {
		t.Errorf("%+v", s)
	}

	// Without queue ids too, as long as the PID cannot have come again.
	for after, conflicts := range map[time.Duration]uint64{soon * time.Second: 1, (soon + 1) * time.Second: 0} {
		d = newDialogue(t, MemoryOptions{})
		d.hear(100, "AUTH=server, relay="+client+", authid=joe, mech=PLAIN, bits=0")
		d.now = d.now.Add(after)
		d.hear(100, "AUTH=server, relay="+other+", authid=joe, mech=PLAIN, bits=0")
		if s := d.m.Stats(); s.Conflicts != conflicts {
			t.Errorf("after %v: %+v", after, s)
		}
	}
}

func TestLocalSessions(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	d.expect(100, d.id(100)+"<n1@lab.example>... User unknown")
	d.expect(100, d.id(100)+envelope("root", 1, "root@localhost"))
	d.expect(101, d.id(101)+"localhost [127.0.0.1] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA")
	d.expect(102, d.id(102)+"[IPv6:::1]: VRFY x")
	if s := d.m.Stats(); s.Held != 0 || s.Orphans != 1 {
		t.Errorf("%+v", s)
	}
}

func TestHopsOfADeliveringProcess(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	const hops = "SYSERR(root): Too many hops 121 (100 max): from <a@b> via h, to <c@d>"
	d.expect(100, d.id(100)+envelope("<a@b>", 1, client))
	d.expect(101, d.id(100)+hops)
	d.expect(100, d.id(100)+hops, "3 hops 198.51.100.7")
}

func TestWithoutPID(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	d.expect(0, "ruleset=check_relay, arg1=h, arg2=198.51.100.9, relay=h [198.51.100.9], reject=550 5.7.1 Access denied", "1 access_reject 198.51.100.9")
	d.expect(0, "STARTTLS=server, error: accept failed=-1")
	d.expect(0, d.id(100)+"<n1@lab.example>... User unknown")
	d.expect(0, d.id(100)+envelope("<a@b>", 0, client), "3 unknown_user 198.51.100.7")
	if s := d.m.Stats(); s.NoPID != 1 || s.Orphans != 1 {
		t.Errorf("%+v", s)
	}
}

func TestSplitLines(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	d.prove(1000)
	id := idAt(d.now, "00", 100)
	d.expect(100, id+"[1]: AUTH decode64 error [-5 for  ...")
	d.expect(200, d.id(200)+client+": VRFY x", "3 vrfy_expn 198.51.100.7")
	d.expect(100, id+`[2]: "xxxx  ...`)
	d.expect(100, id+"[3]: ruleset=check_rcpt, arg1=<a@b>, relay=victim [192.0.2.66], reject=550 5.7.1 <a@b>... Relaying denied  ...")
	d.expect(100, id+`[4]: yyyy"], relay=h.example  ...`)
	d.expect(100, id+"[5]: [198.51.100.7]", "2 auth_decode 198.51.100.7")
	if s := d.m.Stats(); s.Joined != 1 || s.Torn != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTornSplitLines(t *testing.T) {
	id := idAt(newDialogue(t, MemoryOptions{}).now, "00", 100)
	const fake = "ruleset=check_rcpt, arg1=<a@b>, relay=victim [192.0.2.66], reject=550 5.7.1 <a@b>... Relaying denied"
	first := id + "[1]: AUTH decode64 error [-5 for  ..."
	for name, lines := range map[string][]string{
		"alone":         {id + "[2]: " + fake},
		"gap":           {first, id + "[3]: " + fake},
		"begins late":   {id + "[2]: x ...", id + "[3]: " + fake},
		"first is fake": {id + "[1]: x ...", id + "[3]: " + fake},
		"other id":      {first, idAt(time.Unix(0, 0), "00", 100) + "[2]: " + fake},
		"no id":         {first, "[2]: " + fake},
		"line between":  {first, id + ": alias a => b", id + "[2]: " + fake},
		"twice":         {first, first, id + "[2]: x ...", id + "[2]: " + fake},
		"zero":          {id + "[0]: " + fake},
		"thousand":      {id + "[1000]: " + fake},
	} {
		d := newDialogue(t, MemoryOptions{})
		for _, text := range lines {
			if got := d.hear(100, text); got != nil {
				t.Errorf("%s: %q", name, got)
			}
		}
		for _, got := range d.hear(100, id+": "+client+": VRFY x") {
			if strings.Contains(got, "192.0.2.66") || !strings.Contains(got, "198.51.100.7") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}

	d := newDialogue(t, MemoryOptions{})
	d.expect(100, first)
	for n := 2; n < 100; n++ {
		d.expect(100, fmt.Sprintf("%s[%d]: %s ...", id, n, strings.Repeat("x", 1000)))
	}
	d.expect(100, id+"[100]: "+fake)
	d.expect(100, id+": "+client+": VRFY x", "1 auth_decode 198.51.100.7", "101 vrfy_expn 198.51.100.7")
}

func TestSplitLinesAreBounded(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	for pid := uint32(1); pid < 3*maxSplits; pid++ {
		d.hear(pid, idAt(d.now, "00", pid)+"[1]: AUTH decode64 error [-5 for  ...")
	}
	if n := len(d.m.splits); n > maxSplits {
		t.Errorf("%d split lines are held", n)
	}
	for range maxSplitWait + 1 {
		d.hear(9999999, "alias a => b")
	}
	if n := len(d.m.splits); n != 0 || d.m.Stats().Torn != 3*maxSplits-1 {
		t.Errorf("%d split lines are held, %+v", n, d.m.Stats())
	}
}

func TestSessionOfAMillionLines(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	var rec Record
	d.p.Parse(d.id(100)+"<n1@lab.example>... User unknown", &rec)
	in := Input{Time: d.now, Host: HostKeyOf("a", "b"), PID: 100, Record: &rec}
	for range 1000000 {
		in.Line++
		if events := d.m.Observe(in, nil); events != nil {
			t.Fatal(events)
		}
	}
	s := d.m.Stats()
	if s.Held != 256 || s.Overflow != 1000000-256 || s.Orphans != s.Overflow || s.Sessions != 1 {
		t.Errorf("%+v", s)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	d := newDialogue(t, MemoryOptions{MaxSessions: 100, MaxHeld: 500, MaxHeldBytes: 10000, MaxHeldPerSession: 50})
	for i := range 20000 {
		d.now = d.now.Add(time.Millisecond)
		pid := uint32(i/60%31 + 1)
		d.host = fmt.Sprint("host", i/60%7)
		d.hear(pid, idAt(d.now.Truncate(time.Hour), "00", pid)+": <n1@lab.example>... User unknown")
		if s := d.m.Stats(); s.Sessions > 100 || s.Held > 500 || s.HeldBytes > 10000 {
			t.Fatalf("%+v", s)
		}
	}
	s := d.m.Stats()
	if s.Evicted == 0 || s.Overflow == 0 || s.Orphans+uint64(s.Held) != 20000 {
		t.Errorf("%+v", s)
	}
}

func TestSessionsExpire(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	for pid := uint32(1); pid <= 10; pid++ {
		d.hear(pid, d.id(pid)+"<n1@lab.example>... User unknown")
	}
	d.now = d.now.Add(65*time.Minute + time.Second)
	d.hear(11, d.id(11)+"<n1@lab.example>... User unknown")
	if s := d.m.Stats(); s.Sessions != 1 || s.Held != 1 || s.Expired != 10 || s.Orphans != 10 {
		t.Errorf("%+v", s)
	}
	// another host's clock does not end this host's sessions
	d.now, d.host = d.now.Add(1000*time.Hour), "mx2"
	d.hear(11, d.id(11)+"<n1@lab.example>... User unknown")
	if s := d.m.Stats(); s.Sessions != 2 || s.Held != 2 {
		t.Errorf("%+v", s)
	}
}

func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour * 5, -time.Hour * 5, time.Hour * 24 * 365, -time.Hour * 24 * 365} {
		d := newDialogue(t, MemoryOptions{})
		id := d.id(100)
		d.expect(100, id+"<n1@lab.example>... User unknown")
		d.expect(101, "STARTTLS=server, error: accept failed=-1")
		d.now = d.now.Add(jump)
		for _, e := range d.events(100, id+envelope("<a@b>", 0, client)) {
			if e.Addr != addr("198.51.100.7") {
				t.Errorf("after %v: %+v", jump, e)
			}
		}
		d.expect(101, "ruleset=check_relay, arg1=h, arg2=198.51.100.9, relay=h [198.51.100.9], reject=550 5.7.1 Access denied", "4 access_reject 198.51.100.9")
	}
}

// A clock that is wrong all the time does not matter to lines that are close.
func TestClockThatIsWrong(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	id := idAt(d.now.Add(-7*time.Minute), "00", 100) + ": "
	d.expect(100, "NOQUEUE: connect from "+client, "1 connected 198.51.100.7")
	d.now = d.now.Add(5 * time.Second)
	d.expect(100, id+"<n1@lab.example>... User unknown", "2 unknown_user 198.51.100.7")

	d = newDialogue(t, MemoryOptions{})
	d.expect(100, "NOQUEUE: connect from "+client, "1 connected 198.51.100.7")
	d.now = d.now.Add(6 * time.Second)
	d.expect(100, id+"<n1@lab.example>... User unknown")
}

func TestUnknownLines(t *testing.T) {
	var got []string
	d := newDialogue(t, MemoryOptions{OnUnknown: func(r *Record) { got = append(got, r.Text) }})
	want := []string{d.id(100) + "strange line", "7 is odd"}
	for _, text := range want {
		d.hear(100, text)
	}
	d.hear(100, "NOQUEUE: connect from "+client)
	if !slices.Equal(got, want) || d.m.Stats().Lines[offence.LineUnknown] != 2 {
		t.Errorf("told of %q, %+v", got, d.m.Stats())
	}
}

// bufferString is what a receiver gives out: a string in a read buffer.
func bufferString(b []byte) string { return unsafe.String(&b[0], len(b)) }

// What a Memory keeps does not share a caller's buffer.
func TestMemoryClones(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	buffer := []byte(d.id(100) + "<n1@lab.example>... User unknown")
	want := string(buffer)
	var rec Record
	d.p.Parse(bufferString(buffer), &rec)
	d.m.Observe(Input{Time: d.now, Host: HostKeyOf("10.0.0.1", "mx1"), PID: 100, Record: &rec}, nil)
	clear(buffer)
	events := d.events(100, d.id(100)+envelope("<a@b>", 0, client))
	if len(events) != 1 || events[0].Text() != want {
		t.Errorf("%+v", events)
	}
}

func TestObserveAllocatesForOffencesOnly(t *testing.T) {
	d := newDialogue(t, MemoryOptions{})
	var infos []Record
	for _, l := range readLog(t, "real", "traditional") {
		var rec Record
		if d.p.Parse(l.text, &rec); rec.Kind == offence.LineInfo || rec.Kind == offence.LineTo {
			infos = append(infos, rec)
		}
	}
	events := make([]offence.Event, 0, 8)
	if n := testing.AllocsPerRun(3, func() {
		for i := range infos {
			events = d.m.Observe(Input{Time: d.now, Host: HostKeyOf("a", "b"), PID: 7, Record: &infos[i]}, events[:0])
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d lines", n, len(infos))
	}
}
