package loggen

import "time"

// abuses are what offenders do, as often as a public mail host sees it.
var abuses = []choice{
	{60, (*session).listed},
	{18, (*session).guessPasswords},
	{12, (*session).harvest},
	{9, (*session).relayOut},
	{9, (*session).hangUp},
	{6, (*session).hurry},
	{5, (*session).noRDNS},
	{3, (*session).badSender},
	{3, (*session).talkEarly},
	{3, (*session).brokenTLS},
	{3, (*session).vanish},
	{2, (*session).banned},
	{2, (*session).filtered},
	{2, (*session).askForUsers},
	{1, (*session).stall},
	{1, (*session).hammer},
	{1, (*session).speakHTTP},
}

// listed is refused at connect by a DNS list; arg2 then shows the list's answer.
func (s *session) listed() {
	ip := s.client.bare()
	l := s.say(notice, "ruleset=check_relay, arg1=%s, arg2=127.0.0.%d, relay=%s, reject=550 5.7.1 Rejected: %s listed at %s",
		s.client.host(), 2+s.random.IntN(9), s.client.relay(), ip, s.oneOf("zen.dnsbl.example", "bl.dnsbl.example"))
	s.accuse(l, "dnsbl")
}

func (s *session) guessPasswords() {
	for range 1 + s.random.IntN(4) {
		l := s.log(warning, "AUTH failure (%s): user not found (-20) SASL(-13): user not found: checkpass failed, user=%s, relay=%s",
			s.oneOf("LOGIN", "PLAIN"), s.oneOf(users...), s.client.relay())
		s.accuse(l, "auth_fail")
	}
	s.leave()
}

// harvest tries local names; only the end of the transaction names the client.
func (s *session) harvest() {
	for range 1 + s.random.IntN(5) {
		s.accuseBySession(s.log(info, "<%s>... User unknown", s.stray()), "unknown_user")
	}
	s.refusedFrom()
}

func (s *session) relayOut() {
	to := s.stranger()
	l := s.log(notice, "ruleset=check_rcpt, arg1=<%s>, relay=%s, reject=550 5.7.1 <%s>... Relaying denied. Proper authentication required.",
		to, s.client.relay(), to)
	s.accuse(l, "relay_denied")
	s.refusedFrom()
}

func (s *session) hangUp() { s.leave() }

func (s *session) leave() {
	s.wait(3 * time.Second)
	l := s.log(info, "%s did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", s.client.relay())
	s.accuse(l, "null_connection")
}

func (s *session) hurry() {
	s.accuse(s.refusedAtConnect("421 4.3.2 Connection rate limit exceeded."), "rate_limit")
}

func (s *session) noRDNS() {
	s.client.name = ""
	s.accuse(s.refusedAtConnect("550 5.7.1 Fix reverse DNS for "+s.client.bare()), "no_rdns")
}

func (s *session) banned() {
	s.accuse(s.refusedAtConnect("550 5.7.1 Go away"), "access_reject")
}

func (s *session) refusedAtConnect(reply string) *Line {
	return s.say(notice, "ruleset=check_relay, arg1=%s, arg2=%s, relay=%s, reject=%s",
		s.client.host(), s.client.bare(), s.client.relay(), reply)
}

func (s *session) badSender() {
	from := "x" + s.stranger() + ".invalid"
	l := s.log(notice, "ruleset=check_mail, arg1=<%s>, relay=%s, reject=553 5.1.8 <%s>... Domain of sender address %s does not exist",
		from, s.client.relay(), from, from)
	s.accuse(l, "sender_domain")
}

func (s *session) talkEarly() {
	l := s.log(notice, "rejecting commands from %s %s due to pre-greeting traffic after %d seconds",
		s.client.host(), s.client.bracketed(), s.random.IntN(5))
	s.accuse(l, "pregreet")
}

func (s *session) brokenTLS() {
	l := s.say(warning, "STARTTLS=server, error: accept failed=-1, reason=%s, SSL_error=1, errno=0, retry=-1, relay=%s",
		s.oneOf("wrong version number", "no shared cipher", "unsupported protocol"), s.client.relay())
	s.accuse(l, "tls_fail")
	s.leave()
}

func (s *session) vanish() {
	l := s.log(notice, "lost input channel from %s to MTA after %s", s.client.relay(), s.oneOf("mail", "rcpt", "data"))
	s.accuse(l, "lost_input")
	s.refusedFrom()
}

func (s *session) filtered() {
	l := s.log(info, "Milter: data, reject=550 5.7.1 rejected by content filter")
	s.accuseBySession(l, "milter_reject")
	s.log(info, "from=<%s>, size=%d, class=0, nrcpts=1, msgid=<%016x@bulk.example>, proto=ESMTP, daemon=MTA, relay=%s",
		s.stranger(), s.random.IntN(9000), s.random.Uint64(), s.client.relay())
}

func (s *session) askForUsers() {
	for range 1 + s.random.IntN(3) {
		s.accuse(s.log(info, "%s: VRFY %s [rejected]", s.client.relay(), s.oneOf(strays...)), "vrfy_expn_rejected")
	}
}

func (s *session) stall() {
	s.wait(30 * time.Second)
	l := s.log(notice, "timeout waiting for input from %s during server cmd read", s.client.host())
	s.accuse(l, "timeout")
	l.ViaSession = s.client.name != ""
	s.refusedFrom()
}

func (s *session) hammer() {
	s.accuse(s.log(info, "%s: possible SMTP attack: command=AUTH, count=%d", s.client.relay(), 4+s.random.IntN(6)), "smtp_attack")
	s.leave()
}

func (s *session) speakHTTP() {
	l := s.log(notice, `%s: probable open proxy: command=GET http://www.example/ HTTP/1.1\r\n`, s.client.relay())
	s.accuse(l, "open_proxy")
}
