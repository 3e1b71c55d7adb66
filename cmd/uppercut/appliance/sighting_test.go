package appliance

import (
	"testing"
	"time"

	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// TestSightings: which lines about a blocked source show that its packets come
// around the gateway. A session that the block has cut off ends an hour later.
func TestSightings(t *testing.T) {
	const id, client = "7AUFbGxZ012345: ", "h.isp.example [198.51.100.7]"
	received := time.Date(2026, time.November, 30, 16, 0, 0, 0, time.UTC)
	for text, want := range map[string]bool{
		id + "timeout waiting for input from " + client + " during server cmd read":                                        false,
		id + "lost input channel from " + client + " to MTA after data":                                                    false,
		id + client + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA":                                        false,
		id + "collect: premature EOM: Connection reset by " + client:                                                       false,
		"STARTTLS=server, error: accept failed=-1, reason=unknown, SSL_error=5, errno=0, retry=-1, relay=" + client:        false,
		id + "from=<a@isp.example>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=" + client:                   false,
		id + "rejecting commands from " + client + " due to pre-greeting traffic after 0 seconds":                          true,
		"ruleset=check_relay, arg1=h.isp.example, arg2=198.51.100.7, relay=" + client + ", reject=550 5.7.1 Access denied": true,
		id + client + ": VRFY root [rejected]":                                                                             true,
	} {
		for name, at := range map[string]time.Time{"now": received, "before": received.Add(-time.Hour)} {
			seen := false
			var when time.Time
			note := func(l *detector.Line, e *offence.Event) {
				if got, ok := sighting(l, e); ok {
					seen, when = true, got
				}
			}
			d, err := detector.New(detector.DefaultConfig(), detector.Options{OnEvent: note})
			if err != nil {
				t.Fatal(err)
			}
			parser, err := sendmail.NewParser(nil)
			if err != nil {
				t.Fatal(err)
			}
			l := detector.Line{Number: 1, Sender: "mx1", Transport: "tls", Received: received, Time: at, Stamp: detector.StampFull, Host: "mx1", Tag: "sm-mta", PID: 12345}
			parser.Parse(text, &l.Record)
			d.Observe(&l)
			if seen != want {
				t.Errorf("%s: %v", text, seen)
			}
			if seen && !when.Equal(at) {
				t.Errorf("%s, written %s: seen at %v", text, name, when)
			}
		}
	}
}
