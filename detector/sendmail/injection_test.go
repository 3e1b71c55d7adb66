package sendmail

import (
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// The tricks that clients play on readers of sendmail's log, as real daemons
// logged them. 192.0.2.66 is whom they try to frame; the client is
// 198.51.100.7. A line of the trick may give the client, or nobody, but never
// the victim; the line after it always gives the client.
func TestInjections(t *testing.T) {
	const (
		victim = "victim.example [192.0.2.66]"
		fake   = "ruleset=check_rcpt, arg1=<a@b>, relay=" + victim + ", reject=550 5.7.1 <a@b>... Relaying denied"
	)
	ptr := strings.Repeat("r", 60) + ".192.0.2.66." + strings.Repeat("s", 60) + ".evil.example"
	filler := strings.Repeat("x", 900)
	tests := []struct {
		name  string
		lines []string // "QID" stands for the queue id
		want  string   // what the first line gives
	}{
		{
			"A1 quoted local part",
			[]string{`QID: ruleset=check_rcpt, arg1=<"u, relay=v [192.0.2.66], reject=550 5.7.1 x"@x.example>, relay=` + client + `, reject=550 5.7.1 <"u, relay=v [192.0.2.66], reject=550 5.7.1 x"@x.example>... Relaying denied`},
			"relay_denied",
		},
		{
			"A1 class of its own",
			[]string{`QID: ruleset=check_rcpt, arg1=<"... Spam trap hit"@x.example>, relay=` + client + `, reject=550 5.7.1 <"... Spam trap hit"@x.example>... Relaying denied`},
			"relay_denied",
		},
		{
			"A1 escaped quote",
			[]string{`QID: ruleset=check_rcpt, arg1=<"u\\", relay=v [192.0.2.66], reject=550 5.7.1 x\\"\\\\"@x.example>, relay=` + client + `, reject=550 5.7.1 no`},
			"other",
		},
		{
			"A2 unquoted in the reply",
			[]string{`QID: ruleset=check_mail, arg1=<"x, relay=[192.0.2.66], reject=550 5.7.1 y"@nx.invalid>, relay=` + client + ` (may be forged), reject=553 5.1.8 <"x, relay=[192.0.2.66], reject=550 5.7.1 y"@nx.invalid>... Domain of sender address x, relay=[192.0.2.66], reject=550 5.7.1 y@nx.invalid does not exist`},
			"sender_domain",
		},
		{
			"VRFY with a record for an argument",
			[]string{
				`QID: ` + client + `: VRFY a, relay=v [192.0.2.66], reject=550 5.7.1 x`,
				`ruleset=check_vrfy, arg1=a, relay=v [192.0.2.66], reject=550 5.7.1 x, relay=` + client + `, reject=550 5.7.1 Access denied`,
				`QID: <n@lab.example>... User unknown`,
			},
			"vrfy_expn",
		},
		{
			"ETRN with a record for an argument",
			[]string{
				`ruleset=check_etrn, arg1=a, relay=v [192.0.2.66], reject=550 5.7.1 x, relay=` + client + `, reject=550 5.7.1 Access denied`,
				`QID: <n@lab.example>... User unknown`,
			},
			"",
		},
		{
			"base64 cut at 1,024 bytes",
			[]string{`QID: AUTH decode64 error [-5 for "` + filler + `"], relay=` + victim},
			"",
		},
		{
			"user name cut at 1,024 bytes",
			[]string{`QID: AUTH failure (PLAIN): user not found (-20) SASL(-13): user not found: ` + filler + `, user=bob, relay=` + victim},
			"",
		},
		{
			"Message-ID that closes the quote of a sender that was cut",
			[]string{`QID: from=<"` + strings.Repeat(`\377`, 220) + `, size=23, class=0, nrcpts=1, msgid=<x"@y>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=` + victim},
			"",
		},
		{
			"A3 comment",
			[]string{`QID: ruleset=check_rcpt, arg1=<a@x.example (, relay=[192.0.2.66], reject=550 x)>, relay=` + client + `, reject=550 5.7.1 <a@x.example (, relay=[192.0.2.66], reject=550 x)>... Relaying denied`},
			"relay_denied",
		},
		{
			"A3 nested comment",
			[]string{`QID: ruleset=check_rcpt, arg1=<a@x.example ((\\) "), relay=[192.0.2.66], reject=550 x)>, relay=` + client + `, reject=550 5.7.1 <a@x.example ((\\) "), relay=[192.0.2.66], reject=550 x)>... Relaying denied`},
			"relay_denied",
		},
		{
			"A4 ruleset as a recipient",
			[]string{`QID: ruleset=check_rcpt(, arg1=<a@b>, relay=[192.0.2.66], reject=550 5.7.1 Relaying denied)<zz@lab.example>... User unknown`},
			"",
		},
		{
			"A4 quoted",
			[]string{`QID: ruleset=check_rcpt,"arg1=<a@b>, relay=[192.0.2.66], reject=550 5.7.1 Relaying denied"@lab.example... User unknown`},
			"",
		},
		{
			"A5 null connection as a recipient",
			[]string{`QID: (victim [192.0.2.66] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA)<qq@lab.example>... User unknown`},
			"",
		},
		{
			"A6 split line",
			[]string{
				`QID[1]: AUTH decode64 error [-5 for  ...`,
				`QID[2]: "` + filler + `  ...`,
				`QID[3]: ` + fake + `  ...`,
				`QID[4]: ` + filler + `"], relay=` + client,
			},
			"",
		},
		{
			"A6 split line, parts lost",
			[]string{`QID[1]: AUTH decode64 error [-5 for  ...`, `QID[3]: ` + fake + `  ...`, `QID[4]: ` + victim + ` did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA`},
			"",
		},
		{
			"A6 split line, all but the fake lost",
			[]string{`QID[3]: ` + fake},
			"",
		},
		{
			"A7 user name and a long name",
			[]string{`QID: AUTH failure (PLAIN): user not found (-20) SASL(-13): x, user=bob, relay=[192.0.2.66], relay=` + ptr[:100]},
			"",
		},
		{
			"A7 user name",
			[]string{`QID: AUTH failure (PLAIN): user not found (-20) SASL(-13): x, user=bob, relay=` + victim + `, relay=` + client},
			"auth_fail",
		},
		{
			"A8 null connection as an argument of VRFY",
			[]string{`QID: ` + client + `: VRFY x, relay=[192.0.2.66] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA`},
			"vrfy_expn",
		},
		{
			"A9 envelope as a recipient",
			[]string{`QID: from=<"x, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=victim [192.0.2.66]"@echo.example>... No such user x, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=victim [192.0.2.66]`},
			"",
		},
		{
			"A9 envelope cut within its quotes",
			[]string{`QID: from=<"` + strings.Repeat("p", 120) + `, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=victim [192.0.2.66], size=0, class=0, nrcpts=1, relay=` + client},
			"",
		},
		{
			"A9 envelope cut to end with the fake",
			[]string{`QID: from=<"` + strings.Repeat("p", 120) + `, size=0, class=0, nrcpts=0, relay=victim [192.0.2.66]`},
			"",
		},
		{
			"A10 header",
			[]string{`QID: ruleset=CheckSubject, arg1= casino, relay=` + victim + `, reject=554 5.7.1 x, relay=` + client + `, reject=554 5.7.1 Message rejected`},
			"",
		},
		{
			"A10 header, the true client cut off",
			[]string{`QID: ruleset=CheckSubject, arg1= casino, relay=` + victim + `, reject=554 5.7.1 ` + filler},
			"",
		},
		{
			"A10 command",
			[]string{`ruleset=check_other, arg1=X-Foo: y, arg2=5, relay=` + victim + `, reject=421 4.7.0 bad command, arg2=5, relay=` + client + `, reject=421 4.7.0 bad command`},
			"",
		},
		{
			"A11 message id",
			[]string{`QID: from=<a@b>, size=1, class=0, nrcpts=0, msgid=<x, proto=ESMTP, daemon=MTA, relay=victim [192.0.2.66] y@b>, proto=ESMTP, daemon=MTA, relay=` + client},
			"",
		},
		{
			"A11 message id, line cut",
			[]string{`QID: from=<a@b>, size=1, class=0, nrcpts=0, msgid=<x, proto=ESMTP, daemon=MTA, relay=victim [192.0.2.66]`},
			"",
		},
		{
			"A12 name that looks like an address",
			[]string{`QID: 192.0.2.66.evil.example [198.51.100.7] (may be forged): VRFY x`, `QID: collect: relay=192.0.2.66, from=<a@b>, info=Bare linefeed (LF) not allowed, where=body, status=tempfail`},
			"vrfy_expn",
		},
		{
			"A12 name in a time-out",
			[]string{`QID: timeout waiting for input from 192.0.2.66 during server cmd read`},
			"",
		},
		{
			"A13 long name",
			[]string{`QID: AUTH decode64 error [-5 for "x"], relay=` + ptr[:100], `STARTTLS=server, error: accept failed=-1, reason=x, SSL_error=1, errno=0, retry=-1, relay=` + ptr[:100]},
			"",
		},
		{
			"A14 answer of a DNS list",
			[]string{`ruleset=check_relay, arg1=h.example, arg2=192.0.2.66, relay=` + client + `, reject=550 5.7.1 Rejected: 198.51.100.7 listed at l.example`},
			"dnsbl",
		},
		{
			"A16 reply of another server",
			[]string{`QID: to=<a@b>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [198.51.100.9], dsn=5.1.1, stat=User unknown, relay=` + victim + `, dsn=2.0.0, stat=Sent`},
			"",
		},
		{
			"repeated, by a recipient",
			[]string{`QID: "message repeated 5 times: [ ` + fake + `]"@lab.example... User unknown`},
			"",
		},
		{
			"quarantine, by a recipient",
			[]string{`QID: milter="x, quarantine=y"@lab.example... User unknown`},
			"",
		},
		{
			"milter by a recipient",
			[]string{`QID: Milter:"x connect: host=h, addr=192.0.2.66, rejecting commands"@lab.example... User unknown`},
			"",
		},
		{
			"ident answer",
			[]string{`QID: IDENT:192.0.2.66@h.example [198.51.100.7]: VRFY x`},
			"vrfy_expn",
		},
		{
			"sender that names another",
			[]string{`QID: setsender: <"|x, received from victim [192.0.2.66]"@lab.example>: invalid or unparsable, received from ` + client},
			"bad_sender_syntax",
		},
		{
			"HELO that names another",
			[]string{`QID: invalid domain name (x) from victim [192.0.2.66]) from ` + client},
			"bad_helo",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialogue(t, MemoryOptions{})
			id := idAt(d.now, "00", 100)
			d.prove(700) // less than what was cut
			var all []string
			for i, line := range tt.lines {
				got := d.hear(100, strings.Replace(line, "QID", id, 1))
				if i == 0 && tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], " "+tt.want+" 198.51.100.7")) {
					t.Errorf("%q, want %s", got, tt.want)
				}
				if i == 0 && tt.want == "" && len(got) > 0 {
					t.Errorf("%q before the client is known", got)
				}
				all = append(all, got...)
			}
			all = append(all, d.hear(100, id+": "+client+" did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA")...)
			for _, e := range all {
				if !strings.HasSuffix(e, " 198.51.100.7") {
					t.Errorf("%q", all)
				}
			}
			if last := all[len(all)-1]; !strings.Contains(last, "null_connection") {
				t.Errorf("%q", all)
			}
		})
	}
}

// A15, PID reuse, is TestPIDsComeAgain.

// Cut at any byte, a line that carries an injection still accuses nobody but
// the client, but for what it says that this takes: that the line is whole. Only
// the user name of an AUTH failure, cut at 64 bytes, is taken to be too short for
// anybody's cut (authProof).
func TestCutInjections(t *testing.T) {
	p, _ := NewParser(nil)
	for _, part := range []string{"real", "soup"} {
		wrong := 0
		for _, l := range readLog(t, part, "traditional") {
			var rec Record
			for i := range l.text {
				p.Parse(l.text[:i], &rec)
				if isVictim(rec.Addr) && rec.Proof == ProofOwn && (rec.Reason != offence.AuthFail || i > 250) {
					wrong++
					t.Errorf("%v: %s", rec.Addr, l.text[:i])
					break
				}
			}
			if wrong > 10 {
				return
			}
		}
	}
}
