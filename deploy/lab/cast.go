package lab

import "net/netip"

// Kind says what should become of a client.
type Kind string

const (
	// Guilty clients do enough for the default rules and must be blocked.
	Guilty Kind = "guilty"
	// Petty clients are refused a little, too little for any rule.
	Petty Kind = "petty"
	// Injector clients write other people's addresses into the log. They may
	// be blocked; those whom they accuse must not.
	Injector Kind = "injector"
	// Honest clients must never be blocked.
	Honest Kind = "honest"
)

// The addresses that injectors accuse. Both are honest senders.
var (
	victim  = netip.MustParseAddr("100.64.200.66")
	victim6 = netip.MustParseAddr("2001:db8:600d:dead::66")
)

// neighbourhoods deal out the addresses of the cast.
type neighbourhoods struct {
	dialup, dialup6, nameless, listed, hostile, banned, honest, honest6 pool
}

func newNeighbourhoods() *neighbourhoods {
	return &neighbourhoods{
		dialup: pool{prefix: dialup}, dialup6: pool{prefix: dialup6}, nameless: pool{prefix: nameless},
		listed: pool{prefix: listed}, hostile: pool{prefix: hostile}, banned: pool{prefix: banned},
		honest: pool{prefix: honest}, honest6: pool{prefix: honest6},
	}
}

// Client is one address and what it is up to.
type Client struct {
	Addr  netip.Addr
	Kind  Kind
	Trade string // what it does, for people
	// sessions are held one after the other.
	sessions []session
	// persist says that a Guilty client repeats its sessions until nobody
	// answers any more.
	persist bool
}

// session is one SMTP session in a client's plan.
type session struct {
	host string
	act  func(d *dialogue)
}

// Size says how many clients a cast has.
type Size struct {
	Guilty int // of each trade
	Petty  int // of each trade
	Honest int // of each family
}

// cast deals a new crowd of clients; no two have an address in common.
func (land *neighbourhoods) cast(size Size) []*Client {
	var crowd []*Client
	for _, trade := range trades(land) {
		for i := range size.Guilty {
			crowd = append(crowd, trade.client(i, Guilty))
		}
		if trade.fatal {
			continue
		}
		for i := range size.Petty {
			crowd = append(crowd, trade.client(i+1, Petty)) // the other family first
		}
	}
	crowd = append(crowd, land.injectors()...)
	return append(crowd, land.honestSenders(size.Honest)...)
}

// client makes the i-th attacker of the trade; a Petty one visits once.
func (t trade) client(i int, kind Kind) *Client {
	addr := t.from[i%len(t.from)].next()
	client := &Client{Addr: addr, Kind: kind, Trade: t.name, persist: kind == Guilty}
	for number := range len(t.hosts) {
		client.sessions = append(client.sessions, session{
			host: t.hosts[(i+number)%len(t.hosts)],
			act:  t.visit,
		})
	}
	if kind == Petty {
		client.sessions = client.sessions[:1]
	}
	return client
}

// honestSenders are mail servers that send to every host. Some make honest
// mistakes: a wrong recipient, a mistyped password, a greylisted first try.
func (land *neighbourhoods) honestSenders(each int) []*Client {
	addrs := []netip.Addr{victim, victim6}
	for range each {
		addrs = append(addrs, land.honest.next(), land.honest6.next())
	}
	var senders []*Client
	for i, addr := range addrs {
		habit := habits[i%len(habits)]
		client := &Client{Addr: addr, Kind: Honest, Trade: habit.name}
		for _, host := range everyHost {
			client.sessions = append(client.sessions, session{host: host, act: habit.visit})
		}
		senders = append(senders, client)
	}
	return senders
}

// habits of honest senders.
var habits = []struct {
	name  string
	visit func(d *dialogue)
}{
	{"mail", sendMail},
	{"mail", sendMail},
	{"newsletter", sendNewsletter},
	{"bounce", sendBounce},
	{"typing error", mistype},
	{"greylisted", sendAgain},
	{"relay", sendOnward},
	{"monitoring", lookAlive},
}

func sendMail(d *dialogue) {
	d.hello("mail.good.example")
	d.deliver("user@good.example", "alice@lab.example", "bob@lab.example")
	d.quit()
}

func sendNewsletter(d *dialogue) {
	d.hello("news.good.example")
	d.deliver("news@good.example", "alice@lab.example")
	d.from("news@good.example")
	d.offend("unknown_user", "550 5.1.1", "RCPT TO:<left-"+d.host+"@lab.example>")
	d.must("250", "RCPT TO:<carol@lab.example>")
	d.content("news")
	if d.err == nil {
		d.accepted++
	}
	d.quit()
}

func sendBounce(d *dialogue) {
	d.hello("mail.good.example")
	d.from("")
	d.offend("unknown_user", "550 5.1.1", "RCPT TO:<forged-"+d.host+"@lab.example>")
	d.quit()
}

func mistype(d *dialogue) {
	d.hello("laptop.good.example")
	d.offend("auth_fail", "535", "AUTH PLAIN "+credentials("alice", "secret-alcie"))
	d.must("235", "AUTH PLAIN "+credentials("alice", "secret-alice"))
	d.deliver("alice@lab.example", "someone@hub.example")
	d.quit()
}

func sendAgain(d *dialogue) {
	d.hello("mail.good.example")
	if d.host == "mx2" {
		d.from("greylist@good.example")
		d.offend("milter_reject", "451", "RCPT TO:<alice@lab.example>")
		d.must("250", "RSET")
	}
	d.deliver("again@good.example", "alice@lab.example")
	d.quit()
}

func sendOnward(d *dialogue) {
	d.hello("mail.good.example")
	d.deliver("user@good.example", "carl@hub.example", "nobody@hub.example")
	d.quit()
}

func lookAlive(d *dialogue) {
	d.expect("220")
	d.quit()
}

// injectors hold one session for each trick at each host.
func (land *neighbourhoods) injectors() []*Client {
	var crowd []*Client
	for i, trick := range tricks {
		for _, host := range everyHost {
			addr := land.dialup.next()
			if i%2 == 1 {
				addr = land.hostile.next()
			}
			crowd = append(crowd, &Client{
				Addr: addr, Kind: Injector, Trade: trick.name,
				sessions: []session{{host: host, act: trick.play}},
			})
		}
	}
	return crowd
}
