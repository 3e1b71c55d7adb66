package sendmail

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	const fail = id + "AUTH failure (PLAIN): user not found (-20) SASL(-13): user not found: "
	tests := []struct{ text, want string }{
		{fail + "x, user=joe, relay=" + client, fail + "x, user=***, relay=" + client},
		{fail + "x, user=joe, relay=[192.0.2.66], relay=" + client, fail + "x, user=***, relay=" + client},
		{fail + "x, user=hunter2", fail + "x, user=***"},
		{fail + "x, user=, relay=" + client, fail + "x, user=, relay=" + client},
		{fail + "user: joe@h property: userPassword not found, user=joe, relay=" + client, fail + "user: *** property: userPassword not found, user=***, relay=" + client},
		{id + `AUTH decode64 error [-5 for "am9l"], relay=` + client, id + `AUTH decode64 error [-5 for ***], relay=` + client},
		{id + `AUTH decode64 error [-5 for "am9l"], relay=x"], relay=` + client, id + `AUTH decode64 error [-5 for ***], relay=` + client},
		{id + `AUTH decode64 error [-5 for "am9l`, id + `AUTH decode64 error [-5 for ***`},
		{"AUTH=server, relay=" + client + ", authid=joe, mech=PLAIN, bits=0", "AUTH=server, relay=" + client + ", authid=***, mech=PLAIN, bits=0"},
		{"ruleset=trust_auth, arg1=joe, relay=" + client + ", reject=550 x", "ruleset=trust_auth, arg1=***, relay=" + client + ", reject=550 x"},
		{id + `auth="joe" not trusted user="ann"`, id + `auth="***" not trusted user=***`},
		{id + "<-- AUTH PLAIN AGpvZQBodW50ZXIy", id + "<-- AUTH PLAIN ***"},
		{id + "<-- auth login am9l", id + "<-- auth login ***"},
		{id + "<-- AUTH LOGIN", id + "<-- AUTH LOGIN"},
		{id + "<-- aHVudGVyMg==", id + "<-- ***"},
		{id + "<-- RCPT TO:<a@b>", id + "<-- RCPT TO:<a@b>"},
		{id + "--- 334 VXNlcm5hbWU6", id + "--- 334 ***"},
		{id + "--- 250 2.0.0 OK", id + "--- 250 2.0.0 OK"},
		{id + `Sending "AUTH PLAIN AGpvZQ==" to Milter`, id + `Sending "AUTH PLAIN ***`},
		{"ruleset=check_other, arg1=Auth PLAIN AGpvZQ==, arg2=5, relay=" + client, "ruleset=check_other, arg1=Auth PLAIN ***"},
		{"do_auth : auth failure: [user=joe] [service=smtp]", "do_auth : auth failure: [user=***] [service=smtp]"},
		{id + "<user=joe@b>... User unknown", id + "<user=joe@b>... User unknown"},
		{id + "<n@lab.example>... User unknown", id + "<n@lab.example>... User unknown"},
	}
	for _, tt := range tests {
		got := Mask(tt.text)
		if got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		if again := Mask(got); again != got {
			t.Errorf("%q, then %q", got, again)
		}
	}
}

func TestMaskIsIdempotentAndKeepsTheRest(t *testing.T) {
	for _, part := range []string{"real", "soup"} {
		for _, l := range readLog(t, part, "traditional") {
			got := Mask(l.text)
			if Mask(got) != got {
				t.Fatalf("%q, then %q", got, Mask(got))
			}
			if got != l.text && !strings.Contains(got, masked) {
				t.Fatalf("%q became %q", l.text, got)
			}
			if i := strings.Index(got, ", user="); i >= 0 && strings.Contains(got[:i], "AUTH failure (") && !strings.HasPrefix(got[i:], ", user=***") && !strings.HasPrefix(got[i:], ", user=, ") {
				t.Fatalf("%q", got)
			}
		}
	}
}

// A masked line still tells the same offence, so evidence can be read again.
func TestMaskedLinesParseAlike(t *testing.T) {
	p, _ := NewParser(nil)
	for _, l := range readLog(t, "real", "traditional") {
		var plain, hidden Record
		p.Parse(l.text, &plain)
		p.Parse(Mask(l.text), &hidden)
		if plain.Reason != hidden.Reason || plain.Kind != hidden.Kind {
			t.Errorf("%s %s, masked %s %s: %s", plain.Kind, plain.Reason, hidden.Kind, hidden.Reason, l.text)
		}
	}
}

func TestMaskAllocatesOnlyForSecrets(t *testing.T) {
	for _, text := range []string{
		id + "<n@lab.example>... User unknown",
		id + "AUTH failure (PLAIN): x, user=***, relay=" + client,
		"AUTH: available mech=PLAIN",
	} {
		if n := testing.AllocsPerRun(10, func() { _ = Mask(text) }); n > 0 {
			t.Errorf("%v allocations: %s", n, text)
		}
	}
}
