package exim

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// The corpus was written by real Exims of Debian 12 and 13 through rsyslog,
// attacked by deploy/lab/programs/exim.py, which knows whose each line is.
var (
	versions = []string{"4.96", "4.98"}
	formats  = []string{"traditional", "iso", "rfc5424"}
)

type truth struct {
	Line  int        `json:"n"`
	Addr  netip.Addr `json:"ip"`
	Class string     `json:"cls"`
	May   string     `json:"may"` // miss: the client's own text gives it a second reading
}

func eachLine(t testing.TB, name string, each func(n int, line string)) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "corpus", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(z)
	for n := 1; sc.Scan(); n++ {
		each(n, sc.Text())
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
}

func readTruth(t testing.TB, version string) map[int]truth {
	t.Helper()
	all := make(map[int]truth)
	eachLine(t, version+".truth.jsonl", func(_ int, line string) {
		var tr truth
		if err := json.Unmarshal([]byte(line), &tr); err != nil {
			t.Fatal(err)
		}
		all[tr.Line] = tr
	})
	return all
}

// texts are the lines of a log without their headers.
func texts(t testing.TB, version, format string) (all []string) {
	t.Helper()
	eachLine(t, version+"."+format+".log", func(n int, line string) {
		_, text, ok := strings.Cut(line, " exim")
		if ok && format == "rfc5424" {
			_, text, ok = strings.Cut(text, " - -  ")
		} else if ok {
			_, text, ok = strings.Cut(text, "]: ")
		}
		if !ok {
			t.Fatalf("%s %s: line %d has no tag: %s", version, format, n, line)
		}
		all = append(all, text)
	})
	return all
}

// TestCorpus: all offences are given to the right address and reason, none to a
// wrong one; those that have two readings may be missed.
func TestCorpus(t *testing.T) {
	for _, version := range versions {
		want := readTruth(t, version)
		for _, format := range formats {
			right, missed, table := 0, 0, map[string]int{}
			for i, text := range texts(t, version, format) {
				var rec offence.Record
				Program{}.Parse(text, &rec)
				tr, known := want[i+1]
				class := rec.Reason.String()
				switch {
				case rec.Reason == offence.ReasonNone && (!known || tr.Class == "none"):
					if rec.Kind == offence.LineFrom && rec.Addr != tr.Addr {
						t.Errorf("%s %s: mail of %v, want %v: %s", version, format, rec.Addr, tr.Addr, text)
					}
				case rec.Reason == offence.ReasonNone && tr.May == "miss":
					missed++
				case !known || class != tr.Class || rec.Addr != tr.Addr:
					t.Errorf("%s %s: %s of %v, want %s of %v: %s", version, format, class, rec.Addr, tr.Class, tr.Addr, text)
				default:
					right++
					table[class]++
				}
			}
			if right < 300 {
				t.Errorf("%s %s: %d offences", version, format, right)
			}
			if format == "traditional" {
				t.Logf("%s: %d right, %d of two readings missed, %v", version, right, missed, table)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	all := append(texts(b, "4.96", "traditional"), texts(b, "4.98", "traditional")...)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		var rec offence.Record
		Program{}.Parse(all[i], &rec)
		if i++; i == len(all) {
			i = 0
		}
	}
}

// TestNoAllocation: reading keeps nothing.
func TestNoAllocation(t *testing.T) {
	all := texts(t, "4.98", "traditional")
	var rec offence.Record
	if n := testing.AllocsPerRun(3, func() {
		for _, text := range all {
			rec = offence.Record{}
			Program{}.Parse(text, &rec)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
