package lab

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestEveryTradeIsEnough(t *testing.T) {
	for _, trade := range trades(newNeighbourhoods()) {
		client := trade.client(0, Guilty)
		if !client.persist || len(client.sessions) != len(trade.hosts) {
			t.Errorf("%s: guilty clients must go on, at every host", trade.name)
		}
		if petty := trade.client(0, Petty); petty.persist || len(petty.sessions) != 1 {
			t.Errorf("%s: petty clients come once", trade.name)
		}
	}
}

// TestWeightsAreDocumented holds the lab's arithmetic against the page that
// users read.
func TestWeightsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/judging.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| points | reasons |")
	for reason, weight := range weights {
		found := false
		for line := range strings.SplitSeq(table, "\n") {
			found = found || strings.HasPrefix(line, "| "+trimFloat(weight)+" |") && strings.Contains(line, "`"+reason+"`")
		}
		if !found {
			t.Errorf("judging.md does not give %s %s points", reason, trimFloat(weight))
		}
	}
}

func trimFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func TestReport(t *testing.T) {
	now := time.Now()
	guilty := &Account{
		Client:   &Client{Addr: netip.MustParseAddr("198.18.0.1"), Kind: Guilty},
		Sessions: 2, Refusals: []Refusal{{"mx1", "pregreet", now}, {"mx2", "pregreet", now}},
	}
	honest := &Account{Client: &Client{Addr: netip.MustParseAddr("2001:db8:600d:1::25"), Kind: Honest}, Sessions: 3}
	report := &Report{
		Accounts: []*Account{guilty, honest},
		Blocked:  map[netip.Prefix]bool{netip.MustParsePrefix("198.18.0.1/32"): true},
		Latency:  map[*Account]time.Duration{guilty: 1500 * time.Microsecond},
		Took:     2 * time.Second,
	}
	var story strings.Builder
	report.Write(&story)
	for _, want := range []string{
		"guilty    1          0     2         2         1",
		"honest    1          1     3         0         0",
		"p50 1.5ms, p99 1.5ms, longest 1.5ms",
		"2 refusals in 2.0 s: pregreet 2",
	} {
		if !strings.Contains(story.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &story)
		}
	}
	if report.IsBlocked(honest.Addr) || !report.IsBlocked(guilty.Addr) {
		t.Error("the wrong one is blocked")
	}
	if guilty.Score() != 12 {
		t.Errorf("score %v, want 12", guilty.Score())
	}
}
