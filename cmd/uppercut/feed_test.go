package main

import (
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const feedKey = "0123456789abcdef"

// blockedList is the plain list that the feed serves.
func (g *gateway) blockedList(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:9516/lists/blocked.txt?comments=off", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("fw", feedKey)
	resp, err := g.client().Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFeedFollowsTheList: what is blocked is served, without what is allowed, and
// nothing while blocking is suspended.
func TestFeedFollowsTheList(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "key"), feedKey)
	g := serveWith(t, "feed: {listen: \"127.0.0.1:9516\", clients: [{name: fw, key_file: "+filepath.Join(dir, "key")+"}]}\n")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"block", "203.0.113.9"}, "203.0.113.9\n"},
		{[]string{"block", "198.51.100.0/30"}, "198.51.100.0/30\n203.0.113.9\n"},
		{[]string{"allow", "198.51.100.3"}, "198.51.100.0/31\n198.51.100.2\n203.0.113.9\n"},
		{[]string{"flush"}, ""},
		{[]string{"resume"}, "198.51.100.0/31\n198.51.100.2\n203.0.113.9\n"},
		{[]string{"unblock", "203.0.113.9"}, "198.51.100.0/31\n198.51.100.2\n"},
	} {
		if out, code := g.outcome(t, step.args...); code != 0 {
			t.Fatalf("%v: %s", step.args, out)
		}
		waitFor(t, 20*time.Second, "the feed follows "+step.args[0], func() bool {
			lines := slices.Sorted(strings.Lines(g.blockedList(t)))
			return strings.Join(lines, "") == step.want
		})
	}
}
