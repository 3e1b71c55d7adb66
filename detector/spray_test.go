package detector

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"uppercut/detector/sendmail"
)

// TestSprayOfMillions is the story of testdata/scenarios/spray.txtar at the size
// of the default configuration: five /64s for each source that it remembers.
func TestSprayOfMillions(t *testing.T) {
	const knocks = 5_000_000 / sprayShare
	c := DefaultConfig()
	c.MaxSources /= sprayShare
	b := &bench{t: t}
	d, err := New(c, Options{Local: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	b.d = d
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	say := func(at time.Time, pid int, text string) {
		l := Line{Number: uint64(b.lines), Sender: "192.0.2.1", Transport: "tcp", Received: at, Time: at, Stamp: StampFull, Host: "mx1", Tag: "sm-mta", PID: uint32(pid)}
		b.lines++
		parser.Parse(text, &l.Record)
		b.take(d.Observe(&l))
	}
	refused := func(at time.Time, pid int, client netip.Addr, reply string) {
		name := client.String()
		if client.Is6() {
			name = "IPv6:" + name
		}
		say(at, pid, fmt.Sprintf("ruleset=check_rcpt, arg1=<n@lab.example>, relay=[%s], reject=550 5.7.1 <n@lab.example>... %s", name, reply))
	}
	relay, guilty := mustAddr("203.0.113.5"), mustAddr("198.51.100.66")
	for i := range 30 {
		id := fmt.Sprintf("6ANC0%02d%07d", i, i+1)
		at := noon.Add(time.Duration(i-60) * time.Second)
		say(at, i+1, fmt.Sprintf("%s: from=<a@b>, size=23, class=0, nrcpts=1, proto=ESMTP, daemon=MTA, relay=[%s]", id, relay))
		say(at, i+1, id+": to=<u@lab.example>, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30023, dsn=2.0.0, stat=Sent")
	}
	if s, _ := d.Source(relay, noon); s.Accepted != 30 {
		t.Fatalf("accepted from the relay: %+v", s)
	}
	refused(noon.Add(-time.Second), 100, guilty, "Relaying denied")
	var space [16]byte
	binary.BigEndian.PutUint32(space[:], 0x20010db8)
	at := noon
	for i := range knocks {
		binary.BigEndian.PutUint32(space[4:], uint32(i))
		at = noon.Add(time.Duration(i) * 20 * time.Microsecond)
		refused(at, 200+i%4_000_000, netip.AddrFrom16(space), "User unknown")
	}
	refused(at, 101, guilty, "Relaying denied")
	for i := range 2 {
		refused(at, 102+i, relay, "Relaying denied")
	}
	if len(b.verdicts) != 1 || b.verdicts[0].Prefix.Addr() != guilty || !b.verdicts[0].At.Equal(at) {
		t.Errorf("verdicts: %+v; want %v, with its second line", b.verdicts, guilty)
	}
	if s, known := d.Source(relay, at); !known || s.Accepted != 30 {
		t.Errorf("the relay is forgotten: %+v", s)
	}
	if ipv4, ipv6 := d.Tracked(); ipv4+ipv6 != c.MaxSources {
		t.Errorf("%d sources, want %d", ipv4+ipv6, c.MaxSources)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d /64s, %d remembered, heap %d MB", knocks, c.MaxSources, m.HeapAlloc>>20)
	if m.HeapAlloc > 200<<20 {
		t.Errorf("heap %d MB", m.HeapAlloc>>20)
	}
	runtime.KeepAlive(d)
}
