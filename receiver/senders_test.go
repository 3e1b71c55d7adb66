package receiver

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"uppercut/receiver/header"
)

func TestSequenceGaps(t *testing.T) {
	f := newFleet(newHosts(t), nil, time.Now())
	from := &origin{sender: "192.0.2.1", transport: TCP}
	send := func(ids ...uint32) (lost uint64) {
		var batch []Message
		for _, id := range ids {
			batch = append(batch, Message{Header: header.Header{SequenceID: id}, Received: time.Now()})
		}
		return f.observe(from, batch)
	}
	for _, step := range []struct {
		name string
		ids  []uint32
		lost uint64
	}{
		{"the first number says nothing", []uint32{40}, 0},
		{"one after the other", []uint32{41, 42, 43}, 0},
		{"two are missing", []uint32{46}, 2},
		{"messages without a number", []uint32{0, 0, 47}, 0},
		{"sent again", []uint32{45, 46, 47}, 0},
		{"started anew", []uint32{1, 2}, 0},
		{"two gaps", []uint32{4, 6}, 2},
		{"a jump that is no loss", []uint32{6 + maxGap + 1}, 0},
	} {
		if lost := send(step.ids...); lost != step.lost {
			t.Errorf("%s: %d lost, want %d", step.name, lost, step.lost)
		}
	}
	send(100)
	f.part(from)
	from = &origin{sender: "192.0.2.1", transport: TCP}
	f.greet(from)
	if lost := send(103); lost != 2 {
		t.Errorf("%d lost between two connections, want 2", lost)
	}
	if got := f.status(time.Now())[0].Lost; got != 6 {
		t.Errorf("%d lost in all, want 6", got)
	}
}

func TestFleetStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := []HostConfig{{Name: "mx1", Silence: 10 * time.Minute}, {Name: "mx2"}}
		f := newFleet(newHosts(t, hosts...), hosts, time.Now())
		from := &origin{sender: "192.0.2.1", host: "mx1", transport: UDP}
		for range 120 {
			now := time.Now()
			f.observe(from, []Message{{Received: now, Header: header.Header{Stamp: header.StampFull, Time: now.Add(-3 * time.Second)}}})
			<-time.After(time.Second)
		}
		f.refused(from, "header")
		status := f.status(time.Now())
		mx1, mx2 := status[0], status[1]
		if mx1.Sender != "192.0.2.1" || mx1.Host != "mx1" || !mx1.Expected || mx1.Silent || mx1.Messages != 120 || mx1.Refused != 1 {
			t.Errorf("%+v", mx1)
		}
		if mx1.Rate < 0.9 || mx1.Rate > 1.1 || mx1.Lag != 3*time.Second {
			t.Errorf("rate %v, lag %v", mx1.Rate, mx1.Lag)
		}
		if mx2.Sender != "" || mx2.Host != "mx2" || !mx2.Expected || mx2.Silent || !mx2.LastMessage.IsZero() {
			t.Errorf("%+v", mx2)
		}
		last := mx1.LastMessage
		at := func(d time.Duration) bool { return f.status(last.Add(d))[0].Silent }
		if at(10*time.Minute) || !at(10*time.Minute+1) {
			t.Error("mx1 falls silent at another time than after 10 minutes")
		}
		if s := f.status(f.started.Add(time.Hour + 1)); !s[1].Silent {
			t.Error("mx2 never reported, and is not silent after an hour")
		}
	})
}

