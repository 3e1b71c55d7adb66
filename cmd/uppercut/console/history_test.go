package console

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/enforcer/statedir"
)

func TestHistoryCountsWhatTheCountersGrowBy(t *testing.T) {
	reg := prometheus.NewRegistry()
	rejections := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uppercut_rejections_total", Help: "x"}, []string{"host", "reason"})
	reg.MustRegister(rejections)
	add := func(host, reason string, n float64) { rejections.WithLabelValues(host, reason).Add(n) }
	h := newHistory()
	sample := func(at time.Time) {
		if err := h.sample(at, reg); err != nil {
			t.Fatal(err)
		}
	}
	add("mx1", "dnsbl", 1000) // before the first look: of no known time
	sample(noon)
	add("mx1", "dnsbl", 5)
	add("mx2", "dnsbl", 2)
	add("mx2", "no_rdns", 1) // a series that is new counts from 0
	sample(noon.Add(time.Minute))
	add("mx1", "dnsbl", 3)
	sample(noon.Add(slotWidth))
	got := h.trends(rejectionsByReason, noon.Add(slotWidth))
	if len(got) != 2 || got[0].Name != "dnsbl" || got[0].Total != 10 || got[1].Name != "no_rdns" || got[1].Total != 1 {
		t.Fatalf("by reason: %+v", got)
	}
	if last := got[0].counts[slots-2:]; last[0] != 7 || last[1] != 3 {
		t.Errorf("dnsbl in the last two slots: %v, want 7 and 3", last)
	}
	want := []TopItem{{Name: "mx1", Count: 8}, {Name: "mx2", Count: 3}}
	hosts := h.trends(rejectionsByHost, noon.Add(slotWidth))
	if diff := cmp.Diff(want, []TopItem{{Name: hosts[0].Name, Count: hosts[0].Total}, {Name: hosts[1].Name, Count: hosts[1].Total}}); diff != "" {
		t.Errorf("by host (-want +got):\n%s", diff)
	}
}

func TestHistoryForgetsAfterSixHours(t *testing.T) {
	h := newHistory()
	h.blocked(Event{Time: noon, Rule: "burst", Reason: "dnsbl", Host: "mx1"})
	last := noon.Add(slots*slotWidth - time.Nanosecond)
	if got := h.trends(blocksByRule, last); len(got) != 1 || got[0].counts[0] != 1 {
		t.Errorf("one nanosecond before six hours: %+v", got)
	}
	if got := h.trends(blocksByRule, last.Add(time.Nanosecond)); len(got) != 0 {
		t.Errorf("after six hours: %+v", got)
	}
	h.blocked(Event{Time: noon.Add(slots * slotWidth), Rule: "steady"})
	h.blocked(Event{Time: noon, Rule: "late"}) // its slot has moved on
	got := h.trends(blocksByRule, noon.Add(slots*slotWidth))
	if len(got) != 1 || got[0].Name != "steady" || got[0].Total != 1 {
		t.Errorf("after the ring has come round: %+v", got)
	}
	if by := h.trends(blocksByReason, noon.Add(slots*slotWidth)); by[0].Name != "manual" {
		t.Errorf("a block without a reason is %q, want manual", by[0].Name)
	}
}

// TestPace: the last minutes begin two slots before the one that runs.
func TestPace(t *testing.T) {
	reg := prometheus.NewRegistry()
	rejections := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uppercut_rejections_total", Help: "x"}, []string{"host", "reason"})
	reg.MustRegister(rejections)
	h := newHistory()
	reject := func(at time.Time, n float64) {
		rejections.WithLabelValues("mx1", "dnsbl").Add(n)
		if err := h.sample(at, reg); err != nil {
			t.Fatal(err)
		}
	}
	check := func(at time.Time, want Pace) {
		t.Helper()
		if diff := cmp.Diff(want, h.pace(at)); diff != "" {
			t.Errorf("%v after the start (-want +got):\n%s", at.Sub(noon), diff)
		}
	}
	check(noon, Pace{})
	reject(noon.Add(time.Minute), 1000) // of no known time
	check(noon.Add(time.Minute), Pace{})
	reject(noon.Add(2*time.Minute), 30)
	h.blocked(Event{Time: noon.Add(2 * time.Minute)})
	check(noon.Add(3*time.Minute), Pace{Recent: Duration(2 * time.Minute), Rejections: Rate{Recent: 15}, Blocks: Rate{Recent: 0.5}})
	reject(noon.Add(56*time.Minute), 500)
	reject(noon.Add(61*time.Minute), 100)
	check(noon.Add(61*time.Minute), Pace{
		Recent: Duration(5 * time.Minute), Before: Duration(55 * time.Minute),
		Rejections: Rate{Recent: 120, Before: 30. / 55}, Blocks: Rate{Before: 1. / 55},
	})
	end := noon.Add(slots * slotWidth)
	check(end.Add(time.Minute), Pace{
		Recent: Duration(5 * time.Minute), Before: Duration((slots - 3) * slotWidth),
		Rejections: Rate{Before: 630. / 354}, Blocks: Rate{Before: 1. / 354},
	})
	check(end.Add(3*time.Minute), Pace{
		Recent: Duration(5 * time.Minute), Before: Duration((slots - 3) * slotWidth), Rejections: Rate{Before: 600. / 354},
	})
}

