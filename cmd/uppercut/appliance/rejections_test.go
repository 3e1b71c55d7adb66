package appliance

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// The newest come first, secrets are masked, and a flood costs little.
func TestLastRejections(t *testing.T) {
	var r rejections
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	refuse := func(after time.Duration, kind offence.Kind, text string) {
		l := detector.Line{Received: start.Add(after), Host: "mx1", Sender: "10.25.0.11"}
		r.event(&l, &offence.Event{Kind: kind, Addr: netip.MustParseAddr("203.0.113.9"), Time: start.Add(after), Reason: offence.DNSBL, Raw: text, Mask: sendmail.Mask})
	}
	for i := range 1000 {
		refuse(time.Duration(i)*time.Millisecond, offence.Offence, "flood")
	}
	if n := len(r.latest(1000)); n != 20 {
		t.Errorf("%d of a flood of 1,000 in a second are kept, want 20", n)
	}
	refuse(2*time.Second, offence.Accepted, "a mail")
	refuse(3*time.Second, offence.Offence, "AUTH failure (LOGIN): user not found (-20) SASL(-13), user=anna")
	refuse(4*time.Second, offence.Offence, strings.Repeat("x", 1000))
	got := r.latest(2)
	if len(got) != 2 || len(got[0].Text) > maxRejectionText+3 || strings.Contains(got[1].Text, "anna") || got[1].Host != "mx1" || got[1].Reason != "dnsbl" {
		t.Errorf("%+v", got)
	}
	for i := range 500 {
		refuse(time.Duration(5+i)*time.Second, offence.Offence, "more")
	}
	if n := len(r.latest(1000)); n != 100 {
		t.Errorf("%d are kept, want 100", n)
	}
}
