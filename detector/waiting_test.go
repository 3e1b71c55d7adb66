package detector

import (
	"testing"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// A VRFY may be told once more by the next line of its process; if none comes it
// counts 2 seconds later, and a duplicate of it does not count again.
func TestCommandWithoutAnotherLine(t *testing.T) {
	var events []offence.Event
	d, err := New(DefaultConfig(), Options{OnEvent: func(_ *Line, e *offence.Event) { events = append(events, *e) }})
	if err != nil {
		t.Fatal(err)
	}
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	var l Line
	for i := range 2 {
		parseLine(t, parser, "2026-03-04T05:06:07Z mx1 sendmail[100]: 62456700000100: h.example [203.0.113.9]: VRFY root", &l)
		l.Number = uint64(i + 1)
		d.Observe(&l)
	}
	at := l.Received
	if d.Tick(at.Add(sendmail.SettleAfter - time.Nanosecond)); len(events) != 1 { // the second line shows that the first is alone
		t.Fatalf("%+v", events)
	}
	if d.Tick(at.Add(sendmail.SettleAfter)); len(events) != 2 || events[1].Line != 2 || events[1].Reason != offence.VrfyExpn {
		t.Fatalf("%+v", events)
	}
	if len(d.waiting) != 0 || len(d.duplicates) != 0 {
		t.Errorf("%d lines wait, %d duplicates", len(d.waiting), len(d.duplicates))
	}
	for i := range 3 * maxAwaited {
		parseLine(t, parser, "2026-03-04T05:06:07Z mx1 sendmail[100]: 62456700000100: h.example [203.0.113.9]: VRFY root", &l)
		l.PID, l.Record.PID, l.Number = uint32(1000+i), uint32(1000+i), uint64(100+i)
		l.hostKey, l.sessionKey = 0, 0
		d.Observe(&l)
	}
	if len(d.waiting) > maxAwaited {
		t.Errorf("%d lines wait", len(d.waiting))
	}
	if d.Tick(at.Add(time.Minute)); len(events) != 2+3*maxAwaited {
		t.Errorf("%d events", len(events))
	}
}
