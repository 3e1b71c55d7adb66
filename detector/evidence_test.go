package detector

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// The ring gives back what is still in it, and never another line.
func TestRingModel(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	r := newRing(64 << 10)
	type kept struct {
		position, check uint32
		text            string
	}
	var all []kept
	for i := range 20_000 {
		k := kept{check: random.Uint32(), text: strings.Repeat(string(rune('a'+i%26)), random.IntN(300))}
		k.position = r.add(evidenceHeader{check: k.check, reason: offence.DNSBL}, k.text)
		all = append(all, k)
		known, bytes := 0, 0
		for j := len(all) - 1; j >= max(0, len(all)-400); j-- {
			h, text, ok := r.at(all[j].position, all[j].check)
			if !ok {
				break
			}
			if text != all[j].text || h.reason != offence.DNSBL {
				t.Fatalf("line %d gives %q, want %q", j, text, all[j].text)
			}
			known++
			bytes += len(text) + evidenceHeaderSize
		}
		if i > 1000 && known < 400 && bytes < 60<<10 {
			t.Fatalf("only %d lines of %d bytes are left of a ring of 64 KiB", known, bytes)
		}
	}
	if _, _, ok := r.at(all[0].position, all[0].check); ok {
		t.Error("the first line is still there")
	}
	if _, _, ok := r.at(0, 0); ok {
		t.Error("there is a line nowhere")
	}
}

// Positions have 32 bits; the ring goes on when they begin anew.
func TestRingGoesRound(t *testing.T) {
	r := newRing(64 << 10)
	r.head = 1<<32 - 50
	previous := uint32(0)
	for i := range 200 {
		position := r.add(evidenceHeader{previous: previous, check: 7}, "a line of text")
		if position == 0 {
			t.Fatalf("line %d is nowhere", i)
		}
		previous = position
	}
	n := 0
	for position := previous; ; n++ {
		h, _, ok := r.at(position, 7)
		if !ok {
			break
		}
		position = h.previous
	}
	if n != 200 {
		t.Errorf("%d of 200 lines are found", n)
	}
}

func TestRingCutsLongLines(t *testing.T) {
	r := newRing(64 << 10)
	position := r.add(evidenceHeader{check: 1}, strings.Repeat("x", 100_000))
	if _, text, ok := r.at(position, 1); !ok || len(text) != maxEvidenceText {
		t.Errorf("%d bytes, %v", len(text), ok)
	}
}

func TestTransports(t *testing.T) {
	for _, name := range []string{"udp", "tcp", "tls", "relp", "unix", "file"} {
		if got := transports[transportOf(name)]; got != name {
			t.Errorf("%s becomes %s", name, got)
		}
	}
	if got := transports[transportOf("carrier pigeon")]; got != "" {
		t.Errorf("an unknown transport becomes %s", got)
	}
}

// A position that belongs to another source gives no line.
func TestRingOfAnotherSource(t *testing.T) {
	r := newRing(64 << 10)
	position := r.add(evidenceHeader{check: 1}, "a line")
	if _, text, ok := r.at(position, 2); ok {
		t.Errorf("%q", text)
	}
}

// What a client said of itself in confidence leaves by no way: not with a
// verdict, not with an answer, not on disk; not from a line that was cut either.
func TestEvidenceIsMasked(t *testing.T) {
	b := newBench(t, oneRule(time.Hour, time.Hour, 4))
	for _, raw := range []string{
		"6ANC00aa000100: AUTH failure (PLAIN): user not found (-20) SASL(-13): user not found, user=confidant, relay=[198.51.100.1]",
		"6ANC00aa000101: ruleset=check_other, arg1=AUTH PLAIN Y29uZmlkYW50, relay=[198.51.100.1], reject=500 5.5.1 Command unrecognized",
		"6ANC00aa000102: AUTH failure (PLAIN): x" + strings.Repeat("y", maxEvidenceText-60) + ", user=confidant" + strings.Repeat("z", 100),
	} {
		b.feed(event{at: noon, addr: someone, Event: offence.Event{Reason: offence.BogusCmd, Raw: raw}})
	}
	status, ok := b.d.Source(mustAddr(someone), noon)
	if !ok || len(b.verdicts) == 0 || len(status.Evidence) == 0 {
		t.Fatalf("%v, %d verdicts, %d lines of evidence", ok, len(b.verdicts), len(status.Evidence))
	}
	told := fmt.Sprintf("%+v\n%+v\n%s", b.verdicts, status, snapshotBytes(t, b.d))
	for _, secret := range []string{"confidant", "Y29uZmlkYW50"} {
		if i := strings.Index(told, secret); i >= 0 {
			t.Errorf("told: %q", told[max(0, i-80):i+len(secret)])
		}
	}
	if !strings.Contains(told, "***") {
		t.Error("nothing is masked")
	}
}