// TestRelay: one sender speaks for many hosts, each of which counts by itself.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := []HostConfig{{Name: "mx1", Silence: time.Minute}, {Name: "mx2", Silence: time.Minute}, {Name: "mx4"}}
		f := newFleet(newHosts(t, hosts...), hosts, time.Now())
		relay, other := &origin{sender: "192.0.2.1", transport: TCP}, &origin{sender: "192.0.2.2", transport: TCP}
		now := time.Now()
		from := func(host string, lag time.Duration) Message {
			return Message{Received: time.Now(), Header: header.Header{Host: host, Stamp: header.StampFull, Time: time.Now().Add(-lag)}}
		}
		f.observe(relay, []Message{from("mx1", time.Second), from("mx2", time.Hour), from("mx1", 2*time.Second), from("mx3", 0)})
		<-time.After(time.Minute + 1)
		f.observe(other, []Message{from("mx1", 0)})
		want := []SenderStatus{
			{
				Sender: "192.0.2.1", Host: "mx1", Transport: TCP, Expected: true, LastMessage: now, Messages: 2,
				Lag: 2 * time.Second,
			},
			{Sender: "192.0.2.2", Host: "mx1", Transport: TCP, Expected: true, LastMessage: time.Now(), Messages: 1},
			{
				Sender: "192.0.2.1", Host: "mx2", Transport: TCP, Expected: true, Silent: true, LastMessage: now, Messages: 1,
				Lag: time.Hour,
			},
			{Sender: "192.0.2.1", Host: "mx3", Transport: TCP, LastMessage: now, Messages: 1},
			{Host: "mx4", Expected: true},
		}
		if diff := cmp.Diff(want, f.status(time.Now()), cmpopts.IgnoreFields(SenderStatus{}, "Rate")); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
}

// TestVoicesAreBounded: who forges senders and names gets no more memory than
// maxVoices and one for each sender.
func TestVoicesAreBounded(t *testing.T) {
	f := newFleet(newHosts(t), nil, time.Now())
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxVoices / 100 {
		addr = addr.Next()
		var batch []Message
		for n := range 200 {
			batch = append(batch, claiming(fmt.Sprintf("host%d", n)))
		}
		f.observe(&origin{sender: addr.String()}, batch)
	}
	voices := 0
	for _, s := range f.senders {
		voices += len(s.voices)
	}
	if voices != f.voices || voices > maxVoices+len(f.senders) {
		t.Errorf("%d voices of %d senders, counted %d", voices, len(f.senders), f.voices)
	}
	for range maxSenders {
		addr = addr.Next()
		f.observe(&origin{sender: addr.String()}, []Message{claiming("mx1")})
	}
	if f.voices != maxSenders {
		t.Errorf("%d voices are left of %d senders of one name", f.voices, maxSenders)
	}
}

// TestSenderGetsAName: from then on it has no other.
func TestSenderGetsAName(t *testing.T) {
	f := newFleet(newHosts(t), nil, time.Now())
	for _, host := range []string{"", "", "mail1"} {
		f.observe(&origin{sender: "192.0.2.1", host: host}, []Message{claiming("mx1"), claiming("mx2")})
	}
	if all := f.status(time.Now()); len(all) != 1 || all[0].Host != "mail1" || all[0].Messages != 2 || f.voices != 1 {
		t.Errorf("%+v, %d voices", all, f.voices)
	}
}

func TestHostsAreBounded(t *testing.T) {
	f := newFleet(newHosts(t, HostConfig{Name: "mx1"}), nil, time.Now())
	from := &origin{sender: "192.0.2.1"}
	claims := []string{"192.0.2.9", "2001:db8::1", "a\xffb", "a b", "", "other"}
	for i := range 2 * maxHosts {
		claims = append(claims, fmt.Sprintf("invented-%d.example", i))
	}
	for _, claim := range append(claims, "mx1") {
		f.observe(from, []Message{claiming(claim)})
	}
	if len(f.hosts) > maxHosts+2 {
		t.Errorf("%d host labels", len(f.hosts))
	}
	if f.hosts["mx1"] == nil || f.hosts[otherHost].messages < uint64(maxHosts) {
		t.Errorf("mx1 %+v, other %+v", f.hosts["mx1"], f.hosts[otherHost])
	}
	for name := range f.hosts {
		if _, err := netip.ParseAddr(name); err == nil || !isHostName(name) {
			t.Errorf("label %q", name)
		}
	}
}

func TestFleetIsBounded(t *testing.T) {
	f := newFleet(newHosts(t), nil, time.Now())
	addr := netip.MustParseAddr("10.0.0.0")
	start := time.Now()
	for i := range maxSenders + 10 {
		addr = addr.Next()
		f.observe(&origin{sender: addr.String()}, []Message{{Received: start.Add(time.Duration(i))}})
	}
	if len(f.senders) != maxSenders || f.senders["10.0.0.1"] != nil || f.senders[addr.String()] == nil {
		t.Errorf("%d senders are kept, or not the newest", len(f.senders))
	}
}

// claiming returns a message of now that names a host.
func claiming(host string) Message {
	return Message{Received: time.Now(), Header: header.Header{Host: host}}
}
