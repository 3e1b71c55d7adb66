package sendmail

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// tuned is a session in which the client chose the length of its text so that a
// line, cut on its way, ends in a client of its own making.
type tuned struct {
	name string
	// line has %s for what fills it up to the cut, and ends where it is cut;
	// rest is what sendmail wrote behind.
	line, rest string
	// most is how long the filler can be: sendmail cuts some texts itself.
	most int
	// reason is that of the line, "" for none.
	reason string
}

const framed = "victim.example [192.0.2.66]"

// tunedKinds are all lines that hold text of the client's before the client.
// "QID" stands for the queue id.
var tunedKinds = []tuned{
	{"decode64", `QID: AUTH decode64 error [-5 for "%s"], relay=` + framed, `xx"], relay=` + client, 9000, "auth_decode"},
	{"decode64, no name", `QID: AUTH decode64 error [-5 for "%s"], relay=[192.0.2.66]`, `"], relay=` + client, 9000, "auth_decode"},
	{"decode64, IPv6", `QID: AUTH decode64 error [-5 for "%s"], relay=[IPv6:2001:db8:dead::1]`, `"], relay=` + client, 9000, "auth_decode"},
	{"CRAM-MD5", "QID: AUTH failure (CRAM-MD5): user not found (-20) SASL(-13): user not found: user: %s, relay=" + framed, "@mx1.lab.example property: x not found in sasldb, relay=" + client, 9000, "auth_fail"},
	{"CRAM-MD5 with a user", "QID: AUTH failure (CRAM-MD5): user not found (-20) SASL(-13): user not found: user: %s, user=bob, relay=[192.0.2.66]", "@h, user=x, relay=" + client, 9000, "auth_fail"},
	{"fixed words in a user name", "QID: AUTH failure (CRAM-MD5): user not found (-20) SASL(-13): user not found: user: %schecking failed, user=bob, relay=[192.0.2.66]", "@h, user=x, relay=" + client, 9000, "auth_fail"},
	{"message id", `QID: from=<"%s"@b.example>, size=1470, class=0, nrcpts=1, msgid=<a>, relay=[192.0.2.66]`, "q>, proto=ESMTP, daemon=MTA, relay=" + client, 800, ""},
	{"message id with fields", `QID: from=<"%s"@b.example>, size=1470, class=0, nrcpts=1, msgid=<a@b>, proto=ESMTP, daemon=MTA, relay=` + framed, "q>, proto=ESMTP, daemon=MTA, relay=" + client, 800, ""},
	{"message id without brackets", `QID: from=<"%s"@b.example>, size=1470, class=0, nrcpts=1, msgid=a, bodytype=8BITMIME, proto=ESMTP, daemon=MTA, relay=[192.0.2.66]`, "q, proto=ESMTP, daemon=MTA, relay=" + client, 800, ""},
	{"message id that is local", `QID: from=<"%s"@b.example>, size=1470, class=0, nrcpts=1, msgid=<a@b>, proto=ESMTP, relay=x@localhost`, "q>, proto=ESMTP, daemon=MTA, relay=" + client, 800, ""},
	{"message id of a cut sender", `QID: from=<"` + strings.Repeat("u", 198) + `, size=1470, class=0, nrcpts=1, msgid=<"@b>%s, relay=[192.0.2.66]`, "q>, proto=ESMTP, relay=" + client, 70, ""},
	{"invalid domain", "QID: invalid domain name (%s) from " + framed, ") from " + client, 9000, "bad_helo"},
	{"setsender", `QID: setsender: <%s>: invalid or unparsable, received from ` + framed, `>: invalid or unparsable, received from ` + client, 9000, "bad_sender_syntax"},
	{"header", "QID: ruleset=CheckSubject, arg1= casino %s, relay=" + framed + ", reject=", "x, relay=" + client + ", reject=553 5.0.0 Header error", 255, "header_reject"},
	{"header, whole reply", "QID: ruleset=CheckSubject, arg1= casino %s, relay=" + framed + ", reject=553 5.0.0 Header error", "x, relay=" + client + ", reject=553 5.0.0 Header error", 255, "header_reject"},
	{"header, discarded", "QID: ruleset=CheckSubject, arg1= casino %s, relay=[192.0.2.66], discard", "x, relay=" + client + ", discard", 255, "discard"},
	{"VRFY", "ruleset=check_vrfy, arg1=%s, relay=" + framed + ", reject=550 5.7.1 no", " x, relay=" + client + ", reject=550 5.7.1 no", 9000, "vrfy_expn_rejected"},
	{"EXPN", "ruleset=check_expn, arg1=%s, relay=[192.0.2.66], reject=550 5.7.1 Access denied", " x, relay=" + client + ", reject=550 5.7.1 no", 9000, "vrfy_expn_rejected"},
	{"ETRN", "ruleset=check_etrn, arg1=%s, relay=" + framed + ", reject=550 5.7.1 Access denied", " x, relay=" + client + ", reject=550 5.7.1 no", 9000, "vrfy_expn_rejected"},
	{"VRFY's line", "QID: " + client + ": VRFY %s, relay=" + framed, "x", 9000, "vrfy_expn"},
	{"command", "ruleset=check_other, arg1=FOO %s, arg2=5, relay=" + framed + ", reject=421 4.7.0 bad command", "x, arg2=5, relay=" + client + ", reject=421 4.7.0 bad command", 9000, "bad_command"},
	{"AUTH=", "ruleset=trust_auth, arg1=%s, relay=" + framed + ", reject=550 5.7.1 no", "x, relay=" + client + ", reject=550 5.7.1 no", 9000, "rcpt_syntax"},
	{"sender", `QID: ruleset=check_mail, arg1=<"%s, relay=[192.0.2.66], reject=550 5.7.1 Access denied`, `"@b.example>, relay=` + client + `, reject=550 5.7.1 Access denied`, 800, "sender_access"},
	{"collect", `QID: collect: relay=h.example, from=<"%s, relay=` + framed, `"@b>, info=Bare linefeed (LF) not allowed, where=body, status=tempfail`, 800, ""},
	{"milter", `QID: Milter: to=<"%s, relay=` + framed, `"@b>, reject=550 5.7.1 no`, 800, ""},
	{"HELO of a milter", `QID: Milter: helo=%s connect: host=h, addr=192.0.2.66, rejecting commands`, `, reject=Command rejected`, 800, ""},
	{"user", "QID: AUTH failure (PLAIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=%s, relay=" + framed, ", relay=" + client, maxUser - len(relayKey+framed), "auth_fail"},
	{"user, no name", "QID: AUTH failure (LOGIN): user not found (-20) SASL(-13): user not found: checkpass failed, user=%s, relay=[192.0.2.66]", ", relay=" + client, maxUser - len(relayKey+"[192.0.2.66]"), "auth_fail"},
	{"recipient like STARTTLS", "QID: STARTTLS=server, error: accept failed=-1, reason=%s, SSL_error=1, errno=0, retry=-1, relay=" + framed, "@lab.example... User unknown", 90, ""},
	{"recipient like AUTH", "QID: AUTH=server, relay=" + framed + ", authid=%s, mech=PLAIN, bits=0", "@lab.example... User unknown", 100, ""},
	{"split", `QID[2]: %s"], relay=` + framed, "x ...", 900, ""},
}

