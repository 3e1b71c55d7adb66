package openssh

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// read says what a line is, as "KIND REASON ADDRESS USER", with ~ behind the
// address if it counts only in a whole line.
func read(text string) string {
	var rec offence.Record
	Program{}.Parse(text, &rec)
	words := []string{rec.Kind.String()}
	if rec.Reason != offence.ReasonNone {
		words = append(words, rec.Reason.String())
	}
	if rec.Addr.IsValid() {
		addr := rec.Addr.String()
		if rec.AtEnd {
			addr += "~"
		}
		words = append(words, addr)
	}
	if rec.User != "" {
		words = append(words, fmt.Sprintf("%q", rec.User))
	}
	return strings.Join(words, " ")
}

// TestLines holds what sshd 9.2p1 of Debian 12 wrote about a client at 198.18.1.2,
// and 10.0p1 of Debian 13 where it writes something else.
func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		"Failed password for root from 198.18.1.2 port 43693 ssh2":                                                                                   `auth_failure auth_fail 198.18.1.2~ "root"`,
		"Failed password for invalid user nosuch from 198.18.1.2 port 40989 ssh2":                                                                    `auth_failure auth_fail 198.18.1.2~ "nosuch"`,
		"Failed password for invalid user a from 192.0.2.66 port 22 ssh2 from 198.18.1.2 port 58117 ssh2":                                            `auth_failure auth_fail 198.18.1.2~ "a from 192.0.2.66 port 22 ssh2"`,
		"Failed password for invalid user  from 198.18.1.2 port 54343 ssh2":                                                                          `auth_failure auth_fail 198.18.1.2~`,
		"Failed password for invalid user x y from 2001:db8::7 port 47145 ssh2":                                                                      `auth_failure auth_fail 2001:db8::7~ "x y"`,
		"Failed password for joe from fe80::1%eth0 port 47145 ssh2":                                                                                  `auth_failure auth_fail fe80::1~ "joe"`,
		"Failed password for joe from ::ffff:198.18.1.2 port 47145 ssh2":                                                                             `auth_failure auth_fail 198.18.1.2~ "joe"`,
		"error: Failed password for joe from 198.18.1.2 port 47145 ssh2":                                                                             `auth_failure auth_fail 198.18.1.2~ "joe"`,
		"Failed keyboard-interactive/pam for joe from 198.18.1.2 port 47145 ssh2":                                                                    `auth_failure auth_fail 198.18.1.2~ "joe"`,
		"Failed publickey for joe from 198.18.1.2 port 47145 ssh2: RSA SHA256:xxxx":                                                                  "info",
		"Failed none for invalid user joe from 198.18.1.2 port 47145 ssh2":                                                                           "info",
		"Invalid user nosuch from 198.18.1.2 port 40989":                                                                                             `reject unknown_user 198.18.1.2~ "nosuch"`,
		"Invalid user  from 198.18.1.2 port 54343":                                                                                                   "reject unknown_user 198.18.1.2~",
		"Invalid user a from 192.0.2.66 port 22 from 198.18.1.2 port 58117":                                                                          `reject unknown_user 198.18.1.2~ "a from 192.0.2.66 port 22"`,
		"Invalid user a from 192.0.2.66 port 22 from host.example port 58117":                                                                        "info",
		"Connection closed by 198.18.1.2 port 43693 [preauth]":                                                                                       "disconnect null_connection 198.18.1.2",
		"Connection closed by 198.18.1.2 port 43693":                                                                                                 "info",
		"Connection reset by 198.18.1.2 port 43693 [preauth]":                                                                                        "disconnect null_connection 198.18.1.2",
		"Connection closed by authenticating user root 198.18.1.2 port 43693 [preauth]":                                                              `disconnect null_connection 198.18.1.2~ "root"`,
		"Connection closed by invalid user a from 192.0.2.66 port 22 ssh2 198.18.1.2 port 58117 [preauth]":                                           `disconnect null_connection 198.18.1.2~ "a from 192.0.2.66 port 22 ssh2"`,
		"Connection closed by invalid user  198.18.1.2 port 54343 [preauth]":                                                                         "disconnect null_connection 198.18.1.2~",
		"Disconnected from authenticating user root 198.18.1.2 port 52405 [preauth]":                                                                 `disconnect null_connection 198.18.1.2~ "root"`,
		"Disconnected from user joe 198.18.1.2 port 52405":                                                                                           "info",
		"Received disconnect from 198.18.1.2 port 52405:11: disconnected by user":                                                                    "client 198.18.1.2",
		"Received disconnect from 198.18.1.2 port 52405:11: user root from 192.0.2.66 port 22:11: x [preauth]":                                       "client 198.18.1.2",
		"Accepted password for joe from 198.18.1.2 port 52405 ssh2":                                                                                  `auth 198.18.1.2~ "joe"`,
		"Accepted publickey for joe from 198.18.1.2 port 52405 ssh2: ED25519 SHA256:abc":                                                             `auth 198.18.1.2~ "joe"`,
		"Unable to negotiate with 198.18.1.2 port 48571: no matching key exchange method found. Their offer: none from 192.0.2.66 port 22 [preauth]": "tls_failure tls_fail 198.18.1.2",
		"error: kex_exchange_identification: client sent invalid protocol identifier \"SSH-1.0 from 192.0.2.66 port 22\"":                            "info",
		"error: kex_exchange_identification: Connection closed by remote host":                                                                       "info",
		"banner exchange: Connection from 198.18.1.2 port 33940: invalid format":                                                                     "misuse bad_command 198.18.1.2",
		"banner exchange: Connection from 198.18.1.2 port 33940: could not read protocol version":                                                    "disconnect null_connection 198.18.1.2",
		"Timeout before authentication for connection from 198.18.1.2 to 198.18.1.1, pid = 4711":                                                     "disconnect timeout 198.18.1.2",
		"fatal: Timeout before authentication for 198.18.1.2 port 33940":                                                                             "info",
		"Timeout before authentication for 198.18.1.2 port 33940":                                                                                    "disconnect timeout 198.18.1.2",
		"drop connection #0 from [198.18.1.2]:41234 on [198.18.1.1]:22 penalty: failed authentication":                                               "info",
		"error: maximum authentication attempts exceeded for root from 198.18.1.2 port 52405 ssh2 [preauth]":                                         "info",
		"User root from 192.0.2.127.dyn.example not allowed because not listed in AllowUsers":                                                        "info",
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.34":                                         "info",
		"Server listening on 0.0.0.0 port 2222.":                                                                                                     "info",
		"Something new about 198.18.1.2 port 22":                                                                                                     "unknown",
		"Failed password for root from UNKNOWN port 65535 ssh2":                                                                                      "info",
		"Failed password for root from 198.18.1.2 port 123456 ssh2":                                                                                  "info",
		"Failed password for root from 198.18.1.2 port  ssh2":                                                                                        "info",
		"Failed password for root from 198.18.1.2 ssh2":                                                                                              "info",
		"Failed password for root from [198.18.1.2] port 22 ssh2":                                                                                    "info",
		"Failed password for 198.18.1.2 port 22 ssh2":                                                                                                "info",
		"": "info",
	} {
		if got := read(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestTags: the child that authenticates never names itself.
func TestTags(t *testing.T) {
	for tag, want := range map[string]bool{"sshd": true, "sshd-session": true, "sshd-auth": false, "sshdx": false, "sendmail": false, "": false} {
		if got := (Program{}).Ours(tag); got != want {
			t.Errorf("tag %q: %v", tag, got)
		}
	}
}

// hostile are pieces of names, messages and offers that look like sshd's words
// about a victim.
var hostile = []string{
	"root", " from ", "192.0.2.66", " port 22", " ssh2", "[preauth]", " ", "invalid user ", "user ", ": ", "11: bye",
	"Failed password for ", "Connection closed by ", "authenticating user ", `\015\012`, "::ffff:192.0.2.66", "for ", "SHA256:",
}

// TestHostileText: whatever a client writes, the client of a whole line is the
// true one or none.
func TestHostileText(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated
	const client = "198.18.1.2"
	offences := 0
	for range 200_000 {
		var b strings.Builder
		for range random.IntN(7) {
			b.WriteString(hostile[random.IntN(len(hostile))])
		}
		text := b.String()
		name := text[:min(len(text), 100)]
		for _, line := range []string{
			"Failed password for invalid user " + name + " from " + client + " port 41234 ssh2",
			"Failed password for " + name + " from " + client + " port 41234 ssh2",
			"Invalid user " + name + " from " + client + " port 41234",
			"Connection closed by invalid user " + name + " " + client + " port 41234 [preauth]",
			"Disconnected from authenticating user " + name + " " + client + " port 41234 [preauth]",
			"Received disconnect from " + client + " port 41234:11: " + text + " [preauth]",
			"Unable to negotiate with " + client + " port 41234: no matching MAC found. Their offer: " + text + " [preauth]",
			"Accepted password for " + name + " from " + client + " port 41234 ssh2",
			"error: kex_exchange_identification: client sent invalid protocol identifier \"" + text + "\"",
			"banner exchange: Connection from " + client + " port 41234: invalid format",
			"error: maximum authentication attempts exceeded for invalid user " + name + " from " + client + " port 41234 ssh2 [preauth]",
		} {
			var rec offence.Record
			Program{}.Parse(line, &rec)
			if rec.Addr.IsValid() && rec.Addr.String() != client {
				t.Fatalf("%s\nis said to be of %s", line, rec.Addr)
			}
			if rec.Reason != offence.ReasonNone {
				offences++
				if !rec.Addr.IsValid() {
					t.Fatalf("%s\nis %s of nobody", line, rec.Reason)
				}
			}
		}
	}
	if offences < 1_200_000 {
		t.Errorf("%d offences were read, want seven of eleven lines", offences)
	}
}

// FuzzParse: no line makes an offence without address, or an address that the
// line does not hold.
func FuzzParse(f *testing.F) {
	f.Add("Failed password for invalid user a from 192.0.2.66 port 22 ssh2 from 198.18.1.2 port 58117 ssh2")
	f.Add("Connection closed by authenticating user root 198.18.1.2 port 43693 [preauth]")
	f.Add("Timeout before authentication for connection from 198.18.1.2 to 198.18.1.1, pid = 4711")
	f.Add("banner exchange: Connection from 198.18.1.2 port 33940: invalid format")
	f.Fuzz(func(t *testing.T, text string) {
		var rec offence.Record
		Program{}.Parse(text, &rec)
		if rec.Reason != offence.ReasonNone && !rec.Addr.IsValid() {
			t.Errorf("%q is %s of nobody", text, rec.Reason)
		}
		if rec.Addr.Is4() && !rec.Addr.Is4In6() && !strings.Contains(text, rec.Addr.String()) && !strings.Contains(text, "::") {
			t.Errorf("%q does not name %s", text, rec.Addr)
		}
		if !strings.Contains(text, rec.User) {
			t.Errorf("%q does not name the user %q", text, rec.User)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"password": "Failed password for invalid user admin from 198.18.1.2 port 40989 ssh2",
		"left":     "Connection closed by authenticating user root 198.18.1.2 port 43693 [preauth]",
		"info":     "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.34",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var rec offence.Record
			for b.Loop() {
				rec = offence.Record{}
				Program{}.Parse(text, &rec)
			}
		})
	}
}
