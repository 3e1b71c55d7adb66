package header

import (
	"strings"
	"testing"
	"time"
)

// times are the ways in which daemons write 5 July 2026, 10:00:01, in UTC.
var times = []struct {
	text  string
	nanos int
	full  bool // names its zone
}{
	{text: "Jul  5 10:00:01"},
	{text: "Jul 05 10:00:01"},
	{text: "Jul 5 10:00:01"},
	{text: "Jul  5 10:00:01.123", nanos: 123e6},
	{text: "Jul  5 10:00:01,123456", nanos: 123456e3},
	{text: "Jul 05 10:00:01.123456789", nanos: 123456789},
	{text: "Jul  5 2026 10:00:01"},
	{text: "Jul  5 2026 10:00:01.5", nanos: 5e8},
	{text: "Jul  5 10:00:01 2026"},
	{text: "Jul  5 10:00:01.25 2026", nanos: 25e7},
	{text: "2026 Jul  5 10:00:01"},
	{text: "2026 Jul 05 10:00:01.5", nanos: 5e8},
	{text: "Sun Jul  5 10:00:01 2026"},
	{text: "Sun, Jul 05 10:00:01 2026"},
	{text: "Jul  5 2026 10:00:01 UTC", full: true},
	{text: "2026-07-05T10:00:01Z", full: true},
	{text: "2026-07-05T10:00:01z", full: true},
	{text: "2026-07-05t10:00:01.123z", nanos: 123e6, full: true},
	{text: "2026-07-05T12:00:01+02:00", full: true},
	{text: "2026-07-05T12:00:01+0200", full: true},
	{text: "2026-07-05T12:00:01.123+0200", nanos: 123e6, full: true},
	{text: "2026-07-05T12:00:01,123456+02", nanos: 123456e3, full: true},
	{text: "2026-07-05T05:30:01-04:30", full: true},
	{text: "2026-07-05T05:30:01-0430", full: true},
	{text: "2026-07-05T10:00:01"},
	{text: "2026-07-05T10:00:01.123456", nanos: 123456e3},
	{text: "2026-07-05 10:00:01"},
	{text: "2026-07-05 10:00:01,5", nanos: 5e8},
	{text: "2026-07-05 12:00:01+02:00", full: true},
	{text: "2026-07-05 12:00:01 +0200", full: true},
	{text: "2026-07-05 10:00:01.5 UTC", nanos: 5e8, full: true},
	{text: "Sun 2026-07-05 10:00:01 UTC", full: true},
	{text: "Sun 2026-07-05 10:00:01.123456 UTC", nanos: 123456e3, full: true},
	{text: "Sun 2026-07-05 12:00:01 +0200", full: true},
	{text: "Sun 2026-07-05 10:00:01 WET"},
	{text: "1783245601.123456", nanos: 123456e3, full: true},
	{text: "1783245601", full: true},
}

// hosts are the ways in which a host stands behind the time, and its name.
var hosts = []struct {
	text, name string
	relayed    bool
}{
	{"", "", false},
	{"mx1 ", "mx1", false},
	{"mx1.example.org ", "mx1.example.org", false},
	{"MX1 ", "MX1", false},
	{"mx1 mx1 ", "mx1", false},
	{"mx1.example.org mx1 ", "mx1.example.org", false},
	{"192.0.2.1 ", "192.0.2.1", false},
	{"192.0.2.1 192.0.2.1 ", "192.0.2.1", false},
	{"192.0.2.1/192.0.2.1 ", "192.0.2.1", true},
	{"mx1/192.0.2.1 ", "mx1", true},
	{"mx1/relay1/relay2 ", "mx1", true},
	{"2001:db8::1 ", "2001:db8::1", false},
	{"2001:db8:: ", "2001:db8::", false},
	{"2001:db8::1/2001:db8::2 ", "2001:db8::1", true},
	{"[2001:db8::1] ", "[2001:db8::1]", false},
	{"[192.0.2.1.2.2] ", "[192.0.2.1.2.2]", false},
	{"Message forwarded from mx1: ", "mx1", true},
	{"Message forwarded from mx1.example.org: ", "mx1.example.org", true},
	{"Message forwarded from 192.0.2.1: ", "192.0.2.1", true},
	{"Message forwarded from 2001:db8::1: ", "2001:db8::1", true},
	{"Message forwarded from mx1:", "mx1", true},
	{"Message forwarded: from mx1: ", "mx1", true},
	{"Forwarded from mx1: ", "mx1", true},
	{"Forwarded from 2001:db8::1: ", "2001:db8::1", true},
	{"From mx1: ", "mx1", true},
	{"From mx1:", "mx1", true},
	{"from: mx1: ", "mx1", true},
	{"loghost Message forwarded from mx1: ", "mx1", true},
	{"loghost Forwarded from mx1: ", "mx1", true},
	{"loghost From mx1: ", "mx1", true},
	{"192.0.2.9 from mx1: ", "mx1", true},
	{"192.0.2.9 forwarded from mx1: ", "mx1", true},
	{"loghost Message forwarded from mx1: mx1 ", "mx1", true},
}

