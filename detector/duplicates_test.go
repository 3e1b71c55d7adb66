package detector

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

func TestDuplicatesForgetTheOldest(t *testing.T) {
	var d duplicates
	for n := range uint64(duplicateMemory) {
		if d.seen(mix(n, 1)) {
			t.Fatalf("line %d was never seen", n)
		}
	}
	if !d.seen(mix(0, 1)) {
		t.Error("the 8,192nd line before is forgotten")
	}
	d.seen(mix(duplicateMemory, 1))
	if d.seen(mix(0, 1)) {
		t.Error("the 8,193rd line before is remembered")
	}
}

// The memory is the same as a list of the last 8,192 lines.
func TestDuplicatesModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var d duplicates
	var list []uint64
	known := map[uint64]bool{}
	for i := range 100_000 {
		hash := mix(uint64(random.IntN(20_000)), 3)
		if got := d.seen(hash); got != known[hash] {
			t.Fatalf("line %d: seen %v, want %v", i, got, known[hash])
		}
		if known[hash] {
			continue
		}
		list, known[hash] = append(list, hash), true
		if len(list) > duplicateMemory {
			delete(known, list[0])
			list = list[1:]
		}
	}
}

func relayDenied(n uint64, at time.Time, p *sendmail.Parser) *Line {
	l := &Line{
		Number: n, Sender: "192.0.2.1", Transport: "tcp", Received: at, Time: at, Stamp: StampFull,
		Host: "mx1", Tag: "sm-mta", PID: 100,
	}
	p.Parse("6ANC00aa000100: ruleset=check_rcpt, arg1=<u@a.example>, relay=[198.51.100.1], reject=550 5.7.1 <u@a.example>... Relaying denied", &l.Record)
	return l
}

// What makes a duplicate: everything but the time of arrival and the number.
func TestDuplicateKey(t *testing.T) {
	p, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	hosts := newHosts(Options{}, newMetrics(nil))
	hash := func(l *Line) uint64 { l.Digest(); return lineHash(l, hosts.of(l)) }
	same := hash(relayDenied(1, noon, p))
	for name, c := range map[string]struct {
		change    func(*Line)
		duplicate bool
	}{
		"arrival":   {func(l *Line) { l.Received = l.Received.Add(time.Minute) }, true},
		"number":    {func(l *Line) { l.Number++ }, true},
		"time":      {func(l *Line) { l.Time = l.Time.Add(time.Nanosecond) }, false},
		"host":      {func(l *Line) { l.Host = "mx2" }, false},
		"tag":       {func(l *Line) { l.Tag = "sendmail" }, false},
		"PID":       {func(l *Line) { l.PID++ }, false},
		"text":      {func(l *Line) { l.Record.Text += "." }, false},
		"host, tag": {func(l *Line) { l.Host, l.Tag = l.Tag, l.Host }, false},
	} {
		l := relayDenied(1, noon, p)
		c.change(l)
		if got := hash(l) == same; got != c.duplicate {
			t.Errorf("other %s: duplicate %v", name, got)
		}
	}
}

// A line that is sent again scores once, also after a restart; but OnEvent
// sees it.
func TestDuplicateScoresOnce(t *testing.T) {
	p, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	c := DefaultConfig()
	c.SessionCaps = map[string]float64{"relay_denied": 0}
	c.SessionTotal = 0
	o := Options{OnEvent: func(*Line, *offence.Event) { events++ }}
	d, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5) {
		if v := d.Observe(relayDenied(n, noon, p)); len(v) > 0 {
			t.Fatalf("time %d: %v", n, v)
		}
	}
	if events != 5 {
		t.Errorf("OnEvent saw %d of 5 lines", events)
	}
	var snapshot bytes.Buffer
	if err := d.Snapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	if d, err = New(c, o); err != nil {
		t.Fatal(err)
	}
	if err := d.Restore(&snapshot, noon); err != nil {
		t.Fatal(err)
	}
	if v := d.Observe(relayDenied(9, noon, p)); len(v) > 0 {
		t.Errorf("after the restart: %v", v)
	}
	if v := d.Observe(relayDenied(10, noon.Add(time.Second), p)); len(v) != 1 {
		t.Errorf("another line: %v", v)
	}
}

// An offence that waits for its session and is sent again scores once when the
// session is known.
func TestDuplicateHeldForItsSession(t *testing.T) {
	p, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(DefaultConfig(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n, text := range []string{
		"6ANC00aa000100: <nobody@a.example>... User unknown",
		"6ANC00aa000100: <nobody@a.example>... User unknown",
		"6ANC00aa000100: from=<a@b.example>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=[198.51.100.1]",
	} {
		l := &Line{Number: uint64(n), Sender: "s", Received: noon, Time: noon, Stamp: StampFull, Host: "mx1", Tag: "sm-mta", PID: 100}
		p.Parse(text, &l.Record)
		d.Observe(l)
	}
	if s, ok := d.Source(netip.MustParseAddr("198.51.100.1"), noon); !ok || len(s.Offences) != 1 || s.Offences[0].Count != 1 {
		t.Errorf("%+v", s)
	}
	if len(d.duplicates) != 0 {
		t.Errorf("%d duplicates are still waited for", len(d.duplicates))
	}
}