func TestFeedKeepsTheLast(t *testing.T) {
	f := newFeed()
	if got := f.latest(10); len(got) != 0 {
		t.Errorf("an empty feed: %v", got)
	}
	for i := range feedSize + 7 {
		f.add(Event{Text: fmt.Sprint(i)})
	}
	if got := f.latest(2); len(got) != 2 || got[0].Text != "56" || got[1].Text != "55" {
		t.Errorf("latest: %v", got)
	}
	if got := f.latest(1000); len(got) != feedSize || got[feedSize-1].Text != "7" {
		t.Errorf("all: %d, oldest %v", len(got), got[len(got)-1])
	}
}

func TestChartStacksAndFolds(t *testing.T) {
	var ts []trend
	for i := range maxBands + 3 {
		counts := make([]uint64, slots)
		counts[10] = uint64(100 - i)
		ts = append(ts, trend{Name: fmt.Sprintf("r%d", i), Total: counts[10], counts: counts})
	}
	c := newChart("Rejections", ts, noon)
	if len(c.Bands) != maxBands+1 || c.Bands[maxBands].Name != "3 others" || c.Bands[maxBands].Total != 94+93+92 {
		t.Fatalf("bands: %+v", c.Bands)
	}
	if c.Total != 864 || c.Top != "500/min" {
		t.Errorf("total %d, top %s; want 864 and 500/min", c.Total, c.Top)
	}
	if want := "M10 120V108h1V120z"; c.Bands[0].Path != want {
		t.Errorf("first band: %s, want %s", c.Bands[0].Path, want)
	}
	if want := "M10 108V96.12h1V108z"; c.Bands[1].Path != want {
		t.Errorf("second band stands on the first: %s, want %s", c.Bands[1].Path, want)
	}
	if len(c.Slots) != 1 || !strings.HasSuffix(c.Slots[0].Text, ": 864") {
		t.Errorf("notes: %+v", c.Slots)
	}
	if len(c.Hours) != 7 || c.Hours[6] != "now" {
		t.Errorf("hours: %v", c.Hours)
	}
	if empty := newChart("Blocks", nil, noon); empty.Total != 0 || len(empty.Bands) != 0 {
		t.Errorf("empty: %+v", empty)
	}
}

func TestNiceTop(t *testing.T) {
	for n, want := range map[uint64]uint64{1: 2, 2: 2, 3: 4, 5: 10, 11: 20, 864: 1000, 1001: 2000} {
		if got, _ := niceTop(n, slotWidth); got != want {
			t.Errorf("niceTop(%d) = %d, want %d", n, got, want)
		}
	}
	for width, want := range map[time.Duration]string{slotWidth: "1,000/min", 10 * time.Minute: "200/min", time.Hour: "2,000/h", 4 * time.Hour: "500/h"} {
		if _, label := niceTop(1500, width); label != want {
			t.Errorf("of slots of %v the axis says %s, want %s", width, label, want)
		}
	}
}

// The history of 30 days outlives a restart, and each span shows its part.
func TestHistoryOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), historyFile)
	h := newHistory()
	for _, ago := range []time.Duration{0, 30 * time.Minute, 3 * time.Hour, 20 * time.Hour, 6 * 24 * time.Hour, 29 * 24 * time.Hour} {
		h.blocked(Event{Time: noon.Add(-ago), Rule: "burst", Reason: "dnsbl", Host: "mx1"})
	}
	h.from = noon.Add(-29 * 24 * time.Hour)
	if err := h.save(path); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(10 * time.Minute)
	h = newHistory()
	if err := h.load(path, later); err != nil {
		t.Fatal(err)
	}
	h.blocked(Event{Time: later, Rule: "burst", Reason: "dnsbl", Host: "mx1"})
	for name, want := range map[string]uint64{"1h": 3, "6h": 4, "24h": 5, "7d": 6, "30d": 7} {
		for _, m := range []measure{blocksByRule, blocksByReason, blocksByHost} {
			if got := h.trendsOver(spanOf(name), m, later); len(got) != 1 || got[0].Total != want {
				t.Errorf("in %s: %+v, want %d", name, got, want)
			}
		}
	}
	if in := h.covers(spanOf("7d"), later); in != "in 7 days" {
		t.Errorf("it covers %s", in)
	}
	if in := h.covers(spanOf("30d"), later); in != "since "+clock(later, h.from) || in == "since never" {
		t.Errorf("it covers %s, counted since %s", in, h.from)
	}
	if in := newHistory().covers(spanOf("1h"), later); in != "since the start" {
		t.Errorf("a new one covers %s", in)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 10_000 {
		t.Errorf("%v, %v", info, err)
	}
}

