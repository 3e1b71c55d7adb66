package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// draw asks a console that listens nowhere for a page, as a trusted user.
func draw(t *testing.T, c *Console, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	c.addPages(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, withCaller(r, caller{name: "anna", trusted: true}))
	return w
}

func get(path string) *http.Request { return httptest.NewRequest("GET", path, nil) }

func form(fields ...string) *http.Request {
	values := url.Values{}
	for pair := range slices.Chunk(fields, 2) {
		values.Set(pair[0], pair[1])
	}
	r := httptest.NewRequest("POST", "/act", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestPagesSayWhatDidNotWork(t *testing.T) {
	f := fleet()
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	for _, tc := range []struct {
		path   string
		fail   error
		status int
		says   string
	}{
		{"/nothing", nil, 404, "no such page"},
		{"/address?addr=mx1", nil, 400, "is neither an address nor a prefix"},
		{"/blocks?search=mx1", nil, 400, "neither an address nor a prefix"},
		{"/blocks?limit=x", nil, 400, "is not a number"},
		{"/blocks?after=x", nil, 400, "not where a page begins"},
		{"/confirm?do=dance", nil, 400, "no action"},
		{"/confirm?do=block&prefix=mx1", nil, 400, "neither an address nor a prefix"},
		{"/senders", ErrUnavailable, 503, "not available"},
		{"/samples", ErrUnavailable, 503, "not available"},
		{"/guards", errors.New("the ledger is gone"), 500, "the ledger is gone"},
		{"/config", errors.New("the file is gone"), 500, "the file is gone"},
		{"/address?addr=203.0.113.9", errors.New("netlink is tired"), 500, "netlink is tired"},
	} {
		f.fail = tc.fail
		w := draw(t, c, get(tc.path))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d, want %d and %q:\n%.300s", tc.path, w.Code, tc.status, tc.says, w.Body)
		}
	}
}

func TestActionsSayWhatDidNotWork(t *testing.T) {
	f := fleet()
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	token := c.tokens.of("anna")
	for _, tc := range []struct {
		name   string
		r      *http.Request
		status int
		says   string
	}{
		{"a guard refuses", form("token", token, "do", "block", "prefix", "127.0.0.1/32"), 409, "127.0.0.1/32 is in a reserved range"},
		{"no such action", form("token", token, "do", "dance"), 400, "no action"},
		{"no such time", form("token", token, "do", "block", "prefix", "192.0.2.1/32", "for", "soon"), 400, "is not a duration"},
		{"a pause without end", form("token", token, "do", "flush", "for", "forever"), 400, "a pause lasts up to 30d"},
		{"no such prefix", form("token", token, "do", "unblock", "prefix", "mx1"), 400, "neither an address"},
		{"no such breaker", form("token", token, "do", "close_breaker", "host", "mx99"), 404, "mx99"},
		{"too long a note", form("token", token, "do", "unblock", "prefix", "192.0.2.1/32", "note", strings.Repeat("x", maxNote+1)), 400, "note"},
		{"a form too large", form("token", token, "do", "unblock", "note", strings.Repeat("x", 65<<10)), 400, "invalid form"},
	} {
		if w := draw(t, c, tc.r); w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d, want %d and %q:\n%.300s", tc.name, w.Code, tc.status, tc.says, w.Body)
		}
	}
	if did := f.done(); !slices.Equal(did, []string{"block [127.0.0.1/32] for 0s by anna: "}) {
		t.Errorf("done: %q", did)
	}
}

func TestActionsLeadToWhatHasBecomeOfIt(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: fleet()})
	token := c.tokens.of("anna")
	for want, r := range map[string]*http.Request{
		"/address?addr=203.0.113.9&did=unblock":    form("token", token, "do", "unblock", "prefix", "203.0.113.9/32"),
		"/address?addr=2001%3Adb8%3A%3A&did=allow": form("token", token, "do", "allow", "prefix", "2001:db8::/32", "for", "24h"),
		"/?did=flush":               form("token", token, "do", "flush", "for", "10m"),
		"/?did=resume":              form("token", token, "do", "resume"),
		"/guards?did=close_breaker": form("token", token, "do", "close_breaker", "host", "mx6"),
	} {
		w := draw(t, c, r)
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("%d to %q, want %q: %s", w.Code, got, want, w.Body)
		}
		if page := draw(t, c, get(want)); page.Code != 200 || !strings.Contains(page.Body.String(), `role="status"`) {
			t.Errorf("%s: %d, and nothing says what was done", want, page.Code)
		}
	}
}

