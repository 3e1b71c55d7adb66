package lab

import (
	"fmt"
	"strings"
)

// A trade is a kind of attacker: what it does in each session until somebody
// stops it.
type trade struct {
	name  string
	from  []*pool  // where such attackers live
	hosts []string // whom they visit, in turn
	visit func(d *dialogue)
	fatal bool // one visit is enough for the default rules
}

var (
	everyHost  = []string{"mx1", "mx2", "mx3"}
	strictOnes = []string{"mx1", "mx2"}
)

// trades lists the attackers whom the default rules must stop. Each logs its
// reasons so that the score of sessions can be added up from weights.
func trades(land *neighbourhoods) []trade {
	both := []*pool{&land.dialup, &land.dialup6}
	return []trade{
		{name: "relay", from: both, hosts: everyHost, visit: tryRelay},
		{name: "pregreet", from: both, hosts: strictOnes, visit: talkFirst},
		{name: "password", from: both, hosts: everyHost, visit: guessPassword},
		{name: "encoding", from: both, hosts: everyHost, visit: garbleAuth},
		{name: "proxy", from: both, hosts: everyHost, visit: seekProxy},
		{name: "wizard", from: both, hosts: everyHost, visit: castSpell},
		{name: "overflow", from: both, hosts: everyHost, visit: overflow},
		{name: "trap", from: both, hosts: everyHost, visit: stepIntoTrap, fatal: true},
		{name: "impatient", from: both, hosts: everyHost, visit: pipelineEarly},
		{name: "dictionary", from: both, hosts: []string{"mx2", "mx3"}, visit: tryNames},
		{name: "hammer", from: both, hosts: []string{"mx3"}, visit: hammer},
		{name: "harvest", from: both, hosts: []string{"mx3"}, visit: harvest},
		{name: "gibberish", from: both, hosts: []string{"mx3"}, visit: talkGibberish},
		{name: "posing", from: both, hosts: []string{"mx2"}, visit: poseAsHost},
		{name: "virus", from: both, hosts: []string{"mx2"}, visit: sendVirus},
		{name: "listed", from: []*pool{&land.listed}, hosts: strictOnes, visit: comeListed},
		{name: "nameless", from: []*pool{&land.nameless}, hosts: strictOnes, visit: comeNameless},
		{name: "banned", from: []*pool{&land.banned}, hosts: []string{"mx1"}, visit: comeBanned},
	}
}

// begin says hello and opens and drops a transaction, so that sendmail does
// not log a null connection if the session ends early.
func begin(d *dialogue) {
	d.hello("pc.isp.example")
	d.from("a@sender.example")
	d.must("250", "RSET")
}

func tryRelay(d *dialogue) {
	d.hello("pc.isp.example")
	d.from("a@sender.example")
	d.offend("relay_denied", "550 5.7.1", fmt.Sprintf("RCPT TO:<target%d@elsewhere.example>", d.number))
	d.quit()
}

func talkFirst(d *dialogue) {
	d.write("EHLO bot\r\n")
	d.refused("pregreet", "554")
	if d.greeted {
		// The gateway took the connection, but not what we said.
		d.err = errSilence
	}
	d.quit()
}

func guessPassword(d *dialogue) {
	begin(d)
	user := fmt.Sprintf("user%d", d.number) // one name tried again and again would score once
	d.offend("auth_fail", "535", "AUTH PLAIN "+credentials(user, "123456"))
	d.quit()
}

func garbleAuth(d *dialogue) {
	begin(d)
	d.offend("auth_decode", "501", "AUTH PLAIN !!garbage")
	d.quit()
}

func seekProxy(d *dialogue) {
	d.expect("220")
	d.offend("open_proxy", "421", "GET http://www.example/ HTTP/1.0")
	d.quit()
}

func castSpell(d *dialogue) {
	begin(d)
	d.offend("bogus_cmd", "500", "WIZ")
	d.quit()
}

func overflow(d *dialogue) {
	begin(d)
	d.offend("long_input", "421", strings.Repeat("X", 2100))
	d.quit()
}

func stepIntoTrap(d *dialogue) {
	d.hello("pc.isp.example")
	d.from("a@sender.example")
	d.offend("rcpt_trap", "550 5.7.1", "RCPT TO:<trap@lab.example>")
	d.quit()
}

func pipelineEarly(d *dialogue) {
	d.expect("220")
	d.write("EHLO bot.example\r\nMAIL FROM:<a@sender.example>\r\n")
	d.refused("ehlo_pipelining", "5")
	d.quit()
}

func tryNames(d *dialogue) {
	d.hello("pc.isp.example")
	d.from("a@sender.example")
	for i := range 4 {
		d.offend("unknown_user", "550 5.1.1", fmt.Sprintf("RCPT TO:<name%d-%d@lab.example>", d.number, i))
	}
	d.quit()
}

// hammer asks for one name again and again; where no other line comes between,
// mx3's rsyslog folds them into "message repeated".
func hammer(d *dialogue) {
	d.hello("pc.isp.example")
	d.from("a@sender.example")
	for range 4 {
		d.offend("unknown_user", "550 5.1.1", fmt.Sprintf("RCPT TO:<root%d@lab.example>", d.number))
	}
	d.quit()
}

func harvest(d *dialogue) {
	d.hello("pc.isp.example")
	for i := range 2 {
		d.offend("vrfy_expn", "550 5.1.1", fmt.Sprintf("VRFY name%d-%d", d.number, i))
	}
	d.quit()
}

func talkGibberish(d *dialogue) {
	begin(d)
	d.offend("bad_command", "421", fmt.Sprintf("X-%d: hello", d.number))
	d.quit()
}

func poseAsHost(d *dialogue) {
	d.hello("mx2.lab.example")
	d.from("a@sender.example")
	d.offend("bad_helo", "550", "RCPT TO:<alice@lab.example>")
	d.quit()
}

func sendVirus(d *dialogue) {
	d.hello("pc.isp.example")
	d.offend("milter_reject", "550 5.7.1", "MAIL FROM:<virus@sender.example>")
	d.quit()
}

// The three that follow are refused for who they are: at once by mx1, at the
// first recipient by mx2.

func comeListed(d *dialogue)   { arrive(d, "dnsbl") }
func comeNameless(d *dialogue) { arrive(d, "no_rdns") }
func comeBanned(d *dialogue)   { arrive(d, "access_reject") }

func arrive(d *dialogue, reason string) {
	if d.host == "mx1" {
		// mx1 has made up its mind, and logged it, by the time that it greets.
		d.refused(reason, "220")
		d.must("550 5.7.1", "MAIL FROM:<a@sender.example>")
		d.quit()
		return
	}
	d.hello("pc.isp.example")
	d.from("a@sender.example")
	d.offend(reason, "550 5.7.1", "RCPT TO:<alice@lab.example>")
	d.quit()
}