// Links in the state directory are not followed, neither to write nor to read.
func TestHistoryFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, historyFile), filepath.Join(dir, "victim")
	for _, link := range []string{path, path + ".new"} {
		if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink(victim, link)); err != nil {
			t.Fatal(err)
		}
		if err := newHistory().load(link, noon); !errors.Is(err, statedir.ErrLink) {
			t.Errorf("load of %s: %v", link, err)
		}
		if err := newHistory().save(path); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
			t.Errorf("%s was followed: %q, %v", link, text, err)
		}
		if err := newHistory().load(path, noon); err != nil {
			t.Error(err)
		}
	}
}

// A file that is none leaves an empty history, and no panic.
func TestDamagedHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), historyFile)
	h := newHistory()
	h.blocked(Event{Time: noon, Rule: "burst"})
	if err := h.save(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for length := range whole {
		if err := os.WriteFile(path, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		h = newHistory()
		if err := h.load(path, noon); err == nil {
			t.Fatalf("%d of %d bytes are taken for a history", length, len(whole))
		}
	}
	h = newHistory()
	if err := h.load(path+".none", noon); err != nil {
		t.Error(err)
	}
	h.restore(savedHistory{Names: []string{"a"}, Rings: []savedRing{{slotWidth, []savedSlot{
		{noon.Add(time.Hour).Unix(), []savedCount{{0, 0, 1}}}, {noon.Unix(), []savedCount{{99, 0, 1}, {0, 7, 1}}},
	}}, {time.Second, nil}}}, noon)
	if got := h.trends(rejectionsByReason, noon); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestScoreChart(t *testing.T) {
	rule := RuleScore{Rule: "burst", Window: Duration(10 * time.Minute), Score: 8, Limit: 10, Course: []ScorePoint{
		{noon.Add(-10 * time.Minute), 0}, {noon.Add(-5 * time.Minute), 3}, {noon.Add(-150 * time.Second), 8}, {noon, 8},
	}}
	c := newScoreChart(rule, noon.Add(-5*time.Minute), noon)
	if want := "M0 120H0V120H300V88.696H450V36.522H600V36.522H600"; c.Line != want {
		t.Errorf("line: %s, want %s", c.Line, want)
	}
	if !strings.HasSuffix(c.Area, "V120H0z") || c.Percent() != 80 || c.BlockX != 300 {
		t.Errorf("area %s, %d %%, blocked at %v", c.Area, c.Percent(), c.BlockX)
	}
	at := noon.Add(-5 * time.Minute).Local().Format("15:04:05")
	if want := (scoreStep{300, 150, at + ": 3"}); len(c.Steps) != 4 || c.Steps[1] != want {
		t.Errorf("steps %+v, want %+v second", c.Steps, want)
	}
	if old := newScoreChart(rule, noon.Add(-time.Hour), noon); old.BlockX != 0 {
		t.Errorf("a block before the window is drawn at %v", old.BlockX)
	}
	if none := newScoreChart(RuleScore{}, time.Time{}, noon); none.Line != "" || none.Percent() != 0 {
		t.Errorf("a rule without limit: %+v", none)
	}
}

func TestTopByReasonAndHost(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: newFake()})
	s := c.history.at(time.Now())
	s.add(rejectionsByReason, "dnsbl", 7)
	s.add(rejectionsByReason, "no_rdns", 9)
	s.add(rejectionsByHost, "mx1", 16)
	for by, want := range map[string]TopItem{"reason": {Name: "no_rdns", Count: 9}, "host": {Name: "mx1", Count: 16}} {
		top, err := c.topBy(t.Context(), by, 1)
		if err != nil || len(top.Items) != 1 || top.Items[0] != want {
			t.Errorf("top by %s: %+v, %v; want %+v", by, top, err, want)
		}
	}
}

func TestPublishNeverWaits(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: newFake()})
	for range 10 * feedSize {
		c.Publish(Event{Time: time.Now(), Kind: EventBlock, Rule: "burst", Prefix: netip.MustParsePrefix("192.0.2.1/32")})
	}
	if got := c.history.trends(blocksByRule, time.Now()); len(got) != 1 || got[0].Total != 10*feedSize {
		t.Errorf("history: %+v", got)
	}
}

// A name keeps its colour when another one overtakes it, and the rest has its own.
func TestColoursStay(t *testing.T) {
	of := func(names ...string) map[string]int {
		bands := make([]trend, len(names))
		for i, name := range names {
			bands[i].Name = name
		}
		colours := map[string]int{}
		for i, c := range colourBands(bands, false) {
			colours[names[i]] = c
		}
		return colours
	}
	if a, b := of("burst", "manual", "steady"), of("steady", "burst", "manual"); !maps.Equal(a, b) {
		t.Errorf("another order: %v, then %v", a, b)
	}
	all := of("burst", "steady", "manual", "neighbourhood", "blocklist")
	for name, colour := range all {
		if alone := of(name)[name]; alone != colour {
			t.Errorf("%s: %d alone, %d beside the others", name, alone, colour)
		}
	}
	seven := colourBands([]trend{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}, {Name: "f"}, {Name: "9 others"}}, true)
	slices.Sort(seven[:maxBands])
	if !slices.Equal(seven, []int{0, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("seven bands: colours %v", seven)
	}
}
