package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scripted is a contestant that shows these figures, one a round.
func scripted(name string, figures ...float64) contestant {
	round := 0
	return contestant{name: name, run: func(context.Context) ([]measure, error) {
		round++
		return []measure{{"lines/s", figures[round-1], 0}, {"seconds", 1 / figures[round-1], 2}}, nil
	}}
}

func TestTable(t *testing.T) {
	absent := scripted("their way", 1)
	absent.needs = "no-such-program-anywhere"
	c := &contest{name: "replay", title: "A log", contestants: []contestant{
		scripted("uppercut", 1000, 3000, 2_000_000), scripted("grep", 4000, 3000, 1_000_000), absent,
	}}
	outcomes, err := c.play(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printTable(&out, c, outcomes)
	want := `
### A log

| | lines/s | range | × uppercut | seconds |
|---|---:|---:|---:|---:|
| uppercut | 3,000 | 1,000 to 2,000,000 | 1 | 0.00 |
| grep | 4,000 | 3,000 to 1,000,000 | 1 | 0.00 |
| their way | skipped: no-such-program-anywhere is not installed | | | |
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestRatiosAreOfTheSameRound: a machine that is slow for a while is slow for
// both.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	c := &contest{contestants: []contestant{scripted("uppercut", 10, 100, 1000), scripted("half", 5, 50, 500)}}
	outcomes, err := c.play(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := outcomes[1].ratio(&outcomes[0]); !ok || r != 0.5 {
		t.Errorf("ratio %v, %v", r, ok)
	}
}

func TestContestantsTakeTurns(t *testing.T) {
	var order []string
	turn := func(name string) contestant {
		return contestant{name: name, run: func(context.Context) ([]measure, error) {
			order = append(order, name)
			return []measure{{"x", 1, 0}}, nil
		}}
	}
	c := &contest{limit: 2, contestants: []contestant{turn("a"), turn("b")}}
	if _, err := c.play(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abab" {
		t.Errorf("order %q, want a limit of two rounds in turns", got)
	}
}

func TestAFailureNamesWhoFailed(t *testing.T) {
	c := &contest{name: "tcp", contestants: []contestant{{name: "rsyslogd", run: func(context.Context) ([]measure, error) {
		return nil, errors.New("no such module")
	}}}}
	_, err := c.play(t.Context(), 1)
	complain(t, err, "tcp: rsyslogd: no such module")
}

func TestNumber(t *testing.T) {
	for _, test := range []struct {
		value  float64
		digits int
		want   string
	}{{0, 0, "0"}, {999, 0, "999"}, {1000, 0, "1,000"}, {1234567.891, 2, "1,234,567.89"}, {-1000, 0, "-1,000"}, {12.5, 1, "12.5"}} {
		if got := number(test.value, test.digits); got != test.want {
			t.Errorf("number(%v, %d) = %q, want %q", test.value, test.digits, got, test.want)
		}
	}
}

func TestParseCPU(t *testing.T) {
	got, err := parseCPU("42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0 9")
	if err != nil || got.Seconds() != 1.75 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseCPU("42 (x) S 1"); err == nil {
		t.Error("a line that is too short is read")
	}
}
