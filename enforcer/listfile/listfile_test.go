package listfile

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "# comment\n\n  203.0.113.9  \r\n198.51.100.0/24 ; SBL123\n192.0.2.4-192.0.2.7 # four\n2001:db8::/32\n::ffff:203.0.113.1\n")
	got, mistakes := read(path)
	want := []netip.Prefix{
		netip.MustParsePrefix("203.0.113.9/32"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.0.2.4/30"),
		netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("203.0.113.1/32"),
	}
	if mistakes != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, mistakes)
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	for text, want := range map[string][]string{
		"203.0.113.9\nmx1.example.org\n203.0.113.9/24\n": {`[0].file: PATH:2: "mx1.example.org" is not an address, a network or a range`, `[0].file: PATH:3: "203.0.113.9/24" has host bits set`},
		"file:/etc/passwd\n":                             {`PATH:1: "file:/etc/passwd" is not an address`},
		"203.0.113.300\n":                                {`PATH:1: "203.0.113.300" is not an address`},
		strings.Repeat("x!\n", 100):                      {"PATH:20: "},
		strings.Repeat("1.2.3.4 ", 100_000):              {"token too long"},
	} {
		write(t, path, text)
		err := CheckFiles([]Config{{path}})
		for _, w := range want {
			if w = strings.ReplaceAll(w, "PATH", path); err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%.40q: %v\nwant %s", text, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), ":21:") {
			t.Error("more mistakes than anybody reads")
		}
	}
	for _, c := range []Config{{filepath.Join(dir, "none")}, {dir}} {
		if CheckFiles([]Config{c}) == nil {
			t.Errorf("%+v can be read", c)
		}
	}
	if err := Validate([]Config{{"relative"}, {path}, {path}}); err == nil || err.Error() != `[0].file: "relative" is not an absolute path`+"\n"+`[2].file: "`+path+`" is listed twice` {
		t.Error(err)
	}
}

// eventually polls until ok or a deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal(what)
		case <-tick.C:
		}
	}
}

func TestListsFollowTheirFiles(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, one, "192.0.2.1\n192.0.2.2\n")
	write(t, two, "192.0.2.2\n")
	applied := make(chan []string, 100)
	l, err := New([]Config{{one}, {two}}, Options{Poll: time.Millisecond, Apply: func(_ context.Context, ps []netip.Prefix) error {
		var texts []string
		for _, p := range ps {
			texts = append(texts, p.String())
		}
		slices.Sort(texts)
		applied <- texts
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	expect := func(want ...string) {
		t.Helper()
		select {
		case got := <-applied:
			if !slices.Equal(got, want) {
				t.Errorf("applied %v, want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing is applied, want %v", want)
		}
	}
	expect("192.0.2.1/32", "192.0.2.2/32")
	if f := l.FileOf(netip.MustParsePrefix("192.0.2.2/32")); f != one {
		t.Errorf("192.0.2.2 stands in %q", f)
	}
	write(t, one, "192.0.2.33\n")
	expect("192.0.2.2/32", "192.0.2.33/32")
	if f := l.FileOf(netip.MustParsePrefix("192.0.2.2/32")); f != two {
		t.Errorf("192.0.2.2 stands in %q", f)
	}

	// What cannot be read stays as it was, and is counted once for each change.
	write(t, one, "nonsense here\n")
	eventually(t, "the mistake is counted", func() bool { return testutil.ToFloat64(l.failures) == 1 })
	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is counted", func() bool { return testutil.ToFloat64(l.failures) == 2 })
	if n := len(l.Prefixes()); n != 2 {
		t.Errorf("%d prefixes", n)
	}
	write(t, two, "192.0.2.2\n192.0.2.4\n")
	expect("192.0.2.2/32", "192.0.2.33/32", "192.0.2.4/32")

	// Other lists, and a bad one that changes nothing.
	if err := l.Reload([]Config{{two}, {one}}); err == nil {
		t.Error("a reload took a file with a mistake")
	}
	if err := l.Reload([]Config{{two}}); err != nil {
		t.Error(err)
	}
	expect("192.0.2.2/32", "192.0.2.4/32")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
