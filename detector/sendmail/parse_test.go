package sendmail

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// TestAuthReason: who fails to log in is told from a host that fails to look.
func TestAuthReason(t *testing.T) {
	for failure, want := range map[string]offence.Reason{
		"(LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed":               offence.AuthFail,
		"(CRAM-MD5): user not found (-20) SASL(-13): user not found: user: a@b property: x not found in sasldb":   offence.AuthFail,
		"(PLAIN): bad protocol / cancel (-5) SASL(-5): bad protocol / cancel: Can only find author (no password)": offence.AuthFail,
		// A client can say such things to DIGEST-MD5 as often as it likes.
		"(DIGEST-MD5): generic failure (-1) SASL(-1): generic failure: duplicate realm: authentication aborted": offence.AuthFail,
		"(digest-md5): generic failure (-1) SASL(-1): generic failure: client doesn't support UTF-8":            offence.AuthFail,
		// saslauthd, the directory behind it, sasldb, or memory
		"(PLAIN): generic failure (-1) SASL(-1): generic failure: checkpass failed":                                              offence.AuthUnavailable,
		"(PLAIN): generic failure (-1) SASL(-1): generic failure: Password verification failed":                                  offence.AuthUnavailable,
		"(LOGIN): generic failure (-1) SASL(-1): generic failure: cannot connect to saslauthd server: No such file or directory": offence.AuthUnavailable,
		"(LOGIN): no memory available (-2) SASL(-2): no memory available: checkpass failed":                                      offence.AuthUnavailable,
		"(LOGIN): no mechanism available (-4) SASL(-4): no mechanism available: checkpass failed":                                offence.AuthUnavailable,
		"(DIGEST-MD5): transient failure (e.g., weak key) (-8) SASL(-8): transient failure (e.g., weak key): x":                  offence.AuthUnavailable,
		"(PLAIN): remote authentication server unavailable (-24) SASL(-24): remote authentication server unavailable: x":         offence.AuthUnavailable,
		"(PLAIN): user exists, but no verifier for user (-26) ":                                                                  offence.AuthUnavailable,
		"(GSSAPI): generic failure (-1) SASL(-1): generic failure: GSSAPI Error: No credentials were supplied":                   offence.AuthUnavailable,
		// no code that we know of
		"(PLAIN): x": offence.AuthFail,
		"(PLAIN)":    offence.AuthFail,
	} {
		for _, end := range []string{", user=joe, relay=h [198.51.100.7]", ", relay=[198.51.100.7]"} {
			rec := parse(t, id+"AUTH failure "+failure+end)
			if rec.Reason != want || rec.Addr.String() != "198.51.100.7" || rec.Kind != offence.LineAuthFailure {
				t.Errorf("%s: %v of %v, want %v", failure, rec.Reason, rec.Addr, want)
			}
		}
	}
}

// An error in words of Cyrus SASL's own proves the client, also with a comma in
// them; one that repeats what the client said does not.
func TestAuthProof(t *testing.T) {
	for failure, want := range map[string]Proof{
		"authentication failure (-13) SASL(-13): authentication failure: checkpass failed":                        ProofShort,
		"transient failure (e.g., weak key) (-8) SASL(-8): transient failure (e.g., weak key): checkpass failed":  ProofShort,
		"user exists, but no verifier for user (-26) SASL(-26): user exists, but no verifier for user":            ProofShort,
		"passphrase expired, has to be reset (-31)":                                                               ProofShort,
		"user not found (-20) SASL(-13): user not found: user: x, relay=y property: z not found in sasldb":        ProofWhole,
		"x, relay=y [192.0.2.66] transient failure (e.g., weak key) (-8)":                                         ProofWhole,
		"transient failure (e.g., weak key), relay=y [192.0.2.66] (-8) SASL(-8): transient failure: cannot reach": ProofWhole,
	} {
		rec := parse(t, id+"AUTH failure (PLAIN): "+failure+", user=joe, relay=h [198.51.100.7]")
		if rec.Proof != want {
			t.Errorf("%s: proof %v, want %v", failure, rec.Proof, want)
		}
	}
}

