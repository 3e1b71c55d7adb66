package sendmail

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"uppercut/detector/offence"
)

// connects has a client of each of n hosts refused at connect, each time by a
// new process, once a second for the time of d and in no order.
func connects(m *Memory, n int, start time.Time, d time.Duration, pid uint32) {
	p, _ := NewParser(nil)
	var rec Record
	p.Parse("ruleset=check_relay, arg1=[198.51.100.9], arg2=127.0.0.2, relay=[198.51.100.9], reject=550 5.7.1 Access denied", &rec)
	random := rand.New(rand.NewPCG(1, 2))
	for second := range int(d / time.Second) {
		for _, host := range random.Perm(n) {
			m.Observe(Input{
				Time: start.Add(time.Duration(second) * time.Second), Host: HostKeyOf("a", fmt.Sprint("mx", host)),
				PID: pid + uint32(second), Record: &rec,
			}, nil)
		}
	}
}

// TestSessionsExpireAsFastAsTheyCome: however many hosts take turns, what is
// older than MaxAge goes.
func TestSessionsExpireAsFastAsTheyCome(t *testing.T) {
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for _, hosts := range []int{1, 5, 50} {
		m := NewMemory(MemoryOptions{MaxAge: time.Minute})
		connects(m, hosts, start, 10*time.Minute, 1000)
		if got, want := m.Stats().Sessions, 61*hosts; got > want {
			t.Errorf("%d hosts: %d sessions, want at most %d", hosts, got, want)
		}
	}
}

// TestOldProcessOfThatNumber: a PID comes again hours later, when a process of
// that number had been refused at connect, without a queue id.
func TestOldProcessOfThatNumber(t *testing.T) {
	start := time.Date(2026, 11, 23, 3, 10, 0, 0, time.UTC)
	m := NewMemory(MemoryOptions{})
	connects(m, 2, start, time.Second, 11892)
	p, _ := NewParser(nil)
	var rec Record
	p.Parse("6AN9mW4s011892: AUTH failure (PLAIN): user not found (-20) SASL(-13): user not found, user=sales, relay=[198.51.100.10]", &rec)
	events := m.Observe(Input{
		Line: 1, Time: start.Add(6*time.Hour + 38*time.Minute), Host: HostKeyOf("a", "mx1"), PID: 11892, Record: &rec,
	}, nil)
	events = m.Settle(1, events)
	if len(events) != 1 || events[0].Addr.String() != "198.51.100.10" {
		t.Errorf("events %+v, want one of 198.51.100.10", events)
	}
}

// TestQueuesAreAsManyAsHosts: a host without sessions costs nothing.
func TestQueuesAreAsManyAsHosts(t *testing.T) {
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryOptions{MaxSessions: 3})
	connects(m, 20, start, 2*time.Second, 1000)
	if m.sessions.count != 3 || len(m.sessions.byHost) > 3 {
		t.Errorf("%d sessions in %d queues, want 3 in 3 at most", m.sessions.count, len(m.sessions.byHost))
	}
	checkSessions(t, &m.sessions)
}

// TestLineMemoryMayBeUsedAgain: a caller may read the next line into the memory
// of the last. Then the name of the last host changes under its key.
func TestLineMemoryMayBeUsedAgain(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryOptions{})
	p, _ := NewParser(nil)
	buffer := []byte("mx1")
	observe := func(host, text string) []offence.Event {
		copy(buffer, host)
		var rec Record
		p.Parse(text, &rec)
		return m.Observe(Input{Time: now, Host: HostKeyOf("a", unsafe.String(&buffer[0], len(buffer))), PID: 7, Record: &rec}, nil)
	}
	observe("mx1", "6AN80000000007: <nosuch@lab.example>... User unknown")
	events := observe("mx2", "6AN80000000007: from=<x@y.example>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=[198.51.100.9]")
	if len(events) != 0 {
		t.Errorf("a line of mx2 names the client of mx1: %+v", events)
	}
}