// facilities stand between host and tag.
var facilities = []string{"", "mail:info ", "mail.info ", "<mail.info> ", "<2.6> ", "local7.notice ", "daemon:warning "}

// tags are the ways in which tag and PID stand in front of the text.
var tags = []struct {
	text, tag string
	pid       uint32
}{
	{"sendmail[2001]: ", "sendmail", 2001},
	{"sm-mta[2001]:", "sm-mta", 2001},
	{"sendmail/smtpd[2001]: ", "sendmail/smtpd", 2001},
	{"sendmail: ", "sendmail", 0},
	{"sendmail:", "sendmail", 0},
	{"sendmail[]: ", "sendmail", 0},
	{"sendmail[-]: ", "sendmail", 0},
	{"sendmail[2001] ", "sendmail", 2001},
	{"sendmail[2001]: [ID 801593 mail.info] ", "sendmail", 2001},
}

// TestCombinations reads every time with every host, facility and tag, live and
// from a file.
func TestCombinations(t *testing.T) {
	const text = "664A01aB002001: ruleset=check_rcpt, arg1=<a@example.com>, relay=[203.0.113.1]"
	live, file := &Parser{Tags: ownTags}, &Parser{Zone: time.UTC, Tags: ownTags}
	for _, at := range times {
		for _, host := range hosts {
			for _, facility := range facilities {
				for _, tag := range tags {
					if !unambiguous(host.text, tag.text) {
						continue
					}
					want := Header{Priority: noPriority, Host: host.name, Tag: tag.tag, PID: tag.pid, Text: text, Relayed: host.relayed}
					line := at.text + " " + host.text + facility + tag.text + text
					want.Time, want.Stamp = instant(at.nanos, at.full)
					check(t, "live", live, line, want)
					want.Time, want.Stamp = instant(at.nanos, strings.Contains(at.text, "2026") || at.full)
					check(t, "file", file, line, want)
					want.Priority = 22
					check(t, "file", file, "<22>"+line, want)
				}
			}
		}
	}
}

// ownTags are those of sendmail's programs here.
var ownTags = NewTags([]string{"sendmail", "sendmail/*", "sm-*"}, nil)

// instant returns the time that all lines carry, as much as is known of it.
func instant(nanos int, full bool) (time.Time, Stamp) {
	if full {
		return time.Date(2026, 7, 5, 10, 0, 1, nanos, time.UTC), StampFull
	}
	return time.Date(0, 7, 5, 10, 0, 1, nanos, time.UTC), StampLocal
}

// unambiguous reports whether the words can be told apart.
func unambiguous(host, tag string) bool {
	if strings.HasPrefix(host, "from: ") || strings.HasPrefix(host, "192.0.2.9 from") {
		return strings.HasPrefix(tag, "sendmail[2001]: ")
	}
	return true
}

func check(t *testing.T, how string, p *Parser, frame string, want Header) {
	t.Helper()
	var got Header
	if err := p.Parse(frame, false, &got); err != nil {
		t.Errorf("%s: %q: %v", how, frame, err)
		return
	}
	if got != want {
		t.Errorf("%s: %q:\n got %+v\nwant %+v", how, frame, got, want)
	}
}