func parse(t testing.TB, text string, own ...TextReason) Record {
	t.Helper()
	p, err := NewParser(own)
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	p.Parse(text, &rec)
	return rec
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

const id = "6AN8J381030790: "

func TestParseOffences(t *testing.T) {
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example"
	tests := []struct {
		text, addr string
		reason     offence.Reason
	}{
		// check_relay, connect time
		{"ruleset=check_relay, arg1=h.example, arg2=127.0.0.2, relay=h.example [198.51.100.7], reject=550 5.7.1 Rejected: 198.51.100.7 listed at zen.example", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=[198.51.100.7], arg2=198.51.100.7, relay=[198.51.100.7], reject=554 5.7.1 Rejected 198.51.100.7 found in dnsbl.sorbs.net", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=[198.51.100.7], arg2=127.0.0.4, relay=[198.51.100.7], reject=553 5.3.0 Spam blocked see: http://spamcop.net/bl.shtml?198.51.100.7", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=[198.51.100.7], arg2=127.0.0.4, relay=[198.51.100.7], reject=550 5.7.1 Mail from 198.51.100.7 refused by blackhole site rbl.example", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=553 5.3.0 Message from 198.51.100.7 blocked - see http://list.example/", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=554 5.7.1 Client host [192.0.2.66] blocked using truncate.example", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=553 5.3.0 Rejected - see http://SpamHaus.example/", "198.51.100.7", offence.DNSBL},
		{"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=553 5.3.0 Rejected, call us", "198.51.100.7", offence.AccessReject},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], reject=451 4.4.3 Temporary lookup failure of 198.51.100.7 at zen.example", "198.51.100.7", offence.DNSBLTempfail},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], reject=550 5.7.1 Access denied", "198.51.100.7", offence.AccessReject},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], reject=550 Go away", "198.51.100.7", offence.AccessReject},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], discard", "198.51.100.7", offence.Discard},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], quarantine=odd", "198.51.100.7", offence.Discard},
		{"ruleset=check_relay, arg1=[198.51.100.7], arg2=198.51.100.7, relay=[198.51.100.7], reject=550 5.7.1 Fix reverse DNS for 198.51.100.7", "198.51.100.7", offence.NoRDNS},
		{"ruleset=check_relay, arg1=[198.51.100.7], arg2=198.51.100.7, relay=localhost [198.51.100.7] (may be forged), reject=451 4.1.8 Possibly forged hostname for 198.51.100.7", "198.51.100.7", offence.RDNSForged},
		{"ruleset=check_relay, arg1=[198.51.100.7], arg2=198.51.100.7, relay=[198.51.100.7], reject=451 4.1.8 Client IP address 198.51.100.7 does not resolve", "198.51.100.7", offence.RDNSTemp},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], reject=421 4.3.2 Connection rate limit exceeded.", "198.51.100.7", offence.RateLimit},
		{"ruleset=check_relay, arg1=h.example, arg2=198.51.100.7, relay=h.example [198.51.100.7], reject=452 4.3.2 Too many open connections.", "198.51.100.7", offence.ConnLimit},
		{"NOQUEUE: tcpwrappers (w.example, 198.51.100.7) rejection", "198.51.100.7", offence.TCPWrappers},
		{"NOQUEUE: tcpwrappers ([198.51.100.7], 198.51.100.7) rejection", "198.51.100.7", offence.TCPWrappers},
		{"NOQUEUE: tcpwrappers (w.example, 2001:db8:1:7:0:0:0:8931) rejection", "2001:db8:1:7::8931", offence.TCPWrappers},
		// check_mail and check_rcpt
		{id + "ruleset=check_mail, arg1=<s@spam.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <s@spam.example>... Access denied", "198.51.100.7", offence.SenderAccess},
		{id + "ruleset=check_mail, arg1=<s@spam.example>, relay=h.example [198.51.100.7], reject=553 5.3.0 <s@spam.example>... SPAM REJECT", "198.51.100.7", offence.SenderAccess},
		{id + "ruleset=check_mail, arg1=<s@spam.example>, relay=h.example [198.51.100.7], discard", "198.51.100.7", offence.Discard},
		{id + "ruleset=check_mail, arg1=<s@nx.example>, relay=h.example [198.51.100.7], reject=553 5.1.8 <s@nx.example>... Domain of sender address s@nx.example does not exist", "198.51.100.7", offence.SenderDomain},
		{id + "ruleset=check_mail, arg1=<s>, relay=h.example [198.51.100.7], reject=553 5.5.4 <s>... Domain name required for sender address s", "198.51.100.7", offence.SenderDomain},
		{id + "ruleset=check_mail, arg1=<s@slow.example>, relay=h.example [198.51.100.7], reject=451 4.1.8 Domain of sender address s@slow.example does not resolve", "198.51.100.7", offence.SenderDomainTemp},
		{id + "ruleset=check_mail, arg1=<s@b.example>, relay=h.example [198.51.100.7], reject=550 5.1.2 <s@b.example>... Illegal MX record for host b.example", "198.51.100.7", offence.BadMX},
		{id + "ruleset=check_rcpt, arg1=<trap@lab.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <trap@lab.example>... Spam trap hit", "198.51.100.7", offence.RcptTrap},
		{id + "ruleset=check_rcpt, arg1=<a@lab.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <a@lab.example>... Access denied", "198.51.100.7", offence.AccessDenied},
		{id + "ruleset=check_rcpt, arg1=<a@lab.example>, relay=[198.51.100.7], reject=550 5.7.1 <a@lab.example>... Rejected: IP in SpamHaus PBL, see http://www.spamhaus.example/", "198.51.100.7", offence.DNSBL},
		{id + "ruleset=check_rcpt, arg1=<x@else.example>, relay=[198.51.100.7], reject=550 5.7.1 <x@else.example>... Relaying denied", "198.51.100.7", offence.RelayDenied},
		{id + "ruleset=check_rcpt, arg1=<x@else.example>, relay=h [198.51.100.7] (may be forged), reject=550 5.7.1 <x@else.example>... Relaying denied. IP name possibly forged [198.51.100.7]", "198.51.100.7", offence.RelayDenied},
		{id + "ruleset=check_rcpt, arg1=<x@else.example>, relay=[198.51.100.7], reject=450 4.4.0 <x@else.example>... Relaying temporarily denied. Cannot resolve PTR record for 198.51.100.7", "198.51.100.7", offence.Other},
		{id + "ruleset=check_rcpt, arg1=<a@lab.example>, relay=h.example [198.51.100.7], reject=550 5.0.0 <a@lab.example>... No such user here", "198.51.100.7", offence.UnknownUser},
		{id + "ruleset=check_rcpt, arg1=<l@lab.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <l@lab.example>... Unknown user", "198.51.100.7", offence.UnknownUser},
		{id + "h.example [198.51.100.7]:  VRFY root", "198.51.100.7", offence.VrfyExpn},
		{id + `h.example [198.51.100.7]: \t expn root [rejected]`, "198.51.100.7", offence.VrfyExpnRejected},
		{"ruleset=check_vrfy, arg1=root, relay=h.example [198.51.100.7], reject=550 5.7.1 Access denied", "198.51.100.7", offence.VrfyExpnRejected},
		{"g8U2LVi03161: ruleset=check_rcpt, arg1=<x@else.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <x@else.example>... Relaying denied", "198.51.100.7", offence.RelayDenied},
		{"xA32R2PQ3529565: ruleset=check_rcpt, arg1=<x@else.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <x@else.example>... Relaying denied", "198.51.100.7", offence.RelayDenied},
		{"[ID 801593 mail.notice] " + id + "ruleset=check_rcpt, arg1=<x@else.example>, relay=h.example [198.51.100.7], reject=550 5.7.1 <x@else.example>... Relaying denied", "198.51.100.7", offence.RelayDenied},
		{id + "ruleset=check_rcpt, arg1=<n@lab.example>, relay=[198.51.100.7], reject=550 5.1.1 <n@lab.example>... User unknown", "198.51.100.7", offence.UnknownUser},
		{id + "ruleset=check_rcpt, arg1=<n@lab.example>, relay=[198.51.100.7], reject=550 5.1.1 <n@lab.example>... Gone fishing", "198.51.100.7", offence.UnknownUser},
		{id + "ruleset=check_rcpt, arg1=<n@lab.example>, relay=[198.51.100.7], reject=550 5.2.1 <n@lab.example>... Mailbox disabled for this recipient", "198.51.100.7", offence.RcptAccess},
		{id + "ruleset=check_rcpt, arg1=<n@lab.example>, relay=[198.51.100.7], reject=550 5.7.1 <n@lab.example>... bogus HELO name used: localhost", "198.51.100.7", offence.BadHelo},
		{id + "ruleset=check_rcpt, arg1=<n@lab.example>, relay=[198.51.100.7], reject=554 5.7.1 <n@lab.example>... Try the other door", "198.51.100.7", offence.Other},
		{id + "ruleset=check_rcpt, arg1=<>, relay=[198.51.100.7], reject=553 5.0.0 <>... User address required", "198.51.100.7", offence.RcptSyntax},
		{id + "ruleset=check_vrfy, arg1=root, relay=[198.51.100.7], reject=550 5.7.1 root... Access denied", "198.51.100.7", offence.VrfyExpnRejected},
		// other rulesets
		{id + "ruleset=CheckSubject, arg1= Buy now, relay=h.example [198.51.100.7], reject=554 5.7.1 Message rejected", "198.51.100.7", offence.HeaderReject},
		{id + "ruleset=check_eoh, arg1=12, arg2=834, relay=h.example [198.51.100.7], reject=554 5.7.1 no Message-Id", "198.51.100.7", offence.HeaderReject},
		{"ruleset=check_other, arg1=FOO: bar, arg2=5, relay=h.example [198.51.100.7], reject=421 4.7.0 bad command", "198.51.100.7", offence.BadCommand},
		{"ruleset=trust_auth, arg1=joe, relay=h.example [198.51.100.7], reject=550 5.7.1 <a@b>... not authenticated", "198.51.100.7", offence.RcptSyntax},
		// behind the client
		{id + "h.example [198.51.100.7] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", "198.51.100.7", offence.NullConnection},
		{"IDENT:joe@h.example [198.51.100.7] did not issue MAIL/EXPN/VRFY/ETRN during connection to MSP-v4", "198.51.100.7", offence.NullConnection},
		{"joe@[198.51.100.7] did not issue MAIL/EXPN/VRFY/ETRN during connection to IPv4", "198.51.100.7", offence.NullConnection},
		{"NOQUEUE: Null connection from h [198.51.100.7]", "198.51.100.7", offence.NullConnection},
		{id + "[IPv6:2001:db8:1:2a:0:0:0:50de]: possible SMTP attack: command=AUTH, count=5", "2001:db8:1:2a::50de", offence.SMTPAttack},
		{id + "[IPv6:2001:DB8:1:2a::50DE]: possible SMTP attack: command=HELO/EHLO, count=3", "2001:db8:1:2a::50de", offence.SMTPAttack},
		{id + "[IPv6:::ffff:198.51.100.7]: possible SMTP attack: command=NOOP, count=20", "198.51.100.7", offence.SMTPAttack},
		{id + long[:100] + ": possible SMTP attack: command=VRFY, count=6", "", offence.SMTPAttack},
		{id + long + " [198.51.100.7]: possible SMTP attack: command=VRFY, count=6", "198.51.100.7", offence.SMTPAttack},
		{id + "h [198.51.100.7]: Possible SMTP RCPT flood, throttling.", "198.51.100.7", offence.RcptFlood},
		{id + "h [198.51.100.7]: Possible SMTP RCPT flood, shutting down connection.", "198.51.100.7", offence.RcptFlood},
		{id + `h [198.51.100.7]: probable open proxy: command=GET http://x/ HTTP/1.1\r\n`, "198.51.100.7", offence.OpenProxy},
		{id + "h [198.51.100.7]: SMTP violation, input too long: 2102", "198.51.100.7", offence.LongInput},
		{id + "h [198.51.100.7] (may be forged): expn root [rejected]", "198.51.100.7", offence.VrfyExpnRejected},
		{id + "h [198.51.100.7]: Vrfy root", "198.51.100.7", offence.VrfyExpn},
		{id + "h [198.51.100.7]: ETRN example.com", "198.51.100.7", offence.VrfyExpn},
		{id + `"wiz" command from h [198.51.100.7] (198.51.100.7)`, "198.51.100.7", offence.BogusCmd},
		{id + "rejecting commands from h [198.51.100.7] due to pre-greeting traffic after 0 seconds", "198.51.100.7", offence.Pregreet},
		{id + "rejecting commands from  [198.51.100.7] due to pre-greeting traffic after 0 seconds", "198.51.100.7", offence.Pregreet},
		{id + "rejecting commands from [198.51.100.7] [198.51.100.7] due to pre-greeting traffic", "198.51.100.7", offence.Pregreet},
		{id + "rejecting server EHLO from h [198.51.100.7] due to traffic before response", "198.51.100.7", offence.EHLOPipelining},
		{id + "rejecting server DATA from [198.51.100.7] [198.51.100.7] due to traffic before response", "198.51.100.7", offence.EHLOPipelining},
		{"unauthorized PIPELINING, sleeping, relay=h [198.51.100.7]", "198.51.100.7", offence.EHLOPipelining},
		{"unauthorized PIPELINING, sleeping", "", offence.EHLOPipelining},
		{id + "lost input channel from h [198.51.100.7] (may be forged) to MTA after rcpt", "198.51.100.7", offence.LostInput},
		{id + "lost input channel from " + long[:100] + " to MTA after rcpt", "", offence.LostInput},
		{id + "timeout waiting for input from h.example during server cmd read", "", offence.Timeout},
		{id + "timeout waiting for input from [198.51.100.7] during server cmd read", "198.51.100.7", offence.Timeout},
		{id + "timeout waiting for input from 192.0.2.66 during message collect", "", offence.Timeout},
		{id + "SYSERR(root): collect: relay=h.example, from=<a@b>, info=read timeout", "", offence.Timeout},
		{id + "SYSERR(root): collect: read timeout on connection from h.example, from=<a@b>", "", offence.Timeout},
		{id + "invalid domain name (bad_name) from h [198.51.100.7]", "198.51.100.7", offence.BadHelo},
		{id + "invalid domain name (too long) from h [198.51.100.7]", "198.51.100.7", offence.BadHelo},
		{id + "setsender: </tmp/x>: invalid or unparsable, received from h [198.51.100.7]", "198.51.100.7", offence.BadSenderSyntax},
		// AUTH and TLS, over the versions
		{id + "AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed", "", offence.AuthFail},
		{id + "AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, relay=h [198.51.100.7]", "198.51.100.7", offence.AuthFail},
		{id + "AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=joe, relay=h [198.51.100.7] (may be forged)", "198.51.100.7", offence.AuthFail},
		{id + `AUTH decode64 error [-5 for "!!x"], relay=[198.51.100.7]`, "198.51.100.7", offence.AuthDecode},
		{"STARTTLS=server, error: accept failed=0, SSL_error=5, timedout=0, errno=0", "", offence.TLSFail},
		{"STARTTLS=server, error: accept failed=-1, reason=wrong version number, SSL_error=1, errno=0, retry=-1, relay=h [198.51.100.7]", "198.51.100.7", offence.TLSFail},
		// no address in the line
		{id + "<n@lab.example>... User unknown", "", offence.UnknownUser},
		{id + "<n@lab.example>... No such user here", "", offence.UnknownUser},
		{id + `<"a b"@lab.example>... No such user in virt.example`, "", offence.UnknownUser},
		{id + `<a"@lab.example>... Unbalanced '"'`, "", offence.RcptSyntax},
		{id + "<@>... List:; syntax illegal for recipient addresses", "", offence.RcptSyntax},
		{id + `Bad argument "x"  to NOTIFY`, "", offence.RcptSyntax},
		{id + "FOO parameter unrecognized", "", offence.RcptSyntax},
		{id + "Missing recipient", "", offence.RcptSyntax},
		{id + `8-bit character in mailbox address "<\351@lab.example>"`, "", offence.RcptSyntax},
		{id + "Too many recipients", "", offence.TooManyRcpts},
		{id + "message size (70149) exceeds maximum (60000)", "", offence.TooBig},
		{id + "headers too large (32768 max) from h.example during message collect", "", offence.HeaderOverflow},
		{id + "headers too large (32768 max) from [198.51.100.7] during message collect", "198.51.100.7", offence.HeaderOverflow},
		{id + "collect: premature EOM: Connection reset by [192.0.2.66]", "", offence.PrematureEOM},
		{id + "collect: relay=192.0.2.66.evil.example, from=<a@b>, info=Bare linefeed (LF) not allowed, where=body, status=tempfail", "", offence.BareNewline},
		{id + "collect: relay=[198.51.100.7], from=<a@b>, info=Bare carriage return (CR) not allowed, where=header, status=tempfail", "198.51.100.7", offence.BareNewline},
		{id + "SYSERR(root): Too many hops 121 (100 max): from <a@b> via h.example, to <c@d>", "", offence.Hops},
		// milters
		{id + "Milter: to=<bob@lab.example>, reject=451 4.7.1 Greylisting", "", offence.MilterReject},
		{id + `Milter: from=<"x, reject=250"@lab.example>, reject=550 5.7.1 no`, "", offence.MilterReject},
		{id + "Milter: helo=h.example, reject=Command rejected", "", offence.MilterReject},
		{id + "Milter: data, reject=554 5.7.1 virus", "", offence.MilterReject},
		{id + "Milter: cmd=data, reject=554 5.7.1 virus", "", offence.MilterReject},
		{id + "Milter: data, discard", "", offence.MilterDiscard},
		{id + "Milter: to=<bob@lab.example>, discard", "", offence.MilterDiscard},
		{id + "milter=clam, quarantine=looks bad", "", offence.MilterQuarantine},
		{id + "Milter: connect: host=h.example, addr=198.51.100.7, rejecting commands", "198.51.100.7", offence.MilterReject},
		{id + "Milter: connect: host=[198.51.100.7], addr=198.51.100.7, temp failing commands", "198.51.100.7", offence.MilterReject},
		{id + "Milter: connect: host=h.example, addr=IPv6:2001:db8::7, rejecting commands", "2001:db8::7", offence.MilterReject},
	}
	for _, tt := range tests {
		rec := parse(t, tt.text)
		if rec.Reason != tt.reason || rec.Addr != addr(tt.addr) {
			t.Errorf("%s of %v, want %s of %s: %s", rec.Reason, rec.Addr, tt.reason, tt.addr, tt.text)
		}
	}
}

