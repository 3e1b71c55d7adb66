package exim

import (
	"net/netip"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

const (
	addr   = "198.18.0.7"
	victim = "192.0.2.66"
)

// TestParse has the forms that the corpus lacks, and lines that must not be
// believed.
func TestParse(t *testing.T) {
	tests := []struct{ name, text, addr, reason string }{
		{"pregreet", `SMTP protocol synchronization error (input sent without waiting for greeting): rejected connection from H=[198.18.0.7]:25936 I=[198.51.100.25]:25 input="GET / HTTP/1.1\r\n"`, addr, "pregreet"},
		{"pregreet with a client in its text", `SMTP protocol synchronization error (input sent without waiting for greeting): rejected connection from H=[198.18.0.7] input="x H=[192.0.2.66] input="`, addr, "pregreet"},
		{"pipelining", `SMTP protocol synchronization error (next input sent too soon: pipelining was not advertised): rejected "RSET" H=(a) [198.18.0.7] next input="QUIT\r\n"`, addr, "ehlo_pipelining"},
		{"DNS name", "H=mx.example.org (x y) [198.18.0.7]:3755 I=[198.51.100.25]:25 F=<a@b> rejected RCPT <c@d>: relay not permitted", addr, "relay_denied"},
		{"no HELO", "H=[198.18.0.7] rejected connection in \"connect\" ACL", addr, "access_reject"},
		{"message id", "1tAbCd-000000001Tj-0aBc H=(a) [198.18.0.7] F=<a@b> rejected after DATA: spam", addr, "header_reject"},
		{"old message id", "1ahr79-0006jK-G9 SMTP connection from (a) [198.18.0.7]:44884 I=[198.51.100.25]:25 closed by DROP in ACL", addr, "null_connection"},
		{"time, zone and PID", "2026-11-30 13:54:42.123 +0100 [99] H=(a) [198.18.0.7] F=<a@b> rejected RCPT <c@d>: Unrouteable address", addr, "unknown_user"},
		{"a recipient that is a text", `H=(a) [198.18.0.7] F=<a@b> rejected RCPT <"x>: relay not permitted"@d>: not for you`, addr, "rcpt_access"},
		{"4xx", "H=(a) [198.18.0.7] F=<a@b> temporarily rejected RCPT <c@d>: greylisted", "", ""},
		{"backend", "plain authenticator failed for (a) [198.18.0.7]: 435 Unable to authenticate at present (set_id=joe): cannot connect", addr, "auth_unavailable"},
		{"mapped", "H=(a) [::ffff:198.18.0.7] rejected MAIL <a@b>: no", addr, "sender_access"},
		{"two readings", "H=(a) [192.0.2.66] F=<b@c> rejected RCPT <d@e>: relay not permitted) [198.18.0.7] F=<a@b> rejected RCPT <c@d>: relay not permitted", "", ""},
		{"two readings behind a command", `SMTP syntax error in "RCPT x" H=(a) [192.0.2.66] unrecognized" H=(b) [198.18.0.7] unrecognized command`, "", ""},
		{"one form only fits once", "plain authenticator failed for (a) [192.0.2.66] x) [198.18.0.7]: 535 Incorrect authentication data", addr, "auth_fail"},
		{"the server only", "H=(a) I=[198.51.100.25]:25 F=<a@b> rejected RCPT <c@d>: relay not permitted", "", ""},
		{"a part", `[2\14] H=(a) [192.0.2.66] F=<b@c> rejected RCPT <d@e>: relay not permitted`, "", ""},
		{"the last part", `[14/14] H=(a) [192.0.2.66] F=<b@c> rejected RCPT <d@e>: relay not permitted`, "", ""},
		{"a header", "  Subject: H=(a) [192.0.2.66] F=<b@c> rejected RCPT <d@e>: relay not permitted", "", ""},
		{"local", "H=(a) [127.0.0.1] F=<b@c> rejected RCPT <d@e>: relay not permitted", "", ""},
		{"a line that may have been cut", "H=(a) [192.0.2.66] F=<b@c> rejected RCPT <d@e>: relay not permitted" + strings.Repeat("x", maxLine), "", ""},
		{"cut", "H=(a) [198.18.0", "", ""},
		{"empty", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rec offence.Record
			Program{}.Parse(tt.text, &rec)
			want, _ := netip.ParseAddr(tt.addr)
			if rec.Addr != want || rec.Reason.String() != tt.reason {
				t.Errorf("%v %s: %s", rec.Addr, rec.Reason, tt.text)
			}
		})
	}
}

