package postfix

import (
	"fmt"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// read says what a line is, as "KIND REASON ADDRESS USER", with a star behind a
// refusal for a while and ~ behind an address that counts only in a whole line.
func read(text string) string {
	var rec offence.Record
	Program{}.Parse(text, &rec)
	words := []string{rec.Kind.String()}
	if rec.Reason != offence.ReasonNone {
		words = append(words, rec.Reason.String())
	}
	if rec.Temporary {
		words[len(words)-1] += "*"
	}
	if rec.Addr.IsValid() {
		addr := rec.Addr.String()
		if rec.AtEnd {
			addr += "~"
		}
		words = append(words, addr)
	}
	if rec.User != "" {
		words = append(words, fmt.Sprintf("%q", rec.User))
	}
	return strings.Join(words, " ")
}

const (
	c      = "192.0.2.66.h1.dyn.example[198.18.1.2]"
	tail   = "; from=<x@good.example> to=<a@other.example> proto=ESMTP helo=<h>"
	reject = "NOQUEUE: reject: RCPT from " + c + ": "
)

func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		"connect from unknown[198.18.1.2]":                                                                 "connect 198.18.1.2",
		"connect from unknown[unknown]":                                                                    "info",
		"connect from localhost[127.0.0.1]":                                                                "connect 127.0.0.1",
		"connect from h.example[2001:db8::7]:41234":                                                        "connect 2001:db8::7",
		"disconnect from " + c + " ehlo=1 quit=1 commands=2":                                               "disconnect 198.18.1.2",
		"disconnect from " + c + " ehlo=1 mail=1 rcpt=0/1 data=0/1 commands=2":                             "disconnect 198.18.1.2",
		"disconnect from " + c + " ehlo=1 mail=1 rcpt=3/4 data=1 commands=7":                               "from 198.18.1.2",
		"QQQQ: reject: RCPT from " + c + ": 554 5.7.1 x":                                                   "info",
		"4dKxyz0QRTz1Kv: client=" + c:                                                                      "client 198.18.1.2",
		"0B1C2D3E4F: client=" + c + ", sasl_method=PLAIN, sasl_username=joe":                               `auth 198.18.1.2 "joe"`,
		"0B1C2D3E4F: client=localhost[127.0.0.1], orig_queue_id=X, orig_client=unknown[192.0.2.66]":        "client 127.0.0.1",
		"0B1C2D3E4F: to=<a@b>, relay=mx[192.0.2.66]:25, status=bounced (host mx[192.0.2.66] said: 550 no)": "info",

		reject + "554 5.7.1 <a@other.example>: Relay access denied" + tail:                                                                       "reject relay_denied 198.18.1.2",
		reject + "454 4.7.1 <a@other.example>: Relay access denied" + tail:                                                                       "reject relay_denied* 198.18.1.2",
		reject + "550 5.1.1 <a@b>: Recipient address rejected: User unknown in virtual mailbox table" + tail:                                     "reject unknown_user 198.18.1.2",
		reject + "450 4.2.0 <a@b>: Recipient address rejected: Greylisted, see [192.0.2.66]; from=<x>" + tail:                                    "reject access_denied* 198.18.1.2",
		reject + "554 5.7.1 Service unavailable; Client host [198.18.1.2] blocked using bl.example; see [192.0.2.66]" + tail:                     "reject dnsbl 198.18.1.2",
		reject + "450 4.7.25 Client host rejected: cannot find your hostname, [198.18.1.2]" + tail:                                               "reject rdns_temp* 198.18.1.2",
		reject + "550 5.7.25 Client host rejected: cannot find your hostname, [198.18.1.2]" + tail:                                               "reject no_rdns 198.18.1.2",
		reject + "450 4.1.8 <x@nowhere>: Sender address rejected: Domain not found" + tail:                                                       "reject sender_domain_temp* 198.18.1.2",
		reject + "554 5.7.1 <192.0.2.66.h1.dyn.example[198.18.1.2]>: Client host rejected: Access denied" + tail:                                 "reject access_reject 198.18.1.2",
		reject + "550 5.5.1 Protocol error" + tail:                                                                                               "client 198.18.1.2",
		reject + "451 4.3.0 <a@b>: Temporary lookup failure" + tail:                                                                              "reject other* 198.18.1.2",
		reject + "554 5.7.1 <x>: Protocol error@other.example>: Relay access denied; from=<> to=<\"x>: Protocol error\"@o> proto=ESMTP helo=<h>": "reject relay_denied 198.18.1.2",
		reject + "554 5.7.1 <a@o>: Relay access denied; from=<\"x>: Protocol error\"@b> to=<\"; proto=ESMTP\"@o> proto=ESMTP helo=<h>":           "reject relay_denied 198.18.1.2",
		reject + "554 5.7.1 <a@o>: Relay access denied; from=<\"x>: Protocol error\"@b> to=<\"; proto=ESMTP helo=\"@o> proto=ESMTP helo=<h>":     "reject relay_denied 198.18.1.2",
		reject + "no code": "unknown",
		"NOQUEUE: reject: RCPT from x y[198.18.1.2]: 554 5.7.1 no":     "unknown",
		"NOQUEUE: reject: RCPT from unknown[unknown]: 554 5.7.1 x":     "info",
		"NOQUEUE: reject: RCPT from unknown[198.18.1]: 554 5.7.1 x":    "unknown",
		"NOQUEUE: reject_warning: RCPT from " + c + ": 554 5.7.1 <a>:": "info",
		"NOQUEUE: reject: EHLO from " + c + ": 501 5.5.2 <NOQUEUE: reject: RCPT from unknown[192.0.2.66]: 554 5.7.1 <a@b>: Relay access denied; from=<c@d>>: Helo command rejected: Invalid name; proto=SMTP helo=<x>": "reject bad_helo 198.18.1.2",
		"NOQUEUE: reject: CONNECT from " + c + ": 554 5.7.1 <" + c + ">: Client host rejected: Access denied; proto=SMTP":                                                                                              "reject access_reject 198.18.1.2",
		"NOQUEUE: reject: VRFY from " + c + ": 550 5.1.1 <joe>: Recipient address rejected: User unknown":                                                                                                              "reject vrfy_expn_rejected 198.18.1.2",
		"NOQUEUE: reject: RCPT from [198.18.1.2]:4711: 550 5.7.1 Service unavailable; client [198.18.1.2] blocked using bl.example; from=<>, to=<a@b>, proto=ESMTP, helo=<x>":                                          "reject dnsbl 198.18.1.2",
		"NOQUEUE: reject: EHLO from " + c + ": bare <LF> received; proto=SMTP":                                                                                                                                         "misuse bare_newline 198.18.1.2",
		"0B1C2D3E4F: milter-reject: RCPT from " + c + ": 451 4.7.1 later" + tail:                                                                                                                                       "milter milter_reject* 198.18.1.2",
		"0B1C2D3E4F: milter-reject: END-OF-MESSAGE from " + c + ": 5.7.1 no" + tail:                                                                                                                                    "milter milter_reject 198.18.1.2",
		"0B1C2D3E4F: milter-reject: END-OF-MESSAGE from " + c + ": 4.7.1 no" + tail:                                                                                                                                    "milter milter_reject* 198.18.1.2",
		"0B1C2D3E4F: milter-hold: END-OF-MESSAGE from " + c + ": milter triggers HOLD" + tail:                                                                                                                          "milter milter_quarantine 198.18.1.2",

		"0B1C2D3E4F: reject: header Subject: casino from " + c + tail + ": 5.7.1 spam":                                                            "reject header_reject 198.18.1.2~",
		"0B1C2D3E4F: reject: header Subject: x from unknown[192.0.2.66]; from=<a@b> to=<c> proto=ESMTP helo=<x>: 5.7.1 from " + c + tail + ": no": "info",
		"0B1C2D3E4F: reject: header Subject: x from unknown[192.0.2.66] from " + c + tail + ": 5.7.1 spam":                                        "reject header_reject 198.18.1.2~",
		"0B1C2D3E4F: reject: header Subject: x from unknown[192.0.2.66]; from=<a@b>":                                                              "info",
		"0B1C2D3E4F: warning: header Subject: x from " + c + tail:                                                                                 "info",

		"warning: " + c + ": SASL LOGIN authentication failed: (reason unavailable), sasl_username=joe":   `auth_failure auth_fail 198.18.1.2 "joe"`,
		"warning: " + c + ": SASL ]:[192.0.2.66]: authentication failed: authentication failure":          "auth_failure auth_fail 198.18.1.2",
		"warning: " + c + ": SASL PLAIN authentication failed: Connection lost to authentication server":  "auth_failure auth_unavailable 198.18.1.2",
		"warning: " + c + ": SASL LOGIN authentication failed: Invalid base64 data in continued response": "auth_failure auth_decode 198.18.1.2",
		"warning: " + c + ": SASL X-[192.0.2.66] authentication failed: Invalid authentication mechanism": "auth_failure other 198.18.1.2",
		"warning: SASL authentication failure: Password verification failed":                              "info",
		"warning: non-SMTP command from " + c + ": GET / HTTP/1.1":                                        "misuse bogus_cmd 198.18.1.2",
		"warning: non-SMTP command from " + c + ": CONNECT 192.0.2.66:25 HTTP/1.0":                        "misuse open_proxy 198.18.1.2",
		"warning: non-SMTP command from " + c + ": Subject: unknown[192.0.2.66]":                          "misuse bad_command 198.18.1.2",
		"warning: non-SMTP command from " + c + ": *":                                                     "client 198.18.1.2",
		"warning: numeric hostname: 192.0.2.66":                                                           "info",
		"warning: hostname h.example does not resolve to address 192.0.2.66":                              "info",
		"warning: Illegal address syntax from " + c + " in MAIL command: unknown[192.0.2.66]":             "reject bad_sender_syntax 198.18.1.2",
		"warning: Illegal address syntax from " + c + " in RCPT command: unknown[192.0.2.66]":             "reject rcpt_syntax 198.18.1.2",
		"warning: Connection rate limit exceeded: 11 from " + c + " for service smtp":                     "reject rate_limit 198.18.1.2",
		"warning: Connection concurrency limit exceeded: 51 from " + c + " for service smtp":              "reject conn_limit 198.18.1.2",
		"warning: AUTH command rate limit exceeded: 4 from " + c + " for service 2527":                    "reject rate_limit 198.18.1.2",
		"warning: haproxy read: unexpected protocol header: PROXY TCP9 192.0.2.66 x":                      "info",
		"improper command pipelining after EHLO from " + c + ": MAIL FROM:<x> from unknown[192.0.2.66]":   "misuse ehlo_pipelining 198.18.1.2",
		"lost connection after CONNECT from " + c:                                                         "disconnect null_connection 198.18.1.2",
		"NOQUEUE: lost connection after CONNECT from " + c:                                                "disconnect null_connection 198.18.1.2",
		"0B1C2D3E4F: lost connection after DATA (311 bytes) from " + c:                                    "disconnect lost_input 198.18.1.2",
		"timeout after END-OF-MESSAGE from " + c:                                                          "disconnect timeout 198.18.1.2",
		"too many errors after UNKNOWN from " + c:                                                         "misuse bad_command 198.18.1.2",
		"SSL_accept error from " + c + ": -1":                                                             "tls_failure tls_fail 198.18.1.2",
		"TLS handshake failed for service=smtpd peer=[198.18.1.2]:4711":                                   "tls_failure tls_fail 198.18.1.2",
		"PREGREET 27 after 0.01 from [198.18.1.2]:4711: EHLO from [192.0.2.66]:25: x":                     "misuse pregreet 198.18.1.2",
		"HANGUP after 0.1 from [2001:db8::7]:4711 in tests before SMTP handshake":                         "disconnect null_connection 2001:db8::7",
		"CONNECT from [198.18.1.2]:4711 to [198.51.100.25]:25":                                            "connect 198.18.1.2",
		"DNSBL rank 3 for [198.18.1.2]:4711":                                                              "info",
		"DENYLISTED [198.18.1.2]:4711":                                                                    "client 198.18.1.2",
		"NON-SMTP COMMAND from [198.18.1.2]:4711 after CONNECT: GET /[192.0.2.66]:25 HTTP/1.1":            "misuse bogus_cmd 198.18.1.2",
		"BARE NEWLINE from [198.18.1.2]:4711 after MAIL FROM:<a@[192.0.2.66]:25>":                         "misuse bare_newline 198.18.1.2",
		"COMMAND PIPELINING from [198.18.1.2]:4711 after EHLO: MAIL FROM:<a@[192.0.2.66]:25>":             "misuse ehlo_pipelining 198.18.1.2",
		"statistics: max connection rate 3/60s for (2527:192.0.2.66) at Dec  1 04:36:10":                  "info",
		"fatal: no SASL authentication mechanisms":                                                        "info",
		"": "info",
	} {
		if got := read(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestAccepted: what a disconnect line says was delivered speaks for the client, for
// as many recipients as were taken.
func TestAccepted(t *testing.T) {
	var rec offence.Record
	Program{}.Parse("disconnect from "+c+" ehlo=2 starttls=1 mail=1 rcpt=3/4 bdat=1 quit=1 commands=9/10", &rec)
	if rec.Kind != offence.LineFrom || rec.Count != 3 || !rec.PerClient {
		t.Errorf("%+v", rec)
	}
}

func TestOurs(t *testing.T) {
	for tag, want := range map[string]bool{
		"postfix": true, "postfix/smtpd": true, "postfix-in/smtpd": true, "postfix/submission/smtpd": true,
		"postfix/postscreen": true, "postfixadmin": false, "sendmail": false, "": false,
	} {
		if (Program{}).Ours(tag) != want {
			t.Errorf("%q", tag)
		}
	}
}

func TestMask(t *testing.T) {
	for text, want := range map[string]string{
		"warning: " + c + ": SASL LOGIN authentication failed: no, sasl_username=joe": "warning: " + c + ": SASL LOGIN authentication failed: no, sasl_username=***",
		"0B1C2D3E4F: client=" + c + ", sasl_method=PLAIN, sasl_username=joe":          "0B1C2D3E4F: client=" + c + ", sasl_method=PLAIN, sasl_username=***",
		"warning: non-SMTP command from " + c + ": c2VjcmV0 x]: y":                    "warning: non-SMTP command from " + c + ": ***",
		"PREGREET 9 after 0.1 from [198.18.1.2]:4711: AUTH PLAIN c2VjcmV0":            "PREGREET 9 after 0.1 from [198.18.1.2]:4711: ***",
		"COMMAND PIPELINING from [198.18.1.2]:4711 after EHLO: AUTH PLAIN x":          "COMMAND PIPELINING from [198.18.1.2]:4711 after EHLO: ***",
		"connect from " + c: "connect from " + c,
	} {
		got := Program{}.Mask(text)
		if got != want || (Program{}).Mask(got) != got {
			t.Errorf("%q is masked as %q", text, got)
		}
	}
}

// FuzzParse: no panic; an address is in the text, in brackets; an offence has one;
// masking a masked text changes nothing.
func FuzzParse(f *testing.F) {
	shapes := map[string]int{}
	for _, name := range corpora {
		texts, _ := corpus(f, name, "traditional")
		for _, text := range texts {
			shape := strings.Fields(read(text))[0]
			if shapes[shape]++; shapes[shape] <= 12 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var rec offence.Record
		Program{}.Parse(text, &rec)
		if rec.Reason != offence.ReasonNone && !rec.Addr.IsValid() {
			t.Errorf("an offence of nobody: %q", text)
		}
		if rec.Addr.IsValid() && !bracketed(text, &rec) {
			t.Errorf("%v is not in %q", rec.Addr, text)
		}
		if once := (Program{}).Mask(text); (Program{}).Mask(once) != once {
			t.Errorf("mask: %q", once)
		}
	})
}

func bracketed(text string, rec *offence.Record) bool {
	for i := range len(text) {
		if text[i] == '[' {
			if addr, _, ok := client(text[i:]); ok && addr == rec.Addr {
				return true
			}
		}
	}
	return false
}

func BenchmarkParse(b *testing.B) {
	texts, _ := corpus(b, corpora[0], "traditional")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		var rec offence.Record
		Program{}.Parse(texts[i%len(texts)], &rec)
		i++
	}
}