func TestParseOther(t *testing.T) {
	tests := []struct {
		text, addr string
		kind       offence.LineKind
	}{
		{"NOQUEUE: connect from h.example [198.51.100.7]", "198.51.100.7", offence.LineConnect},
		{"NOQUEUE: connect from [IPv6:2001:db8::7]", "2001:db8::7", offence.LineConnect},
		{"NOQUEUE: connect from root@localhost", "", offence.LineConnect},
		{id + "from=<a@b.example>, size=23, class=0, nrcpts=1, msgid=<1@b.example>, proto=ESMTP, daemon=MTA, relay=h [198.51.100.7]", "198.51.100.7", offence.LineFrom},
		{id + "from=<a@b.example>, size=23, class=0, pri=30023, nrcpts=1, proto=SMTP, relay=h [198.51.100.7]", "198.51.100.7", offence.LineFrom},
		{id + "from=<>, size=23, class=-30, nrcpts=0, relay=h [198.51.100.7]", "198.51.100.7", offence.LineFrom},
		{id + "from=root, size=19, class=0, nrcpts=1, msgid=<x@h>, relay=root@localhost", "", offence.LineFrom},
		{id + "from=<a@b>, size=19, class=0, nrcpts=1, msgid=<x@h>, relay=localhost [127.0.0.1]", "", offence.LineFrom},
		{id + "to=root, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30414, dsn=2.0.0, stat=Sent", "", offence.LineTo},
		{id + "to=<a@b>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [198.51.100.9], dsn=2.0.0, stat=Sent (ok)", "198.51.100.9", offence.LineTo},
		{id + "to=<a@b>, ctladdr=<c@d> (8/0), delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=[198.51.100.9] [198.51.100.9], dsn=2.0.0, stat=Sent (ok)", "198.51.100.9", offence.LineTo},
		{id + "to=<a@b>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [198.51.100.9], dsn=4.0.0, stat=Deferred: Connection refused by mx.b.", "", offence.LineTo},
		{id + "to=<a@b>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30414, relay=mx.b. [198.51.100.9], dsn=4.0.0, stat=Sentinel", "", offence.LineTo},
		{id + `to=x, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=1, relay=h [192.0.2.66], dsn=2.0.0, stat=Sent (ok)"@b>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=1, relay=h [198.51.100.7], dsn=2.0.0, stat=Sent (ok)`, "", offence.LineTo},
		{"AUTH=server, relay=h [198.51.100.7], authid=joe, mech=PLAIN, bits=0", "198.51.100.7", offence.LineAuth},
		{"STARTTLS=server, relay=h [198.51.100.7], version=TLSv1.3, verify=NO, cipher=X, bits=256/256", "198.51.100.7", offence.LineClient},
		{"STARTTLS=client, relay=mx.b., version=TLSv1.3, verify=NO, cipher=X, bits=256/256", "", offence.LineInfo},
		{id + "timeout waiting for input from mx.b. during client greeting", "", offence.LineInfo},
		{"ruleset=tls_server, arg1=SOFTWARE, relay=mx.b, reject=403 4.7.0 TLS handshake failed.", "", offence.LineInfo},
		{"rejecting connections on daemon MTA: load average: 55", "", offence.LineInfo},
		{id + "6AN8JGo8001701: DSN: User unknown", "", offence.LineInfo},
		{id + "--- 550 5.1.1 <n@lab.example>... User unknown", "", offence.LineInfo},
		{id + "<-- RCPT TO:<n@lab.example>", "", offence.LineInfo},
		{id + `Sending "FOO... User unknown" to Milter`, "", offence.LineInfo},
		{id + "milter=labmilter, reject=554 5.7.1 virus", "", offence.LineInfo},
		{id + "milter=labmilter, action=rcpt, reject=451 4.7.1 Greylisting", "", offence.LineInfo},
		{id + "collect: unexpected close on connection from [198.51.100.7], sender=<a@b>", "", offence.LineInfo},
		{id + "collect: relay=h.example, from=<a@b>, info=unexpected close", "", offence.LineInfo},
		{"7 bottles of beer", "", offence.LineUnknown},
		{"", "", offence.LineUnknown},
		{id, "", offence.LineUnknown},
	}
	for _, tt := range tests {
		rec := parse(t, tt.text)
		if rec.Kind != tt.kind || rec.Addr != addr(tt.addr) || rec.Reason != offence.ReasonNone {
			t.Errorf("%s %s of %v, want %s of %s: %s", rec.Kind, rec.Reason, rec.Addr, tt.kind, tt.addr, tt.text)
		}
	}
}

