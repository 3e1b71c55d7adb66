package sendmail

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// simLine is a line of a made-up host, with the client whose it is.
type simLine struct {
	at   time.Time
	pid  uint32
	text string
	addr netip.Addr
}

// simulate makes up a host that has few PIDs, so that they come again every ten
// seconds or so, and sessions of every length and sort.
func simulate(r *rand.Rand, sessions int) []simLine {
	const firstPID, pids = 1000, 40
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	var lines []simLine
	free := [pids]time.Time{} // when each PID is free again
	for n := range sessions {
		now = now.Add(time.Duration(r.IntN(400)) * time.Millisecond)
		p := n % pids
		if free[p].After(now) {
			continue
		}
		client := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
		at := now
		id := idAt(now, "00", uint32(firstPID+p)) + ": "
		relay := fmt.Sprintf("h%d.example [%s]", n, client)
		say := func(text string) {
			lines = append(lines, simLine{at, uint32(firstPID + p), text, client})
			at = at.Add(time.Duration(r.ExpFloat64() * float64(2*time.Second)))
		}
		if r.IntN(3) == 0 {
			say("NOQUEUE: connect from " + relay)
		}
		for range r.IntN(5) {
			switch r.IntN(6) {
			case 0:
				say("STARTTLS=server, error: accept failed=-1, reason=x, SSL_error=1, errno=0, retry=-1, relay=h")
			case 1:
				say("STARTTLS=server, relay=" + relay + ", version=TLSv1.3, verify=NO, cipher=X, bits=256/256")
			case 2:
				say(id + relay + ": VRFY x")
			case 3:
				say(id + "AUTH failure (LOGIN): x (-13) y")
			default:
				say(id + "<n@lab.example>... User unknown")
			}
		}
		switch r.IntN(4) {
		case 0:
			say(id + relay + " did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA")
		case 1, 2:
			say(id + envelope("<a@b>", r.IntN(2), relay))
		}
		free[p] = at.Add((soon + 2) * time.Second)
	}
	slices.SortStableFunc(lines, func(a, b simLine) int { return a.at.Compare(b.at) })
	return lines
}

// Whatever is lost on the way, and however soon PIDs come again, no line is
// given to a client whose it is not.
func TestSimulatedHost(t *testing.T) {
	for seed := range uint64(20) {
		for _, loss := range []int{0, 10, 50} {
			r := rand.New(rand.NewPCG(seed, uint64(loss)))
			lines := simulate(r, 3000)
			d := newDialogue(t, MemoryOptions{})
			var given, offences int
			for i, l := range lines {
				if r.IntN(100) < loss {
					continue
				}
				var rec Record
				d.p.Parse(l.text, &rec)
				if rec.Reason != offence.ReasonNone {
					offences++
				}
				in := Input{Line: uint64(i), Time: l.at.Truncate(time.Second), Host: HostKeyOf("s", "h"), PID: l.pid, Record: &rec}
				for _, e := range d.m.Observe(in, nil) {
					if e.Addr != lines[e.Line].addr {
						t.Fatalf("seed %d, loss %d: line %d of %v given to %v: %s", seed, loss, e.Line, lines[e.Line].addr, e.Addr, lines[e.Line].text)
					}
					if e.Kind == offence.Offence {
						given++
					}
				}
			}
			if loss == 0 && given*10 < offences*6 {
				t.Errorf("seed %d: %d of %d offences given", seed, given, offences)
			}
		}
	}
}
