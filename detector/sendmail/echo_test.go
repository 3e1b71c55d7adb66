package sendmail

import (
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// What a client can make of the echo of a recipient, as sendmail 8.17.1 logged
// it: RCPT TO:TEXT@lab.example with the eighth bit set in TEXT. virt.example's
// users are unknown by "No such user %1".
func TestEchoes(t *testing.T) {
	const (
		victim = "victim [192.0.2.66]"
		denied = "ruleset=check_rcpt, arg1=<x@lab.example>, relay=" + victim + ", reject=550 5.7.1 "
		sent   = "to=<a@b>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=31000, relay=" + victim + ", dsn=2.0.0, stat=Sent"
	)
	texts := []string{
		victim + ": VRFY x", victim + ": possible SMTP attack: command=AUTH, count=5", victim + ": probable open proxy: command=GET / HTTP/1.0",
		victim + ": Possible SMTP RCPT flood, throttling.", victim + ": SMTP violation, input too long: 2048",
		victim + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", "connect from " + victim,
		denied + "<x@lab.example>... Relaying denied", denied + "Access denied", denied[:strings.Index(denied, ", reject")] + ", discard",
		"ruleset=CheckSubject, arg1= casino, relay=" + victim + ", reject=553 5.0.0 Header error",
		"rejecting commands from " + victim + " due to pre-greeting traffic after 0 seconds",
		"rejecting server EHLO from " + victim + " due to traffic before response", `"wiz" command from ` + victim + " (192.0.2.66)",
		"AUTH failure (PLAIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, relay=" + victim,
		`AUTH decode64 error [-5 for "x"], relay=` + victim, "invalid domain name (x) from " + victim,
		"setsender: <x>: invalid or unparsable, received from " + victim, "tcpwrappers (victim, 192.0.2.66) rejection",
		"STARTTLS=server, error: accept failed=-1, reason=x, SSL_error=1, errno=0, retry=-1, relay=" + victim,
		"AUTH=server, relay=" + victim + ", authid=joe, mech=PLAIN, bits=0", "lost input channel from " + victim + " to MTA after rcpt",
		"timeout waiting for input from [192.0.2.66] during server cmd read", "collect: relay=[192.0.2.66], from=<a>, info=Bare linefeed (LF) not allowed",
		"Milter: connect: host=h, addr=192.0.2.66, rejecting commands", "from=<a@b>, size=0, class=0, nrcpts=2, proto=ESMTP, daemon=MTA, relay=" + victim,
		`from=""x, size=0, class=0, nrcpts=2, proto=ESMTP, daemon=MTA, relay=` + victim, sent, "headers too large (32768 max) from [192.0.2.66] during message collect",
		"Null connection from " + victim, "unauthorized PIPELINING, relay=" + victim,
	}
	for _, text := range texts {
		for _, ending := range []string{
			"@lab.example... User unknown", "<x@lab.example>... User unknown", "... User unknown", "@virt.example... No such user " + text,
			"@virt.example... Domain is closed", "<x@virt.example>... No such user here",
		} {
			// the client behind the echo, and one named by the session's own lines
			d := newDialogue(t, MemoryOptions{})
			d.prove(2000)
			id := d.id(100)
			for _, line := range []string{text + ending, text + ending, client + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA"} {
				for _, e := range d.events(100, id+line) {
					if e.Addr != addr("198.51.100.7") {
						t.Errorf("%s of %v (kind %d): %s", e.Reason, e.Addr, e.Kind, line)
					}
				}
			}
			var rec Record
			d.p.Parse(id+text+ending, &rec)
			if rec.Proof != ProofSession && rec.Addr.IsValid() || rec.Local || rec.Begins || rec.Ends || rec.Delivered || rec.Taken {
				t.Errorf("%+v", rec)
			}
		}
	}
}

// An echo that is cut before its end, for its bytes are logged as four each.
func TestCutEchoes(t *testing.T) {
	const victim = "victim [192.0.2.66]"
	for _, text := range []string{
		victim + ": possible SMTP attack: command=AUTH, count=5", victim + ": VRFY x", victim + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA",
		"ruleset=check_rcpt, arg1=<x@lab.example>, relay=" + victim + ", reject=550 5.7.1 <x@lab.example>... Relaying denied",
		"rejecting commands from " + victim + " due to pre-greeting traffic after 0 seconds",
		"from=<a@b>, size=0, class=0, nrcpts=2, proto=ESMTP, daemon=MTA" + strings.Repeat(`\177`, 60) + ", relay=" + victim,
		"AUTH failure (PLAIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=" + strings.Repeat(`\177`, 60) + ", relay=" + victim,
	} {
		for _, padding := range []string{`\177`, `\\`} {
			echo := text
			for unescapedLen(echo) < maxEcho-1 {
				echo += padding
			}
			for limit := max(400, len(text)); limit < len(echo); limit++ {
				d := newDialogue(t, MemoryOptions{})
				id := d.id(100)
				for _, line := range []string{echo[:limit], echo[:len(text)], client + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA"} {
					if line == echo[:len(text)] && len(line) < 400 {
						continue
					}
					for _, e := range d.events(100, id+line) {
						if e.Addr != addr("198.51.100.7") {
							t.Fatalf("cut at %d: %s of %v: %s", limit, e.Reason, e.Addr, line)
						}
					}
				}
			}
		}
	}
}

// A line that has the mark of an echo in its client's text is still what it is.
func TestEchoMarkInText(t *testing.T) {
	for text, want := range map[string]offence.Reason{
		`ruleset=check_rcpt, arg1=<"a... b"@x>, relay=` + client + `, reject=550 5.7.1 <"a... b"@x>... Relaying denied`: offence.RelayDenied,
		`ruleset=CheckSubject, arg1= buy now... cheap, relay=` + client + `, reject=553 5.0.0 Header error`:             offence.HeaderReject,
		`AUTH decode64 error [-5 for "a... b"], relay=` + client:                                                        offence.AuthDecode,
		client + `: VRFY a... b`: offence.VrfyExpn,
		client + `: probable open proxy: command=GET http://x... HTTP/1.0`:                             offence.OpenProxy,
		`invalid domain name (a... b) from ` + client:                                                  offence.BadHelo,
		`ruleset=check_rcpt, arg1=<a@b>, relay=` + client + `, reject=550 5.1.1 <a@b>... User unknown`: offence.UnknownUser,
		`Milter: to=<"a... b"@x>, reject=550 5.7.1 no`:                                                 offence.MilterReject,
	} {
		d := newDialogue(t, MemoryOptions{})
		d.prove(2000)
		id := d.id(100)
		events := d.events(100, id+text)
		events = append(events, d.events(100, id+client+" did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA")...)
		if len(events) != 2 || events[0].Reason != want || events[0].Addr != addr("198.51.100.7") {
			t.Errorf("%s: %+v", text, events)
		}
	}
}