func TestParseDetails(t *testing.T) {
	rec := parse(t, "message repeated 9 times: [ "+id+"<n@lab.example>... User unknown]")
	if rec.Count != 9 || rec.QID != "6AN8J381030790" || rec.PID != 30790 || rec.Reason != offence.UnknownUser {
		t.Errorf("repeated: %+v", rec)
	}
	rec = parse(t, id+"from=<>, size=23, class=0, nrcpts=3, relay=h [198.51.100.7]")
	if !rec.NullSender || rec.Recipients != 3 {
		t.Errorf("envelope: %+v", rec)
	}
	rec = parse(t, id+"AUTH failure (PLAIN): x (-13) y, user=joe, relay=[192.0.2.66], relay=[198.51.100.7]")
	if rec.User != "joe, relay=[192.0.2.66]" {
		t.Errorf("user: %q", rec.User)
	}
	for text, temporary := range map[string]bool{
		"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=451 4.3.0 Temporary system failure. Please try again later.": true,
		// with AllowBogusHELO the name is free text
		id + "Milter: helo=x, reject=451 y, reject=550 5.7.1 no":                                                 false,
		id + "Milter: helo=x, reject=550 y, reject=451 4.7.1 no":                                                 true,
		id + "Milter: helo=h.example, reject=450 4.7.1 try later":                                                true,
		"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=550 5.7.1 Access denied": false,
		id + "Milter: to=<a@b>, reject=451 4.7.1 later":                                                          true,
		id + "Milter: to=<a@b>, reject=550 5.7.1 no":                                                             false,
		id + "Milter: connect: host=h, addr=198.51.100.7, temp failing commands":                                 true,
		id + `Milter: to=<"x, reject=450 "@b>, reject=550 5.7.1 no`:                                              false,
		"ruleset=check_relay, arg1=h, arg2=198.51.100.7, relay=h [198.51.100.7], reject=421 4.3.2 Connection":    true,
	} {
		if rec := parse(t, text); rec.Temporary != temporary {
			t.Errorf("temporary %t: %s", rec.Temporary, text)
		}
	}
	rec = parse(t, "6AN8J381030790[2]: relay=[198.51.100.7]")
	if rec.Kind != offence.LinePart || rec.Part != 2 || rec.More || rec.Addr.IsValid() || rec.Reason != offence.ReasonNone {
		t.Errorf("part: %+v", rec)
	}
	rec = parse(t, "[3]: text  ...")
	if rec.Kind != offence.LinePart || rec.Part != 3 || !rec.More {
		t.Errorf("part without id: %+v", rec)
	}
}

