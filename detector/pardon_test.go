package detector

import (
	"testing"
	"time"

	"uppercut/detector/offence"
)

// A pardoned source has no past, and nothing counts until the pardon ends.
func TestPardonEdge(t *testing.T) {
	until := noon.Add(10 * time.Minute)
	for after, counts := range map[time.Duration]bool{
		10*time.Minute - time.Nanosecond: false,
		10 * time.Minute:                 true,
	} {
		b := newBench(t, oneRule(time.Hour, time.Hour, 8))
		b.offend(noon, someone, offence.OpenProxy)
		b.d.Pardon(until, mustPrefix(someone+"/32"))
		if status, known := b.d.Source(mustAddr(someone), noon); known || !status.Pardoned {
			t.Errorf("%+v", status)
		}
		v := b.offend(noon.Add(after), someone, offence.OpenProxy)
		if got := len(v) == 1; got != counts {
			t.Errorf("after %v: blocked %v", after, got)
		}
		if counts && v[0].Until.Sub(v[0].At) != time.Hour {
			t.Errorf("the earlier block makes this one longer: %+v", v)
		}
	}
}

// A pardon of a network is one of every source in it, and one of an address is
// one of the prefix by which it is counted.
func TestPardonPrefixes(t *testing.T) {
	for pardon, want := range map[string][2]bool{ // who is pardoned
		"198.51.100.0/24":         {true, false},
		"198.51.100.1/32":         {true, false},
		"::ffff:198.51.100.1/128": {true, false},
		"2001:db8:1:2:3::/80":     {false, true},
		"2001:db8:1:2::9/128":     {false, true},
		"2001:db8::/32":           {false, true},
		"203.0.113.0/24":          {false, false},
	} {
		b := newBench(t, nil)
		b.offend(noon, someone, offence.DNSBL)
		b.offend(noon, "2001:db8:1:2::1", offence.DNSBL)
		p := mustPrefix("0.0.0.0/0")
		if err := p.UnmarshalText([]byte(pardon)); err != nil {
			t.Fatal(err)
		}
		b.d.Pardon(noon.Add(time.Hour), p)
		b.offend(noon.Add(time.Second), someone, offence.DNSBL)
		b.offend(noon.Add(time.Second), "2001:db8:1:2::ffff", offence.DNSBL)
		for i, addr := range []string{someone, "2001:db8:1:2::1"} {
			if _, known := b.d.Source(mustAddr(addr), noon); known == want[i] {
				t.Errorf("%s pardons %s: %v, want %v", pardon, addr, !known, want[i])
			}
		}
	}
}

// A block that was lifted leaves its source's past alone, and its neighbours'.
func TestLifted(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{{Name: "only", Window: time.Hour, Score: 8, Block: time.Hour}}
		c.Neighbourhood = Neighbourhood{Enabled: true, IPv4: 2, IPv6: 2, Block: 3 * time.Hour}
	})
	b.accept(noon, "198.51.100.9", 30)
	b.offend(noon, "198.51.100.1", offence.OpenProxy)
	b.offend(noon, "198.51.100.2", offence.OpenProxy)
	if got := network4Verdicts(b); len(got) != 1 {
		t.Fatalf("%v", got)
	}
	b.d.Lifted(mustPrefix("198.51.100.0/24"), mustPrefix("198.51.100.1/32"))
	if s, _ := b.d.Source(mustAddr("198.51.100.9"), noon.Add(time.Minute)); s.Accepted != 30 {
		t.Errorf("the neighbour's mail is forgotten: %+v", s)
	}
	if s, _ := b.d.Source(mustAddr("198.51.100.1"), noon); s.Blocks != 1 {
		t.Errorf("the source's past is forgotten: %+v", s)
	}
	at := noon.Add(time.Minute)
	if v := b.offend(at, "198.51.100.1", offence.OpenProxy); len(v) != 1 || v[0].Until.Sub(at) != 2*time.Hour {
		t.Errorf("%+v, want a longer block", v)
	}
	if v := b.offend(at, "198.51.100.2", offence.OpenProxy); len(v) != 0 {
		t.Errorf("%+v of a source whose block was not lifted", v)
	}
}

// A pardon takes a verdict out of the queue, and frees a blocked network.
func TestPardonEverywhere(t *testing.T) {
	b := newBench(t, lowCeiling(1, 1))
	b.offend(noon, "198.51.100.1", offence.RelayDenied)
	b.offend(noon, "198.51.100.2", offence.RelayDenied)
	b.d.Pardon(noon.Add(time.Minute), mustPrefix("198.51.100.2/32"))
	if b.tick(noon.Add(2 * time.Minute)); len(b.verdicts) != 1 || b.d.Waiting() != 0 {
		t.Errorf("%+v", b.verdicts)
	}
	if b.d.pardons.until.Size() != 0 {
		t.Errorf("the pardon is over, and remembered")
	}
}
