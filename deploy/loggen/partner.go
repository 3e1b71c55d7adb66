package loggen

import (
	"fmt"
	"time"
)

// uses are what wanted clients do, and what other daemons write meanwhile.
var uses = []choice{
	{50, (*session).deliver},
	{20, (*session).submit},
	{6, (*session).probe},
	{3, (*session).typo},
	{1, (*session).greylisted},
	{1, (*session).tempfail},
	{20, (*session).readMail},
}

// deliver is a mail from outside to local users.
func (s *session) deliver() {
	if s.random.IntN(4) > 0 {
		s.startTLS()
	}
	rcpts := 1 + s.random.IntN(3)
	s.accept(s.stranger(), rcpts, "ESMTPS", s.client.relay())
	for range rcpts {
		s.child()
		s.log(info, "to=<%s>, delay=00:00:%02d, xdelay=00:00:00, mailer=local, pri=%d, dsn=2.0.0, stat=Sent",
			s.user(), s.random.IntN(20), 30000+s.random.IntN(90000))
	}
}

// submit is a mail of a user of ours to the world.
func (s *session) submit() {
	s.client = client{addr: v4(10<<24 | 20<<16 | s.random.Uint32N(1<<10))}
	user := s.oneOf(users...)
	s.startTLS()
	s.say(info, "AUTH=server, relay=%s, authid=%s, mech=PLAIN, bits=0", s.client.relay(), user)
	s.accept(user+"@"+domains[0], 1, "ESMTPSA", s.client.relay())
	to := newPartner(s.partner.Uint64())
	s.child()
	if s.random.IntN(12) == 0 {
		s.log(info, "to=<%s>, delay=00:00:03, xdelay=00:00:03, mailer=esmtp, pri=120457, relay=%s., dsn=4.4.1, stat=Deferred: Connection refused by %s.",
			s.stranger(), to.name, to.name)
		return
	}
	s.log(info, "to=<%s>, delay=00:00:02, xdelay=00:00:02, mailer=esmtp, pri=120457, relay=%s. %s, dsn=2.0.0, stat=Sent (2.0.0 %s Message accepted for delivery)",
		s.stranger(), to.name, to.bracketed(), s.id)
}

func (s *session) startTLS() {
	s.say(info, "STARTTLS=server, relay=%s, version=TLSv1.3, verify=NO, cipher=TLS_AES_256_GCM_SHA384, bits=256/256", s.client.relay())
}

func (s *session) accept(from string, rcpts int, proto, relay string) {
	s.newID()
	s.wait(time.Second)
	s.log(info, "from=<%s>, size=%d, class=0, nrcpts=%d, msgid=<%016x.%s@%s>, proto=%s, daemon=MTA, relay=%s",
		from, 500+s.random.IntN(80000), rcpts, s.random.Uint64(), s.id[:8], "sender.example", proto, relay)
}

// child hands the queue id on to a process that delivers.
func (s *session) child() {
	id := s.id
	s.fork()
	s.id = id
}

// probe is a monitoring system that connects and says no more.
func (s *session) probe() {
	s.client = client{addr: v4(10<<24 | 20<<16 | 9)}
	s.accuse(s.log(info, "%s did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA", s.client.relay()), "null_connection")
}

// typo is a good mail with one wrong recipient.
func (s *session) typo() {
	s.accuseBySession(s.log(info, "<%s>... User unknown", s.stray()), "unknown_user")
	s.log(info, "from=<%s>, size=%d, class=0, nrcpts=1, msgid=<%016x@partner.example>, proto=ESMTPS, daemon=MTA, relay=%s",
		s.stranger(), 500+s.random.IntN(80000), s.random.Uint64(), s.client.relay())
}

func (s *session) greylisted() {
	l := s.log(info, "Milter: to=<%s>, reject=451 4.7.1 Greylisting in action, please come back later", s.user())
	s.accuseBySession(l, "milter_reject")
	s.refusedFrom()
}

func (s *session) tempfail() {
	l := s.say(notice, "ruleset=check_relay, arg1=%s, arg2=%s, relay=%s, reject=451 4.4.3 Temporary lookup failure of %s at zen.dnsbl.example",
		s.client.host(), s.client.bare(), s.client.relay(), s.client.bare())
	s.accuse(l, "dnsbl_tempfail")
}

// refusedFrom is how a transaction without an accepted recipient ends.
func (s *session) refusedFrom() {
	s.log(info, "from=<%s>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=%s", s.stranger(), s.client.relay())
}

// readMail is what the IMAP server writes into the same file.
func (s *session) readMail() {
	user := s.oneOf(users...)
	l := s.say(info, "imap-login: Login: user=<%s>, method=PLAIN, rip=10.20.%d.%d, lip=10.20.0.1, mpid=%d, TLS, session=<%s>",
		user, s.random.IntN(4), s.random.IntN(250), s.pid, fmt.Sprintf("%011x", s.random.Uint64N(1<<44)))
	l.Tag, l.PID = "dovecot", 0
}
