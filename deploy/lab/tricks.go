package lab

import (
	"fmt"
	"strings"
)

// tricks are sessions that make sendmail write the victim's address where a
// careless reader takes it for the offender's.
func tricks() []func(d *dialogue) {
	v := victim.String()
	return []func(d *dialogue){
		func(d *dialogue) { // a relay in a quoted local part, before the true one and in the echo
			d.hello("mail.sender.example")
			d.from("a@sender.example")
			d.offend("relay_denied", "550 5.7.1", `RCPT TO:<"u, relay=victim.example [`+v+`], reject=550 5.7.1 <a@b>... Relaying denied"@elsewhere.example>`)
			d.quit()
		},
		func(d *dialogue) { // the reject text repeats the address without quotes
			d.hello("mail.sender.example")
			command := `MAIL FROM:<"x, relay=[` + v + `], reject=550 5.7.1 y"@nxdomain.invalid>`
			if d.host == "mx2" { // which checks the sender at the first recipient
				d.must("250", command)
				command = "RCPT TO:<alice@lab.example>"
			}
			d.offend("sender_domain", "553 5.1.8", command)
			d.quit()
		},
		func(d *dialogue) { // in a comment
			d.hello("mail.sender.example")
			d.from("a@sender.example")
			d.offend("relay_denied", "550 5.7.1", `RCPT TO:<a@elsewhere.example (, relay=[`+v+`], reject=550 5.7.1 z)>`)
			d.quit()
		},
		func(d *dialogue) { // a whole record as a recipient
			d.hello("mail.sender.example")
			d.from("a@sender.example")
			d.offend("unknown_user", "550 5.1.1", `RCPT TO:ruleset=check_rcpt(, arg1=<a@b>, relay=[`+v+`], reject=550 5.7.1 Relaying denied)<zz@lab.example>`)
			d.quit()
		},
		func(d *dialogue) { // a null connection as a comment
			d.hello("mail.sender.example")
			d.from("a@sender.example")
			d.offend("unknown_user", "550 5.1.1", `RCPT TO:(victim [`+v+`] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA)<qq@lab.example>`)
			d.quit()
		},
		func(d *dialogue) { // so long that the fake record begins a log line of its own
			begin(d)
			d.offend("auth_decode", "501", "AUTH PLAIN "+strings.Repeat("X", 940)+
				" ruleset=check_rcpt, arg1=<a@b>, relay=victim.example ["+v+"], reject=550 5.7.1 <a@b>... Relaying denied "+strings.Repeat("Y", 900))
			d.quit()
		},
		func(d *dialogue) { // in the user name
			begin(d)
			d.offend("auth_fail", "535", "AUTH PLAIN "+credentials("bob, relay=["+v+"]", "pw"))
			d.quit()
		},
		func(d *dialogue) { // a complete from= record, echoed by the administrator's own text
			d.hello("mail.sender.example")
			d.from("a@sender.example")
			d.offend("unknown_user", "550 5.1.1", `RCPT TO:from=<"x, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=victim.example [`+v+`]"@echo.example>`)
			d.quit()
		},
		func(d *dialogue) { // the victim is IPv6
			d.hello("mail.sender.example")
			d.from("a@sender.example")
			d.offend("relay_denied", "550 5.7.1", fmt.Sprintf(`RCPT TO:<"u, relay=[IPv6:%s], reject=550 5.7.1 z"@elsewhere.example>`, victim6.StringExpanded()))
			d.quit()
		},
	}
}