func TestBlocksPageKeepsTheSearchAcrossPages(t *testing.T) {
	f := newFake()
	for _, b := range many(250) {
		f.add(b)
	}
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	w := draw(t, c, get("/blocks?search=10.&rule=burst"))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "125") {
		t.Fatalf("%d: %.500s", w.Code, w.Body)
	}
	_, after, found := strings.Cut(w.Body.String(), `<a class="button" href="`)
	next, _, _ := strings.Cut(after, `"`)
	next = strings.ReplaceAll(next, "&amp;", "&")
	if !found || !strings.Contains(next, "search=10.") || !strings.Contains(next, "rule=burst") {
		t.Fatalf("next page: %q", next)
	}
	w = draw(t, c, get(next))
	if rows := strings.Count(w.Body.String(), "do=unblock"); w.Code != 200 || rows != 25 {
		t.Errorf("second page: %d with %d rows, want 25", w.Code, rows)
	}
}

func TestOverviewChoices(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: fleet()})
	s := c.history.at(noon)
	s.add(rejectionsByHost, "mx1", 1)
	for _, tc := range []struct{ path, source string }{
		{"/", "/live?rejections=reason&amp;blocks=rule"},
		{"/?rejections=host&blocks=reason", "/live?rejections=host&amp;blocks=reason"},
		{"/?rejections=\"><script>&blocks=nonsense", "/live?rejections=reason&amp;blocks=rule"},
	} {
		if w := draw(t, c, get(strings.NewReplacer(`"`, "%22", "<", "%3C", ">", "%3E").Replace(tc.path))); !strings.Contains(w.Body.String(), tc.source) {
			t.Errorf("%s: no %s on the page", tc.path, tc.source)
		}
	}
}

func TestLivePagesAreBounded(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: fleet()})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	live := func() int { return draw(t, c, get("/live").WithContext(ended)).Code }
	c.liveCount.Store(maxLive - 1)
	if got := live(); got != 200 {
		t.Errorf("the last that fits: %d", got)
	}
	c.liveCount.Store(maxLive)
	if got := live(); got != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d, want 503", got)
	}
	if got := c.liveCount.Load(); got != maxLive {
		t.Errorf("%d are counted afterwards, want %d", got, maxLive)
	}
}

func TestCloseGivesTheListenersBack(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second finds nothing in its way
		c, err := New(Config{MaxConnections: 64, Listen: "127.0.0.1:0"}, Options{Appliance: newFake(), Gatherer: prometheus.NewRegistry(), StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestNewSaysWhatIsInTheWay(t *testing.T) {
	first := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0"}, newFake())
	options := Options{Appliance: newFake(), Gatherer: prometheus.NewRegistry(), StateDir: t.TempDir()}
	if _, err := New(Config{MaxConnections: 64, Listen: first.Addr().String()}, options); err == nil || !strings.Contains(err.Error(), "listen: ") {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := os.Stat(filepath.Join(options.StateDir, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays after an error: %v", err)
	}
	options.StateDir = filepath.Join(options.StateDir, "missing")
	if _, err := New(Config{}, options); err == nil || !strings.Contains(err.Error(), "control socket") {
		t.Errorf("no state directory: %v", err)
	}
}

func TestAuditNamesLongListsInPart(t *testing.T) {
	var ps []netip.Prefix
	for i := range 30 {
		ps = append(ps, netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i)))
	}
	got := joinPrefixes(ps)
	if !strings.HasSuffix(got, " 192.0.2.19/32 ...") {
		t.Errorf("prefixes: %s", got)
	}
}

// A source that is blocked and still turns up in the logs is marked: its
// packets come around the gateway.
func TestBlocksPageMarksWhoComesAround(t *testing.T) {
	f := fleet()
	p := netip.MustParsePrefix("203.0.113.77/32")
	for _, seen := range []bool{false, true} {
		f.blocks[p] = Block{Prefix: p, Rule: "burst", At: f.now, Until: f.now.Add(1), Seen: seen}
		c := newConsole(DefaultConfig(), Options{Appliance: f})
		page := draw(t, c, get("/blocks?search=203.0.113.77")).Body.String()
		if strings.Contains(page, "still seen") != seen {
			t.Errorf("seen %t: the page says otherwise", seen)
		}
	}
}
