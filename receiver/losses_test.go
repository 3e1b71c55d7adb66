package receiver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// local logs a line of this mail host under a tag.
func (h *mailHost) local(priority int, tag, text string) {
	h.t.Helper()
	write(h.t, h.conn, fmt.Sprintf("<%d>%s %s: %s", priority, time.Now().Format(time.Stamp), tag, text))
}

// TestLossesPassTheFilter: what a mail host's log daemons say of lines that they
// have dropped comes here with sendmail's lines, and nothing else that they say.
func TestLossesPassTheFilter(t *testing.T) {
	config, a := everyTransport(t)
	h := open(t, config)
	lost := [][2]string{
		{"systemd-journald[3759]", "Suppressed 45100 messages from sendmail.service"},
		{"systemd-journald[3759]", "Forwarding to syslog missed 50087 messages."},
		{"journal", "Suppressed 917 messages from /system.slice/sendmail.service"},
	}
	daemons := map[bool][][2]string{
		false: {
			{"rsyslogd", "imjournal from <mx1:sm-mta>: begin to drop messages due to rate-limiting"},
			{"rsyslogd-2177", "imjournal: 236 messages lost due to rate-limiting (20000 allowed within 600 seconds)"},
		},
		true: {
			{"syslog-ng[9]", "Destination queue full, dropping messages; count='12'"},
			{"syslog-ng[9]", "Log statistics; dropped='dst.syslog(d_uppercut#0,tcp,127.0.0.1:1)=1900'"},
		},
	}
	others := [][2]string{
		{"systemd-journald[3759]", "Journal stopped"},
		{"rsyslogd-2007", "action 'uppercut' suspended (module 'builtin:omfwd'), retry 0."},
		{"rsyslogd", "[origin software=\"rsyslogd\"] start"},
		{"CRON[7]", "Suppressed 5 messages from sendmail.service, 3 messages lost"},
		{"syslog-ng[9]", "syslog-ng starting up; version='3.38.1'"},
	}
	for _, syslogNG := range []bool{false, true} {
		for transport, address := range map[string]string{"udp": h.address(UDP), "tcp": h.address(TCP)} {
			name := transport + " rsyslog"
			if syslogNG {
				name = transport + " syslog-ng"
			}
			t.Run(name, func(t *testing.T) {
				h.forget()
				host := startMailHost(t, forwardText(t, transport, address, a, syslogNG), syslogNG)
				for _, line := range others {
					host.local(46, line[0], line[1])
				}
				want := slices.Concat(lost, daemons[syslogNG])
				for _, line := range want {
					host.local(46, line[0], line[1])
				}
				host.log(1, 1)
				var got []string
				for _, m := range h.wait(t, len(want)+1) {
					got = append(got, m.Tag+" "+m.Text)
				}
				for _, line := range want {
					tag, _, _ := strings.Cut(line[0], "[")
					if !slices.Contains(got, tag+" "+line[1]) {
						t.Errorf("%s: %s does not come", line[0], line[1])
					}
				}
				if len(got) != len(want)+1 {
					t.Errorf("came: %q", got)
				}
			})
		}
	}
}

// startMailHost starts rsyslogd or syslog-ng with a forwarding configuration.
func startMailHost(t *testing.T, forward string, syslogNG bool) *mailHost {
	t.Helper()
	if syslogNG {
		if dir := shortDir(t); strings.Contains(forward, "disk-buf-size") {
			forward = strings.Replace(forward, "disk-buf-size(1073741824)", fmt.Sprintf("disk-buf-size(10485760) dir(%q)", dir), 1)
		}
		return startSyslogNG(t, forward)
	}
	return startRsyslog(t, forward)
}

// TestRsyslogTellsOfItsLimit has a real rsyslogd drop lines of sendmail, and
// hears of it through the file that we give to mail hosts.
func TestRsyslogTellsOfItsLimit(t *testing.T) {
	config, a := everyTransport(t)
	h := open(t, config)
	text := `global(processInternalMessages="on")` + "\n" + forwardText(t, "tcp", h.address(TCP), a, false)
	host := startRsyslogLimited(t, text, `RateLimit.Interval="1" RateLimit.Burst="10"`)
	host.log(1, 50)
	told := func(text string) func(Message) bool {
		return func(m Message) bool { return strings.HasPrefix(m.Tag, "rsyslogd") && strings.Contains(m.Text, text) }
	}
	h.waitFor(t, told("begin to drop messages due to rate-limiting"))
	again := time.Now().Add(2100 * time.Millisecond)
	eventually(t, "the interval of the limit has passed, in whole seconds", func() bool { return time.Now().After(again) })
	host.log(51, 51)
	h.waitFor(t, told(" messages lost due to rate-limiting (10 allowed within 1 seconds)"))
}
