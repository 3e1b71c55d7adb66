package detector

import (
	"fmt"
	"strings"
	"testing"
)

// TestPostfixIsJudged: one process serves many clients, in turn and at once. Each
// answers for itself, and who guesses passwords there and at sshd is blocked.
func TestPostfixIsJudged(t *testing.T) {
	h := newSSHHost(t, nil)
	const failed = "warning: unknown[%s]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=%s"
	for i := range 3 {
		for _, addr := range []string{"203.0.113.9", "198.51.100.7"} {
			h.hear("postfix/smtpd", 7, "connect from unknown["+addr+"]")
			if addr == "203.0.113.9" {
				h.hear("postfix/smtpd", 7, fmt.Sprintf(failed, addr, fmt.Sprintf("u%d, sasl_username=x unknown[192.0.2.66]", i)))
			}
			h.hear("postfix/smtpd", 7, "disconnect from unknown["+addr+"] ehlo=1 auth=0/1 quit=1 commands=2/3")
		}
		h.hear("sshd", uint32(100+i), fmt.Sprintf("Failed password for root from 203.0.113.9 port %d ssh2", 4000+i))
		h.pass(3)
	}
	if len(h.verdicts) != 1 || h.verdicts[0].Prefix.String() != "203.0.113.9/32" {
		t.Fatalf("verdicts: %v", h.verdicts)
	}
	for _, e := range h.verdicts[0].Evidence {
		if strings.Contains(e.Text, "192.0.2.66") {
			t.Errorf("a name is in the evidence: %s", e.Text)
		}
	}
}

// TestPostscreenServesManyAtOnce: the lines of its clients are mixed.
func TestPostscreenServesManyAtOnce(t *testing.T) {
	h := newSSHHost(t, nil)
	for _, text := range []string{
		"CONNECT from [203.0.113.9]:4711 to [198.51.100.25]:25",
		"CONNECT from [203.0.113.10]:4712 to [198.51.100.25]:25",
		"PREGREET 14 after 0.01 from [203.0.113.9]:4711: EHLO [192.0.2.66]\\r\\n",
		"HANGUP after 0.2 from [203.0.113.10]:4712 in tests before SMTP handshake",
		"PREGREET 14 after 0.01 from [203.0.113.9]:4711: EHLO [192.0.2.66]\\r\\n",
	} {
		h.hear("postfix/postscreen", 7, text)
		h.pass(1)
	}
	if got := h.told(); got != " 203.0.113.9,  203.0.113.10, pregreet 203.0.113.9, null_connection 203.0.113.10, pregreet 203.0.113.9" {
		t.Errorf("events: %q", got)
	}
}

// TestGreylistingIsNoOffence: a client that is put off, however often, is not blocked,
// and the mail that it delivers speaks for it.
func TestGreylistingIsNoOffence(t *testing.T) {
	h := newSSHHost(t, nil)
	for i := range 60 {
		h.hear("postfix", 7, "NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 450 4.2.0 <a@b>: Recipient address rejected: Greylisted; from=<x@y> to=<a@b> proto=ESMTP helo=<h>")
		h.hear("postfix", 7, fmt.Sprintf("NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 454 4.7.1 <a%d@b>: Relay access denied; from=<x@y> to=<a@b> proto=ESMTP helo=<h>", i))
		h.pass(2)
	}
	if len(h.verdicts) != 0 {
		t.Errorf("verdicts: %v", h.verdicts)
	}
	h.told()
	h.hear("postfix", 7, "disconnect from unknown[203.0.113.9] ehlo=1 mail=1 rcpt=2 data=1 quit=1 commands=6")
	if len(h.events) != 1 || h.events[0].Count != 2 || h.events[0].Addr.String() != "203.0.113.9" {
		t.Errorf("a delivery gives %+v", h.events)
	}
}

// TestHeaderOfACutLine: a header can look like the end of a line that was cut.
func TestHeaderOfACutLine(t *testing.T) {
	h := newSSHHost(t, nil)
	h.hear("postfix/cleanup", 7, "0B1C2D3E4F: reject: header Subject: x from unknown[192.0.2.66]; from=<a@b> to=<c> proto=ESMTP helo=<x>: 5.7.1 no")
	h.pass(5)
	if got := h.told(); got != "" {
		t.Errorf("believed: %s", got)
	}
}