// fill is the line as it arrives when it is cut after limit bytes, tag and PID
// counted; "" if no such line can be.
func (k tuned) fill(id, tag string, limit int) string {
	line := strings.Replace(k.line, "QID", id, 1)
	n := limit - len(tag) - len(line) + len("%s")
	if n < 1 || n > k.most {
		return ""
	}
	return strings.Replace(line, "%s", strings.Repeat("u", n), 1)
}

// Whatever the length at which lines are cut, none of them ever names but the
// client, and what other lines of the session have proven stays proven.
func TestTunedSessions(t *testing.T) {
	for _, k := range tunedKinds {
		for _, level := range []int{9, 10} {
			t.Run(fmt.Sprintf("%s at LogLevel %d", k.name, level), func(t *testing.T) {
				tried := 0
				for limit := 60; limit <= 1100; limit++ {
					if tunedSession(t, k, level, limit) {
						tried++
					}
				}
				if tried == 0 {
					t.Error("nothing was tried")
				}
			})
		}
	}
}

// tunedSession hears a session whose lines are cut at limit, and says whether
// there is one.
func tunedSession(t *testing.T, k tuned, level, limit int) bool {
	t.Helper()
	const tag = "sm-mta"
	d := newDialogue(t, MemoryOptions{})
	id := idAt(d.now, "00", 100)
	line := k.fill(id, tag+"100", limit)
	if line == "" {
		return false
	}
	texts := []string{
		id + ": <n1@lab.example>... User unknown", line, line,
		id + ": <n2@lab.example>... User unknown",
		id + ": ruleset=check_rcpt, arg1=<x@elsewhere.example>, relay=" + client + ", reject=550 5.7.1 <x@elsewhere.example>... Relaying denied",
		id + ": " + client + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA",
	}
	if strings.HasPrefix(line, id+"[2]") {
		texts = append([]string{id + "[1]: AUTH decode64 error [-5 for  ..."}, texts...)
		texts[1], texts[2] = texts[2], texts[1]
	}
	if level > 9 {
		texts = append([]string{"NOQUEUE: connect from " + client}, texts...)
	}
	var events []offence.Event
	for _, text := range texts {
		events = append(events, d.observe(100, text[:min(len(text), limit-len(tag+"100"))], tag)...)
	}
	events = d.settle(events)
	for _, e := range events {
		if e.Addr != addr("198.51.100.7") {
			t.Errorf("cut at %d: %s of %v, line %d: %s", limit, e.Reason, e.Addr, e.Line, line)
		}
	}
	if limit > 300 && len(events) < 4 {
		t.Errorf("cut at %d: %d events of the client's own lines: the session was lost", limit, len(events))
	}
	return true
}

