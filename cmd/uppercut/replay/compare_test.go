package replay

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uppercut/detector"
)

// judged is a report of nothing but blocks.
func judged(verdicts ...detector.Verdict) *report {
	r := newReport()
	r.block(verdicts)
	r.finish(inputTotals{lines: 1000}, time.Second)
	return r
}

func verdictAt(minute int, prefix, rule string, length time.Duration) detector.Verdict {
	at := reportStart.Add(time.Duration(minute) * time.Minute)
	return detector.Verdict{Prefix: netip.MustParsePrefix(prefix), At: at, Until: at.Add(length), Rule: rule}
}

func exampleComparison() *comparison {
	base := judged(
		verdictAt(1, "198.51.100.1/32", "burst", time.Hour),
		verdictAt(2, "198.51.100.2/32", "burst", time.Hour),
		verdictAt(3, "198.51.100.3/32", "burst", time.Hour),
		verdictAt(4, "198.51.100.4/32", "burst", 2*time.Hour),
	)
	other := judged(
		verdictAt(1, "198.51.100.1/32", "burst", time.Hour),
		verdictAt(2, "198.51.100.2/32", "burst", time.Hour),
		verdictAt(70, "198.51.100.2/32", "slow", 24*time.Hour),
		verdictAt(4, "198.51.100.4/32", "burst", time.Hour),
		verdictAt(9, "2001:db8::/64", "slow", time.Hour),
		verdictAt(8, "198.51.100.5/32", "slow", time.Hour),
	)
	return compare("base.yaml", base, "stricter.yaml", other)
}

func TestCompareText(t *testing.T) {
	var out strings.Builder
	if err := exampleComparison().writeText(&out, 2, time.UTC); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", out.String())
}

func TestCompareJSON(t *testing.T) {
	var out strings.Builder
	if err := exampleComparison().writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		More, Less []struct {
			Prefix string
			Base   struct{ Blocks int }
			Other  struct {
				Blocks  int
				Seconds float64
			}
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.More) != 3 || len(got.Less) != 2 {
		t.Fatalf("%+v", got)
	}
	if d := got.More[0]; d.Prefix != "198.51.100.2/32" || d.Base.Blocks != 1 || d.Other.Blocks != 2 || d.Other.Seconds != 25*3600 {
		t.Errorf("first of more: %+v", d)
	}
	if d := got.Less[1]; d.Prefix != "198.51.100.4/32" {
		t.Errorf("last of less: %+v", d)
	}
}

func TestCompareAlike(t *testing.T) {
	r := judged(verdictAt(1, "198.51.100.1/32", "burst", time.Hour))
	c := compare("a", r, "b", r)
	if len(c.more) != 0 || len(c.less) != 0 || c.equalBlocked != 1 {
		t.Errorf("%+v", c)
	}
}
