package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
)

// TestStatusSaysThePace: at three in the morning the first question is whether
// this is an attack.
func TestStatusSaysThePace(t *testing.T) {
	for _, test := range []struct {
		pace console.Pace
		want []string
	}{
		{
			console.Pace{
				Recent: console.Duration(5 * time.Minute), Before: console.Duration(354 * time.Minute),
				Rejections: console.Rate{Recent: 120, Before: 4}, Blocks: console.Rate{Recent: 3.04, Before: 0.06},
			},
			[]string{
				"rejections 120.0 a minute in the last 5m, 4.0 in the 5h54m before",
				"new blocks 3.0 a minute in the last 5m, 0.1 in the 5h54m before",
			},
		},
		{
			console.Pace{Recent: console.Duration(20 * time.Second), Rejections: console.Rate{Recent: 6}},
			[]string{"rejections 2 in the last 20s", "new blocks 0 in the last 20s"},
		},
	} {
		var out bytes.Buffer
		p := terminal.NewPrinter(&out, nil)
		if err := printStatus(p, console.Status{Pace: test.pace}); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		for _, want := range test.want {
			if !strings.Contains("\n"+strings.Join(lines, "\n")+"\n", "\n"+want+"\n") {
				t.Errorf("status lacks %q:\n%s", want, out.String())
			}
		}
	}
}
