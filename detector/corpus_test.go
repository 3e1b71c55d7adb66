package detector

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/detector/sendmail"
)

// The corpora were written by a real sendmail under scripted clients, and we
// know what each of them meant to do.

// replayCorpus returns the verdicts on a corpus by source.
func replayCorpus(t *testing.T, name string, c Config) map[netip.Prefix]Verdict {
	t.Helper()
	d, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	parser, err := sendmail.NewParser(c.Texts)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join("sendmail", "testdata", "corpus", name+".iso.log.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[netip.Prefix]Verdict{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for n := uint64(1); lines.Scan(); n++ {
		l := Line{}
		parseLine(t, parser, lines.Text(), &l)
		l.Number, l.Sender = n, name
		for _, v := range d.Observe(&l) {
			verdicts[v.Prefix] = v
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return verdicts
}

// intents reads what each client meant to do.
func intents(t *testing.T, name string) map[netip.Addr]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "corpus", name+".verdicts"))
	if err != nil {
		t.Fatal(err)
	}
	meant := map[netip.Addr]string{}
	for line := range strings.Lines(string(text)) {
		addr, intent, _ := strings.Cut(strings.TrimSpace(line), " ")
		if addr != "#" {
			meant[netip.MustParseAddr(addr)] = intent
		}
	}
	return meant
}

// share returns which part of the abusive clients is blocked, and who of the
// honest is.
func share(t *testing.T, name string, c Config) (blocked float64, innocent []string) {
	t.Helper()
	verdicts := replayCorpus(t, name, c)
	guilty, caught := 0, 0
	for addr, intent := range intents(t, name) {
		v, hit := verdicts[sourcePrefix(addr, c.IPv6Prefix)]
		switch {
		case intent == "legit" && hit:
			innocent = append(innocent, fmt.Sprintf("%s by %s with %v points", addr, v.Rule, v.Score))
		case intent == "abuse":
			guilty++
			if hit {
				caught++
			}
		}
	}
	return float64(caught) / float64(guilty), innocent
}

func TestCorpora(t *testing.T) {
	for _, name := range []string{"real", "soup"} {
		t.Run(name, func(t *testing.T) {
			usual, innocent := share(t, name, DefaultConfig())
			if len(innocent) > 0 {
				t.Errorf("honest clients are blocked: %v", innocent)
			}
			strict := DefaultConfig()
			strict.Rules[0].Score = 5
			stricter, _ := share(t, name, strict)
			t.Logf("of the abusive clients %.1f %% are blocked, by a burst of 5 instead of 10 points %.1f %%", 100*usual, 100*stricter)
			if stricter <= usual || usual == 0 {
				t.Errorf("a stricter rule blocks %.3f of the abusive clients, the default %.3f", stricter, usual)
			}
		})
	}
}

// Nobody whom an injection tries to accuse is blocked, whatever the rules.
func TestCorporaVictims(t *testing.T) {
	c := DefaultConfig()
	c.Rules = []Rule{{Name: "any", Window: c.Rules[0].Window, Score: 1, Block: c.Rules[0].Block}}
	victims := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:dead::/48"), netip.MustParsePrefix("2001:db8:feed::/48"),
	}
	for _, name := range []string{"real", "soup"} {
		for source := range replayCorpus(t, name, c) {
			for _, victim := range victims {
				if victim.Overlaps(source) {
					t.Errorf("%s: %v is blocked", name, source)
				}
			}
		}
	}
}
