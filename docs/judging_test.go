// Package docs_test holds the documentation against the code.
package docs_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"uppercut/detector"

	"github.com/google/go-cmp/cmp"
)

var reasonWord = regexp.MustCompile("`([a-z0-9_]+)`")

// TestPoints holds the table of points in judging.md against the defaults.
func TestPoints(t *testing.T) {
	documented := map[string]float64{}
	for _, cells := range tableRows(t, "judging.md", "| points | reasons |") {
		points, err := strconv.ParseFloat(cells[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range reasonWord.FindAllStringSubmatch(cells[1], -1) {
			documented[word[1]] = points
		}
	}
	if diff := cmp.Diff(detector.DefaultConfig().Weights, documented); diff != "" {
		t.Errorf("judging.md differs (- code, + page):\n%s", diff)
	}
}

// TestRules holds the table of rules in judging.md against the defaults.
func TestRules(t *testing.T) {
	var documented []string
	for _, cells := range tableRows(t, "judging.md", "| rule | window | score | blocks for |") {
		documented = append(documented, strings.Join(cells, " "))
	}
	var rules []string
	for _, r := range detector.DefaultConfig().Rules {
		score := strconv.FormatFloat(r.Score, 'f', -1, 64)
		rules = append(rules, "`"+r.Name+"` "+words(r.Window.Minutes())+" "+score+" "+words(r.Block.Minutes()))
	}
	if diff := cmp.Diff(rules, documented); diff != "" {
		t.Errorf("judging.md differs (- code, + page):\n%s", diff)
	}
}

// words writes minutes as people do.
func words(minutes float64) string {
	switch {
	case minutes == 60:
		return "1 hour"
	case minutes > 60:
		return strconv.FormatFloat(minutes/60, 'f', -1, 64) + " hours"
	}
	return strconv.FormatFloat(minutes, 'f', -1, 64) + " minutes"
}

// tableRows returns the cells of a table's rows, without its head.
func tableRows(t *testing.T, page, head string) [][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), head+"\n")
	if !found {
		t.Fatalf("%s has no table %q", page, head)
	}
	var rows [][]string
	for line := range strings.SplitSeq(table, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinks follows the links between the pages, and to pictures.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := page[:strings.LastIndex(page, "/")+1]
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(dir + found[1]); err != nil {
				t.Errorf("%s links to %s, which is not there", page, found[1])
			}
		}
	}
}
