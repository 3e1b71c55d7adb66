package sendmail

import (
	"testing"

	"uppercut/detector/offence"
)

// An administrator's own text may hold the client's address.
func TestTextsWithTheClient(t *testing.T) {
	p, err := NewParser([]TextReason{
		{"Rejected - see https://lookup.example.org/search?q={client}", "dnsbl"},
		{"{client} is not welcome.", "access_reject"},
		{"Go away, {client}.", "access_denied"},
		{"{client}, I said {client}!", "sender_access"},
		{"Plain", "rcpt_trap"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const see = "Rejected - see https://lookup.example.org/search?q="
	for _, tt := range []struct {
		relay, text string
		want        offence.Reason
	}{
		{"[203.0.113.1]", see + "203.0.113.1", offence.DNSBL},
		{"h.example [IPv6:2001:db8:0:0:0:0:0:1]", see + "IPv6:2001:db8:0:0:0:0:0:1", offence.DNSBL},
		{"h.example [IPv6:2001:db8:0:0:0:0:0:1]", see + "2001:db8::1", offence.DNSBL},
		{"[203.0.113.1]", see + "203.0.113.2", offence.Other}, // another's
		{"[203.0.113.1]", see + "203.0.113.1x", offence.Other},
		{"[203.0.113.1]", see + "203.0.113.1 ", offence.Other},
		{"[203.0.113.1]", see, offence.Other},
		{"[203.0.113.1]", see + "{client}", offence.Other},
		{"[203.0.113.1]", "203.0.113.1 is not welcome.", offence.AccessReject},
		{"[203.0.113.1]", "Go away, 203.0.113.1.", offence.AccessDenied},
		{"[203.0.113.1]", "203.0.113.1, I said 203.0.113.1!", offence.SenderAccess},
		{"[203.0.113.1]", "203.0.113.1, I said 203.0.113.2!", offence.Other},
		{"[203.0.113.1]", "Plain", offence.RcptTrap},
	} {
		var rec Record
		p.Parse(id+"ruleset=check_rcpt, arg1=<a@b.example>, relay="+tt.relay+", reject=550 5.7.1 <a@b.example>... "+tt.text, &rec)
		if rec.Reason != tt.want || tt.want != offence.Other && rec.Proof != ProofOwn {
			t.Errorf("%s to %s: %s, proof %d, want %s", tt.text, tt.relay, rec.Reason, rec.Proof, tt.want)
		}
	}
	var rec Record
	p.Parse(id+"<a@b.example>... Go away, 203.0.113.9.", &rec) // a line that names nobody
	if rec.Reason != offence.AccessDenied {
		t.Errorf("%+v", rec)
	}
}

func TestTextsThatNeverMatch(t *testing.T) {
	for text, never := range map[string]bool{
		"Spam trap hit": false, "Rejected: {client} is listed": false, "5 reasons": false, `say "no" twice`: false,
		"see q=*": true, "550 5.7.1 Go away": true, "550 Go away": true, "451 Later": true, " x": true, "x ": true, `"Go away"`: true,
		"{addr} is listed": true, "$&{client_addr} is listed": true, "{client}{client}": true, "<a@b>... Go away": true,
		"Zurückgewiesen": true, "a\tb": true,
	} {
		if got := (TextReason{Text: text}).NeverMatches(); (got != "") != never {
			t.Errorf("%q: %q, want one %t", text, got, never)
		}
	}
}
