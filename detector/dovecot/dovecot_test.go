package dovecot

import (
	"net/netip"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

const (
	head  = "imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): "
	after = ", lip=198.51.100.25, session=<clFZ6Iphhb7GEgAC>"
)

// TestParse has the forms that the corpus lacks: older and custom ones, and lines
// that must not be believed.
func TestParse(t *testing.T) {
	const addr, victim = "198.18.0.7", "192.0.2.66"
	tests := []struct {
		name, text, addr, reason, user string
		count                          uint32
	}{
		{"plain", head + "user=<joe>, method=PLAIN, rip=" + addr + after, addr, "auth_fail", "joe", 1},
		{"level", strings.Replace(head, ": ", ": Info: ", 1) + "user=<joe>, method=PLAIN, rip=" + addr + after, addr, "auth_fail", "joe", 1},
		{"no session", head + "user=<joe>, method=PLAIN, rip=" + addr + ", lip=198.51.100.25, TLS", addr, "auth_fail", "joe", 1},
		{"2.0", "pop3-login: Aborted login (auth failed, 4 attempts): user=<joe>, method=CRAM-MD5, rip=" + addr + ", lip=198.51.100.25, TLS", addr, "auth_fail", "joe", 4},
		{"2.0 without a user", "pop3-login: Disconnected: Inactivity (no auth attempts): rip=" + addr + ", lip=198.51.100.25, TLS", addr, "timeout", "", 0},
		{"2.0 with a method", "imap-login: Disconnected (auth failed, 1 attempts): method=PLAIN, rip=" + addr + ", lip=198.51.100.25, TLS: Disconnected", addr, "auth_fail", "", 1},
		{"mapped", head + "user=<joe>, method=PLAIN, rip=::ffff:" + addr + after, addr, "auth_fail", "joe", 1},
		{"cleartext", head + "user=<joe>, rip=" + addr + after, addr, "null_connection", "", 0},
		{"backend", strings.Replace(head, "auth failed, 1 attempts in 2 secs", "auth service reported temporary failure", 1) + "user=<joe>, method=PLAIN, rip=" + addr + after, addr, "auth_unavailable", "joe", 0},
		{"local", head + "user=<joe>, method=PLAIN, rip=127.0.0.1" + after, "", "", "", 0},
		{"a name that is all", head + "user=<x>, rip=" + victim + after + ">, method=PLAIN, rip=" + addr + after, addr, "auth_fail", "x>, rip=" + victim + after, 1},
		{"a name with a bracket in TLS", head + "user=<x>, rip=" + victim + ", lip=1.1.1.1, TLS: <a>, session=<clFZ>", "", "", "", 0},
		{"cut behind a name", head + "user=<x>, rip=" + victim + ", lip=1.1.1.1, session=<a>, method=PLAIN", "", "", "", 0},
		{"cut in the address", head + "user=<joe>, method=PLAIN, rip=198.18.0", "", "", "", 0},
		{"unknown words", "imap-login: Disconnected: Connection closed (something else): user=<joe>, rip=" + addr + after, "", "", "", 0},
		{"unknown beginning", "imap-login: x (auth failed, 1 attempts in 2 secs): user=<joe>, rip=" + addr + after, "", "", "", 0},
		{"a line that may have been cut", "imap-login: Disconnected: " + strings.Repeat("x", maxLine) + " (auth failed, 1 attempts): user=<joe>, rip=" + addr + after, "", "", "", 0},
		{"auth", "auth: passwd-file(joe," + addr + ",<clFZ>): unknown user", "", "", "", 0},
		{"IMAP ID", "imap-login: ID sent: name=x, rip=" + victim + ", lip=: user=<>, rip=" + addr + after, "", "", "", 0},
		{"a zone", head + "user=<joe>, method=PLAIN, rip=fe80::1%eth0" + after, "", "", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rec offence.Record
			Program{}.Parse(tt.text, &rec)
			want, _ := netip.ParseAddr(tt.addr)
			if rec.Addr != want || rec.Reason.String() != tt.reason || rec.User != tt.user || rec.Count != tt.count {
				t.Errorf("%v %s %q %d; %s", rec.Addr, rec.Reason, rec.User, rec.Count, tt.text)
			}
		})
	}
}

func TestOurs(t *testing.T) {
	for tag, want := range map[string]bool{"dovecot": true, "dovecot2": false, "auth": false, "": false} {
		if got := (Program{}).Ours(tag); got != want {
			t.Errorf("%q: %t", tag, got)
		}
	}
}

func TestMask(t *testing.T) {
	tests := []struct{ text, want string }{
		{head + "user=<joe>, method=PLAIN, rip=198.18.0.7" + after, head + "user=<***>, method=PLAIN, rip=198.18.0.7" + after},
		{head + "user=<x>, rip=192.0.2.66, lip=>, rip=198.18.0.7" + after, head + "user=<***>, rip=198.18.0.7" + after},
		{head + "user=<hunter2", head + "user=<***"},
		{head + "user=<>, rip=198.18.0.7" + after, head + "user=<>, rip=198.18.0.7" + after},
		{
			"auth: login(?,198.18.0.7,<a>): Username character disallowed by auth_username_chars: 0x3e (username: x>y)",
			"auth: login(?,198.18.0.7,<a>): Username character disallowed by auth_username_chars: 0x3e (username: ***",
		},
		{"auth: passwd-file(joe,198.18.0.7,<a>): unknown user", "auth: passwd-file(joe,198.18.0.7,<a>): unknown user"},
	}
	for _, tt := range tests {
		if got := (Program{}).Mask(tt.text); got != tt.want || Mask(got) != got {
			t.Errorf("%q, then %q, want %q", got, Mask(got), tt.want)
		}
	}
}

// FuzzParse: no panic, an address that is given stands in the line behind rip=, and
// what comes before it or after it accuses nobody: not even a line that is put into
// the user's name.
func FuzzParse(f *testing.F) {
	for _, version := range versions {
		seen := map[string]bool{}
		for _, text := range texts(f, version, "traditional") {
			message, _, _ := strings.Cut(text, ": user=<")
			if !seen[message] || strings.Contains(text, "192.0.2.") {
				seen[message] = true
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var rec offence.Record
		Program{}.Parse(text, &rec)
		if rec.Reason != offence.ReasonNone && !rec.Addr.IsValid() {
			t.Errorf("%+v of %q", rec, text)
		}
		if a := rec.Addr; a.IsValid() && (a.Is4In6() || a.Zone() != "" || !strings.Contains(text, "rip=")) {
			t.Errorf("%v of %q", a, text)
		}
		if !strings.Contains(text, rec.User) {
			t.Errorf("user %q of %q", rec.User, text)
		}
		if hidden := Mask(text); Mask(hidden) != hidden {
			t.Errorf("%q, then %q", hidden, Mask(hidden))
		}
		if strings.Contains(text, "\n") {
			return
		}
		name := text
		if len(name) > 80 {
			name = name[:77] + "..."
		}
		line := head + "user=<" + name + ">, method=PLAIN, rip=198.18.0.7" + after
		rec = offence.Record{}
		Program{}.Parse(line, &rec)
		if rec.Addr != netip.MustParseAddr("198.18.0.7") || rec.Reason != offence.AuthFail || rec.User != name {
			t.Errorf("%v %v %q in %q", rec.Addr, rec.Reason, rec.User, line)
		}
	})
}
