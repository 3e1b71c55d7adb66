package detector

import (
	"net/netip"
	"testing"
	"time"

	"uppercut/detector/offence"

	"github.com/prometheus/client_golang/prometheus"
)

// noon is when most tests begin.
var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// bench feeds a Detector with events, past the parser and the session memory.
type bench struct {
	t        testing.TB
	d        *Detector
	registry *prometheus.Registry
	lines    uint64
	verdicts []Verdict // all so far
}

func newBench(t testing.TB, change func(*Config, *Options)) *bench {
	t.Helper()
	c, o := DefaultConfig(), Options{Local: time.UTC}
	c.MaxSources = 10_000
	c.EvidenceBytes = 1 << 20
	b := &bench{t: t, registry: prometheus.NewPedanticRegistry()}
	o.Registerer = b.registry
	if change != nil {
		change(&c, &o)
	}
	d, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	b.d = d
	return b
}

// event is a sendmail.Event with what is around it. Zero fields get defaults.
type event struct {
	offence.Event
	at       time.Time // line time
	received time.Time // default: at
	addr     string
	host     string // default: mx1
	sender   string // default: 192.0.2.1
}

// feed judges one event and returns its verdicts.
func (b *bench) feed(e event) []Verdict {
	b.t.Helper()
	b.lines++
	if e.host == "" {
		e.host = "mx1"
	}
	if e.sender == "" {
		e.sender = "192.0.2.1"
	}
	if e.received.IsZero() {
		e.received = e.at
	}
	if e.Session == 0 {
		e.Session = b.lines
	}
	e.Count = max(1, e.Count)
	e.Time, e.Addr, e.Line = e.at, netip.MustParseAddr(e.addr), b.lines
	if e.Raw == "" {
		e.Raw = e.Reason.String() + " by " + e.addr
	}
	l := &Line{Number: b.lines, Sender: e.sender, Transport: "tcp", Received: e.received, Time: e.at, Stamp: StampFull, Host: e.host}
	l.Record.Addr, l.Record.Kind = e.Addr, offence.LineReject
	b.d.Ahead([]Line{*l})
	b.d.begin(l.Received)
	l.Digest()
	b.d.event(l, &e.Event, b.d.hosts.of(l), false)
	return b.take(b.d.verdicts)
}

func (b *bench) tick(now time.Time) []Verdict { return b.take(b.d.Tick(now)) }

func (b *bench) take(verdicts []Verdict) []Verdict {
	fresh := append([]Verdict(nil), verdicts...)
	b.verdicts = append(b.verdicts, fresh...)
	return fresh
}

// offend feeds an offence in a session of its own.
func (b *bench) offend(at time.Time, addr string, r offence.Reason) []Verdict {
	b.t.Helper()
	return b.feed(event{at: at, addr: addr, Event: offence.Event{Reason: r}})
}

// accept feeds n accepted messages, one a second from at.
func (b *bench) accept(at time.Time, addr string, n int) {
	b.t.Helper()
	for i := range n {
		b.feed(event{at: at.Add(time.Duration(i) * time.Second), addr: addr, Event: offence.Event{Kind: offence.Accepted}})
	}
}

// oneRule configures one rule and nothing that could get in its way.
func oneRule(window, block time.Duration, score float64) func(*Config, *Options) {
	return func(c *Config, _ *Options) {
		c.Rules = []Rule{{Name: "only", Window: window, Score: score, Block: block}}
	}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