// observe takes a line of the process pid with a tag. What waits goes on waiting.
func (d *dialogue) observe(pid uint32, text, tag string) []offence.Event {
	d.line++
	var rec Record
	d.p.Parse(text, &rec)
	return d.m.Observe(Input{
		Line: d.line, Time: d.now, Host: HostKeyOf(d.sender, d.host), PID: pid, Tag: len(tag), Record: &rec,
	}, nil)
}

// settle ends the waiting of every line.
func (d *dialogue) settle(events []offence.Event) []offence.Event {
	for line := d.m.Waiting(); line != 0; line = d.m.Waiting() {
		events = d.m.Settle(line, events)
	}
	return events
}

// Where nothing longer comes, an AUTH failure with a short user name waits for a
// moment: for its session to name another client, or for a line that has lost its
// end. Then it counts, and so does what waited in its session.
func TestShortUserNames(t *testing.T) {
	const failure = "AUTH failure (LOGIN): user not found (-20) SASL(-13): user not found: checkpass failed, user="
	for _, tt := range []struct {
		name, user string
		before     []string // lines of other processes
		after      []string
		at         time.Duration
		want       string // lines and their clients
	}{
		{"alone", "joe", nil, nil, 0, "1 192.0.2.66"},
		{"long enough to be no text of the client's", strings.Repeat("u", 45), nil, nil, 0, "1 192.0.2.66 at once"},
		{"escaped bytes are one each", strings.Repeat(`\344`, 20), nil, nil, 0, "1 192.0.2.66"},
		{"with a refusal", "joe", nil, []string{"QID: <n@lab.example>... User unknown"}, 0, "1 192.0.2.66, 2 192.0.2.66"},
		{"a line of another process two seconds later", "joe", nil, []string{"other"}, 2 * time.Second, "1 192.0.2.66 at once"},
		{"a line of another process one second later", "joe", nil, []string{"other"}, time.Second, "1 192.0.2.66"},
		{"the session names another", "joe", nil, []string{"QID: " + client + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA"}, 0, "1 198.51.100.7, 2 198.51.100.7"},
		{"a longer line", "joe", []string{"alias " + strings.Repeat("a", 200)}, nil, 0, "2 192.0.2.66 at once"},
		{"a line that was cut", "joe", nil, []string{"ruleset=check_rcpt, arg1=<" + strings.Repeat("a", 130)}, 0, ""},
		{"an envelope that was cut", "joe", []string{"from=<a@b>, size=1, class=0, nrcpts=1, msgid=<" + strings.Repeat("m", 99)}, nil, 0, ""},
		{"a line that was cut, and a longer one", "joe", []string{"ruleset=check_rcpt, arg1=<" + strings.Repeat("a", 130), "alias " + strings.Repeat("a", 300)}, nil, 0, "3 192.0.2.66"},
	} {
		d := newDialogue(t, MemoryOptions{})
		id := idAt(d.now, "00", 100)
		for _, text := range tt.before {
			d.observe(200, text, "")
		}
		var got []string
		add := func(events []offence.Event, when string) {
			for _, e := range events {
				got = append(got, fmt.Sprint(e.Line, " ", e.Addr, when))
			}
		}
		add(d.observe(100, id+": "+failure+tt.user+", relay=[192.0.2.66]", ""), " at once")
		d.now = d.now.Add(tt.at)
		for _, text := range tt.after {
			pid := uint32(100)
			if !strings.HasPrefix(text, "QID") {
				pid = 300
			}
			when := ""
			if text == "other" {
				when = " at once"
			}
			add(d.observe(pid, strings.Replace(text, "QID", id, 1), ""), when)
		}
		add(d.settle(nil), "")
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Where a longer line has come, before or after, the same lines prove the client
// at once, however long they are.
func TestWholeLines(t *testing.T) {
	for _, k := range tunedKinds {
		if k.reason == "" {
			continue
		}
		for _, after := range []bool{false, true} {
			d := newDialogue(t, MemoryOptions{})
			id := idAt(d.now, "00", 100)
			text := k.fill(id, "", min(1800, k.most+80)) + k.rest
			if strings.Contains(k.name, "sender") || strings.Contains(k.name, "milter") {
				text = k.fill(id, "", 300) + k.rest
			}
			if strings.HasPrefix(k.name, "user") {
				text = k.fill(id, "", len(k.line)+len(id)) + k.rest
			}
			if k.name == "header" || k.name == "header, whole reply" || k.name == "header, discarded" ||
				strings.HasPrefix(text, "ruleset=") {
				continue // two clients in free text: the session's counts
			}
			var events []offence.Event
			if !after {
				d.prove(2500)
			}
			events = append(events, d.events(100, text)...)
			if after {
				d.line++
				var rec Record
				d.p.Parse("alias "+strings.Repeat("a", 2500), &rec)
				events = append(events, d.m.Observe(Input{Line: d.line, Time: d.now, Host: HostKeyOf(d.sender, d.host), Record: &rec}, nil)...)
			}
			if len(events) != 1 || events[0].Reason.String() != k.reason || events[0].Addr != addr("198.51.100.7") || events[0].ViaSession {
				t.Errorf("%s, longer line after it %t: %+v", k.name, after, events)
			}
		}
	}
}