func TestOurs(t *testing.T) {
	for tag, want := range map[string]bool{"exim": true, "exim4": true, "exim-x": false, "": false} {
		if got := (Program{}).Ours(tag); got != want {
			t.Errorf("%q: %t", tag, got)
		}
	}
}

func TestMask(t *testing.T) {
	const fail = "plain authenticator failed for (a) [198.18.0.7]: 535 Incorrect authentication data (set_id="
	tests := []struct{ text, want string }{
		{fail + "joe)", fail + "***"},
		{fail + "x) [192.0.2.66])", fail + "***"},
		{`SMTP protocol error in "AUTH PLAIN AGpvZQ==" H=(a) [198.18.0.7] AUTH command used when not advertised`, `SMTP protocol error in "AUTH PLAIN ***" H=(a) [198.18.0.7] AUTH command used when not advertised`},
		{`SMTP protocol error in "AUTH LOGIN" H=(a) [198.18.0.7] x`, `SMTP protocol error in "AUTH LOGIN" H=(a) [198.18.0.7] x`},
		{`SMTP call from (a) [198.18.0.7] dropped: too many nonmail commands (last was "auth plain AGpv`, `SMTP call from (a) [198.18.0.7] dropped: too many nonmail commands (last was "auth plain ***`},
	}
	for _, tt := range tests {
		if got := (Program{}).Mask(tt.text); got != tt.want || Mask(got) != got {
			t.Errorf("%q, then %q, want %q", got, Mask(got), tt.want)
		}
	}
}

// FuzzParse: no panic, an address that is given stands in brackets in the line, and
// a HELO that is any text accuses nobody but the client that Exim names behind it.
func FuzzParse(f *testing.F) {
	for _, version := range versions {
		for i, text := range texts(f, version, "traditional") {
			if i%7 == 0 || strings.Contains(text, ") ["+victim) {
				f.Add(text)
			}
		}
	}
	f.Add("a) [192.0.2.66] F=<b@c> rejected RCPT <d@e>: relay not permitted")
	f.Fuzz(func(t *testing.T, text string) {
		var rec offence.Record
		Program{}.Parse(text, &rec)
		if a := rec.Addr; a.IsValid() && (a.Is4In6() || a.Zone() != "" || strings.IndexByte(text, '[') < 0) {
			t.Errorf("%v of %q", a, text)
		}
		if rec.Reason != offence.ReasonNone && !rec.Addr.IsValid() {
			t.Errorf("%+v of %q", rec, text)
		}
		if hidden := Mask(text); Mask(hidden) != hidden {
			t.Errorf("%q, then %q", hidden, Mask(hidden))
		}
		for _, line := range []string{
			"H=(" + text + ") [198.18.0.7] F=<a@b> rejected RCPT <c@d>: relay not permitted",
			"H=(a) [198.18.0.7] F=<" + text + "> rejected RCPT <c@d>: relay not permitted",
			"H=(a) [198.18.0.7] F=<a@b> rejected RCPT <" + text + ">: relay not permitted",
			"plain authenticator failed for (" + text + ") [198.18.0.7]: 535 Incorrect authentication data (set_id=joe)",
			"plain authenticator failed for (a) [198.18.0.7]: 535 Incorrect authentication data (set_id=" + text + ")",
			`SMTP syntax error in "` + text + `" H=(a) [198.18.0.7] unrecognized command`,
			`SMTP protocol error in "` + text + `" H=(` + text + `) [198.18.0.7] AUTH command used when not advertised`,
		} {
			rec = offence.Record{}
			Program{}.Parse(line, &rec)
			if rec.Reason != offence.ReasonNone && rec.Addr != netip.MustParseAddr(addr) {
				t.Errorf("%v in %q", rec.Addr, line)
			}
		}
	})
}