// A client is believed in no other shape than the one that sendmail writes.
func TestReadRelay(t *testing.T) {
	good := map[string]string{
		"h.example [198.51.100.7]":                       "198.51.100.7",
		"h.example [198.51.100.7] (may be forged)":       "198.51.100.7",
		"[198.51.100.7]":                                 "198.51.100.7",
		"255.255.255.255 [198.51.100.7]":                 "198.51.100.7",
		"joe@[198.51.100.7]":                             "198.51.100.7",
		"192.0.2.66@h [198.51.100.7]":                    "198.51.100.7",
		"IDENT:a!b{c}@h [198.51.100.7]":                  "198.51.100.7",
		"h_x-1 [IPv6:2001:db8::1]":                       "2001:db8::1",
		"[IPv6:::ffff:198.51.100.7]":                     "198.51.100.7",
		strings.Repeat("h", 255) + " [198.51.100.7]":     "198.51.100.7",
		"[IPv6:2001:db8:0:0:0:0:255.255.255.255]":        "2001:db8::ffff:ffff",
		"relay192.0.2.66@[198.51.100.7] (may be forged)": "198.51.100.7",
	}
	for s, want := range good {
		if got := wholeRelay(s); got != addr(want) {
			t.Errorf("%q: %v, want %s", s, got, want)
		}
	}
	for _, s := range []string{
		"", " ", "[", "[]", "h", "h [", "h []", "h [198.51.100.7", "h  [198.51.100.7]", "h[198.51.100.7]", " [198.51.100.7]",
		"h [198.51.100.256]", "h [198.51.100]", "h [198.51.100.7.8]", "h [0198.51.100.7]", "h [198.51.100.7 ]", "h [1.2.3.+4]",
		"h [2001:db8::1]", "h [IPv6:2001:db8::1%eth0]", "h [IPv6:198.51.100.7]", "h [IPv6:]", "a h [198.51.100.7]",
		"a=b [198.51.100.7]", "a,b [198.51.100.7]", "a@b@c [198.51.100.7]", "@h [198.51.100.7]", "a:b@h [198.51.100.7]",
		"IDENT:h [198.51.100.7]", "h [198.51.100.7] (may be forged) ", "h [198.51.100.7] x", "h [198.51.100.7],",
		strings.Repeat("h", 256) + " [198.51.100.7]", "h (x) [198.51.100.7]", `h\ [198.51.100.7]`, "h [UNIX: localhost]",
	} {
		if got := wholeRelay(s); got.IsValid() {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestPathEnd(t *testing.T) {
	for s, want := range map[string]int{
		`<a@b> `: 5, `a@b, x`: 4, `<"a b"@c> `: 9, `<a (b c)> `: 9, `(a \) b) c`: 8, `<a b> c`: 5, `((a) b) c`: 7,
		`"a\\" b" c`: 8, `<a`: -1, `"a b`: -1, `(a b`: -1, `a> b`: -1, `a) b`: -1, ``: -1, `a`: -1, ` `: 0, `\\ b`: 2,
		`"\042 x" y`: 5, `<a\t b> c`: 7, `("x) y`: 4, `<(>) x> y`: 7,
	} {
		if got := pathEnd(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestCutEcho(t *testing.T) {
	long := `<"` + strings.Repeat("m", 300) + `"@x>`
	cut := long[:100] + "..." + long[len(long)-100:]
	for _, tt := range [][3]string{
		{"<a@b>... Relaying denied", "<a@b>", "Relaying denied"},
		{"<a@b>... Relaying denied", "<a@c>", "<a@b>... Relaying denied"},
		{"<x>... Relaying denied>... Access denied", "<x>... Relaying denied>", "Access denied"},
		{`"i%s"... User unknown`, `"\351%s"`, "User unknown"},
		{cut + "... Access denied", long, "Access denied"},
		{long + "... Access denied", long, long + "... Access denied"},
		{"<a@b>", "<a@b>", "<a@b>"},
		{"<a", `<a@\351>`, "<a"},
	} {
		if got := cutEcho(tt[0], tt[1]); got != tt[2] {
			t.Errorf("cutEcho(%q, %q) = %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestOwnTexts(t *testing.T) {
	own := []TextReason{{Text: "Try the other door", Reason: "rcpt_trap"}, {Text: "User unknown", Reason: "rcpt_access"}}
	for text, want := range map[string]offence.Reason{
		id + "ruleset=check_rcpt, arg1=<n@l>, relay=[198.51.100.7], reject=554 5.7.1 <n@l>... Try the other door":  offence.RcptTrap,
		id + "ruleset=check_rcpt, arg1=<n@l>, relay=[198.51.100.7], reject=554 5.7.1 <n@l>... Try the other doors": offence.Other,
		id + "ruleset=check_rcpt, arg1=<n@l>, relay=[198.51.100.7], reject=554 <n@l>... User unknown":              offence.RcptAccess,
		id + "<n@l>... Try the other door": offence.RcptTrap,
	} {
		if rec := parse(t, text, own...); rec.Reason != want {
			t.Errorf("%s, want %s: %s", rec.Reason, want, text)
		}
	}
	for want, texts := range map[string][]TextReason{
		"[0].text: must not be empty":       {{Text: " ", Reason: "other"}},
		`[1].reason: unknown reason "spam"`: {{Text: "a", Reason: "other"}, {Text: "b", Reason: "spam"}},
		`[1].text: "a" is listed twice`:     {{Text: "a", Reason: "other"}, {Text: "a", Reason: "dnsbl"}},
		`[0].reason: unknown reason ""`:     {{Text: "a"}},
	} {
		if _, err := NewParser(texts); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// No line costs an allocation, whatever it is.
func TestParseAllocates(t *testing.T) {
	p, _ := NewParser(nil)
	for _, part := range []string{"real", "soup"} {
		lines := readLog(t, part, "traditional")
		var rec Record
		if n := testing.AllocsPerRun(1, func() {
			for i := range lines {
				p.Parse(lines[i].text, &rec)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations in %d lines", part, n, len(lines))
		}
	}
}

// Cut anywhere, a line gives the address that the whole line gives, or none.
func TestCutLines(t *testing.T) {
	p, _ := NewParser(nil)
	for _, l := range readLog(t, "real", "traditional") {
		var whole, cut Record
		p.Parse(l.text, &whole)
		if strings.Contains(l.text, "relay=") && isInjection(l.text) {
			continue // what was cut off may be what told the truth; see TestCutInjections
		}
		for i := range l.text {
			p.Parse(l.text[:i], &cut)
			if cut.Addr.IsValid() && cut.Addr != whole.Addr && cut.Proof == ProofOwn {
				t.Fatalf("%v, whole line %v: %s", cut.Addr, whole.Addr, l.text[:i])
			}
		}
	}
}

func isInjection(text string) bool {
	return strings.Contains(text, "[192.0.2.") || strings.Contains(text, "[IPv6:2001:db8:dead:")
}

// What other versions and configurations log, and what it means.
func TestParseWhatRealOnesLog(t *testing.T) {
	const bare = "collect: relay=[198.51.100.7], from=<a@b>, info=Bare linefeed (LF) not allowed, where=body"
	for text, want := range map[string]string{
		// a message that was taken all the same is no offence
		bare:                       "info ",
		bare + ", status=replaced": "info ",
		bare + ", status=tempfail": "reject bare_newline 198.51.100.7",
		// our own failure
		"Milter: initialization failed, rejecting commands":     "info ",
		"Milter: initialization failed, temp failing commands":  "info ",
		"Milter: initialization failed, closing connection":     "info ",
		"Milter: helo=badhelo.example, reject=Command rejected": "milter milter_reject",
		"Milter: data, reject=550 5.7.0 no DKIM signature data": "milter milter_reject",
		// a client that was gone before its address was asked for
		"client.isp.example did not issue MAIL/EXPN/VRFY/ETRN during connection to TLSMTA": "disconnect null_connection",
		"client.isp.example: VRFY x": "reject vrfy_expn",
		"from=<a@sender.example>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA-v4, relay=client.isp.example": "from ",
		"rejecting commands from client.isp.example due to pre-greeting traffic after 0 seconds":                   "misuse pregreet",
		"ruleset=check_rcpt, arg1=<a@b>, relay=client.isp.example, reject=550 5.7.1 <a@b>... Relaying denied":      "reject relay_denied",
		// sendmail -bs from a pipe
		"root@localhost: VRFY x": "info ",
		"rejecting server EHLO from localhost [0] due to traffic before response": "misuse ehlo_pipelining",
		// a daemon whose name has spaces
		"from=<a@b>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=a name, relay=h [198.51.100.7]": "from  198.51.100.7",
		// 8.18.2
		"rejecting EHLO from h [198.51.100.7] due to traffic before response":                                                         "misuse ehlo_pipelining 198.51.100.7",
		"map=dnsbl, key=2.100.51.198.zen.example., val=127.0.0.2":                                                                     "info ",
		"<\xff@lab.example>... Address not valid UTF8":                                                                                "reject rcpt_syntax",
		"ruleset=tls_client, arg1=NO, arg2=STARTTLS, relay=h [198.51.100.7], reject=454 4.7.0 encryption too weak 256 less than 4096": "reject tls_fail 198.51.100.7",
	} {
		rec := parse(t, id+text)
		got := fmt.Sprintf("%s %s", rec.Kind, rec.Reason)
		if rec.Addr.IsValid() {
			got += " " + rec.Addr.String()
		}
		if got != want || rec.Addr.IsValid() && rec.Proof != ProofOwn || rec.torn {
			t.Errorf("%q, want %q, proof %d, torn %t: %s", got, want, rec.Proof, rec.torn, text)
		}
	}
}

// A sendmail with USE_EAI logs 0xFF before the bytes 0x80 to 0x9F of arg1, and
// not of the echo; where the client sent 0xFF, both have it.
func TestEchoOfUTF8(t *testing.T) {
	for arg, echo := range map[string]string{
		"<\xe7\xff\x94\xa8\xe6\xff\x88\xb7@x.example>": "<\u7528\u6237@x.example>",
		`<\347\377\224\250@x.example>`:                 `<\347\224\250@x.example>`,
		"<caf\xe9\xff@x.example>":                      "<caf\xe9\xff@x.example>",
		`<caf\351\377@x.example>`:                      `<cafi\177@x.example>`,
		"<\xff\xff\x94@x.example>":                     "<\xff\x94@x.example>",
	} {
		rec := parse(t, id+"ruleset=check_rcpt, arg1="+arg+", relay=h [198.51.100.7], reject=550 5.7.1 "+echo+"... Relaying denied. Proper authentication required.")
		if rec.Reason != offence.RelayDenied || rec.Proof != ProofOwn {
			t.Errorf("%s: %s, proof %d", arg, rec.Reason, rec.Proof)
		}
	}
}

func TestHugeLines(t *testing.T) {
	p, _ := NewParser(nil)
	var rec Record
	for _, unit := range []string{"a", "<", `"`, "(", `\\`, ", relay=", ", relay=h [192.0.2.66], reject=550 x", "... ", "[", "@", " "} {
		filler := strings.Repeat(unit, 65536/len(unit))
		for _, head := range []string{
			"", id, id + "ruleset=check_rcpt, arg1=<", id + "ruleset=CheckX, arg1=", id + "from=", id + "to=", id + "AUTH failure (",
			id + "Milter: to=", id + "setsender: ", id + "collect: relay=", "message repeated 3 times: [ ",
		} {
			p.Parse(head+filler, &rec)
			if rec.Addr.IsValid() && rec.Proof == ProofOwn {
				t.Errorf("%v from %q and %q", rec.Addr, head, unit)
			}
			_ = Mask(head + filler)
		}
	}
}

func TestReasonNames(t *testing.T) {
	for _, r := range offence.Reasons() {
		if got, ok := offence.ParseReason(r.String()); !ok || got != r {
			t.Errorf("%d %q: %d, %t", r, r, got, ok)
		}
	}
	if _, ok := offence.ParseReason(""); ok {
		t.Error("the empty name is a reason")
	}
	if len(offence.LineKinds()) != int(offence.NumLineKinds) || fmt.Sprint(offence.LineTo) != "to" {
		t.Error("kinds")
	}
}
