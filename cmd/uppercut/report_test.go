package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
)

func TestNobodyIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		`arg1=<Anna.Smith@example.org>, relay=[203.0.113.9], reject=550 5.1.1 <Anna.Smith@example.org>... User unknown`: `arg1=***, relay=[203.0.113.9], reject=550 5.1.1 <***>... User unknown`,
		`<anna>... User unknown`:                       `<***>... User unknown`,
		`<"anna smith"@example.org>... no`:             `<***>... no`,
		`"anna smith"@example.org refused`:             `*** refused`,
		`to=anna@example.org,bert@example.org, x=1`:    `to=***,***, x=1`,
		`to=anna, delay=00:00:01`:                      `to=***, delay=00:00:01`,
		`AUTH failure (LOGIN): user=anna, relay=x.org`: `AUTH failure (LOGIN): user=***, relay=x.org`,
		`<anna@example.org`:                            `<***>`,
		`@example.org`:                                 `***`,
	} {
		if got := withoutPeople(text); got != want || strings.Contains(got, "nna") {
			t.Errorf("%s\n%s, want\n%s", text, got, want)
		}
	}
}

func evidence(at, reason, text string) console.Evidence {
	when, _ := time.Parse(time.RFC3339, at)
	return console.Evidence{Time: when, Host: "mx1", Sender: "10.25.0.11", Reason: reason, Text: text}
}

// TestReport: a mail without recipient, with a text and valid XARF.
func TestReport(t *testing.T) {
	first := evidence("2026-11-30T13:00:00+01:00", "auth_fail", "AUTH failure (LOGIN): user=anna, relay=[203.0.113.9]\x1b[2J")
	last := evidence("2026-11-30T12:00:05Z", "unknown_user", "<anna@example.org>... User unknown")
	second := evidence("2026-11-30T12:00:01Z", "auth_fail", "AUTH failure")
	lines := reportLines(console.Why{Evidence: []console.Evidence{last, first, second, first}})
	if len(lines) != 3 {
		t.Fatalf("%+v", lines)
	}
	addr := netip.MustParseAddr("203.0.113.9")
	r := newReport(addr, netip.PrefixFrom(addr, 32), lines, "Exämple Ltd", "abuse@example.net")
	var out bytes.Buffer
	if err := r.write(&out, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"anna", "10.25.0.11", "example.org", "\x1b"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("it has %q:\n%s", secret, out.String())
		}
	}
	m, err := mail.ReadMessage(&out)
	if err != nil {
		t.Fatal(err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || from[0].Name != "Exämple Ltd" || m.Header.Get("To") != "" {
		t.Errorf("%v %v", m.Header, err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	text := readPart(t, parts)
	for _, want := range []string{"203.0.113.9 guesses passwords", "2026-11-30T12:00:00Z mx1 auth_fail: AUTH failure (LOGIN): user=***", "<***>... User unknown"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	checkXARF(t, readPart(t, parts), "login_attack")
	r.lines = lines[2:]
	other, err := r.xarf()
	if err != nil {
		t.Fatal(err)
	}
	checkXARF(t, string(other), "reconnaissance")
}

func readPart(t *testing.T, parts *multipart.Reader) string {
	t.Helper()
	p, err := parts.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkXARF looks for what the schemas of XARF 4.0.0 require: xarf-core, and
// connection-login-attack or connection-reconnaissance.
func checkXARF(t *testing.T, text, kind string) {
	t.Helper()
	var x map[string]any
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		t.Fatal(err)
	}
	required := []string{"xarf_version", "report_id", "timestamp", "reporter", "sender", "source_identifier", "category", "type", "protocol", "first_seen"}
	if kind == "reconnaissance" {
		required = append(required, "probed_resources")
	}
	for _, field := range required {
		if x[field] == nil {
			t.Errorf("no %s in %s", field, text)
		}
	}
	if x["type"] != kind || x["source_identifier"] != "203.0.113.9" || x["reporter"].(map[string]any)["domain"] != "example.net" {
		t.Errorf("%s", text)
	}
	lines, err := base64.StdEncoding.DecodeString(x["evidence"].([]any)[0].(map[string]any)["payload"].(string))
	if err != nil || !strings.Contains(string(lines), "mx1") || strings.Contains(string(lines), "anna") {
		t.Errorf("%v: %s", err, lines)
	}
}
