package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// fakeSource is a list that tests change.
type fakeSource struct {
	entries []Entry
	ended   []Entry
	seen    map[netip.Prefix][]netip.Addr
}

func (s *fakeSource) Blocked() iter.Seq[Entry] {
	return slices.Values(s.entries)
}

func (s *fakeSource) Changed() bool             { return false }
func (s *fakeSource) Ended() iter.Seq[Entry]    { return slices.Values(s.ended) }
func (s *fakeSource) Seen(e Entry) []netip.Addr { return s.seen[e.Prefix] }

func entry(id uint64, prefix string, left time.Duration) Entry {
	e := Entry{ID: id, Prefix: netip.MustParsePrefix(prefix), Rule: "burst"}
	if left > 0 {
		e.Until = time.Now().Add(left)
	}
	return e
}

const testKey = "0123456789abcdef0123456789abcdef"

func keyFile(t testing.TB, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rig is a feed that serves a fake list.
type rig struct {
	*Feed
	t      testing.TB
	source *fakeSource
	url    string
}

func start(t testing.TB, change func(*Config), entries ...Entry) *rig {
	t.Helper()
	c := DefaultConfig()
	c.Listen = "127.0.0.1:0"
	c.Clients = []ClientConfig{{Name: "fw", KeyFile: keyFile(t, testKey)}}
	if change != nil {
		change(&c)
	}
	source := &fakeSource{entries: entries}
	return startWith(t, c, source)
}

func startWith(t testing.TB, c Config, source *fakeSource) *rig {
	t.Helper()
	f, err := New(c, Options{Source: source})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-f.ready
	return &rig{f, t, source, "http://" + f.Addr().String()}
}

// refresh makes the copy what the list is.
func (r *rig) refresh(entries ...Entry) {
	r.t.Helper()
	r.mirror.replace(slices.Values(entries), time.Now()) // what follow does within a second
}

// bouncer asks as bouncers do.
type bouncer struct {
	r      *rig
	key    string
	client *http.Client
}

func (r *rig) bouncer() *bouncer {
	return &bouncer{r, testKey, &http.Client{Transport: &http.Transport{}}}
}

func (b *bouncer) do(method, path string, header ...string) (*http.Response, []byte) {
	b.r.t.Helper()
	req, err := http.NewRequest(method, b.r.url+path, http.NoBody)
	if err != nil {
		b.r.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", b.key)
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.r.t.Fatal(err)
	}
	return resp, body
}

type decision struct {
	ID                                                   int
	UUID, Origin, Scenario, Scope, Type, Value, Duration string
}

// pull asks for the stream and returns "+ value" and "- value", sorted.
func (b *bouncer) pull(query string) []string {
	b.r.t.Helper()
	resp, body := b.do("GET", "/v1/decisions/stream"+query)
	var answer struct{ New, Deleted []decision }
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != 200 {
		b.r.t.Fatalf("%s %v in %s", resp.Status, err, body)
	}
	var out []string
	for _, d := range answer.New {
		left, err := time.ParseDuration(d.Duration)
		if err != nil || left < time.Second {
			b.r.t.Errorf("duration %q of %s", d.Duration, d.Value)
		}
		out = append(out, "+ "+d.Value)
	}
	for _, d := range answer.Deleted {
		out = append(out, "- "+d.Value)
	}
	for _, d := range slices.Concat(answer.New, answer.Deleted) {
		if d.ID == 0 || d.UUID == "" || d.Origin != "uppercut" || d.Scenario == "" || d.Type != "ban" || d.Duration == "" {
			b.r.t.Errorf("a field is missing: %+v", d)
		}
		if want := map[bool]string{true: "Range", false: "Ip"}[strings.Contains(d.Value, "/")]; d.Scope != want {
			b.r.t.Errorf("%s has the scope %s", d.Value, d.Scope)
		}
	}
	slices.Sort(out)
	return out
}

func (b *bouncer) wants(query string, want ...string) {
	b.r.t.Helper()
	if got := b.pull(query); !slices.Equal(got, want) {
		b.r.t.Errorf("%s: %q, want %q", query, got, want)
	}
}

func TestStream(t *testing.T) {
	one, two := entry(1, "192.0.2.1/32", time.Hour), entry(2, "198.51.100.0/24", 0)
	r := start(t, nil, one, two)
	b := r.bouncer()
	b.wants("?startup=true", "+ 192.0.2.1", "+ 198.51.100.0/24")
	b.wants("")
	three := entry(3, "2001:db8:1:2::/64", time.Hour)
	r.refresh(one, three)
	b.wants("", "+ 2001:db8:1:2::/64", "- 198.51.100.0/24")
	b.wants("")
	longer := entry(1, "192.0.2.1/32", 2*time.Hour)
	r.refresh(longer, three)
	b.wants("", "+ 192.0.2.1", "- 192.0.2.1") // a longer block in new alone would change nothing
	r.refresh(three)
	r.refresh(three, entry(4, "192.0.2.1/32", time.Hour))
	b.wants("", "+ 192.0.2.1", "- 192.0.2.1")
	r.refresh(three)
	r.refresh(three, entry(5, "192.0.2.5/32", time.Hour))
	r.refresh(three)
	b.wants("", "- 192.0.2.1", "- 192.0.2.5")
}

// A client that is not known gets everything, and what is no more.
func TestUnknownClientGetsTheWhole(t *testing.T) {
	one, two := entry(1, "192.0.2.1/32", time.Hour), entry(2, "192.0.2.2/32", time.Hour)
	source := &fakeSource{entries: []Entry{one}, ended: []Entry{entry(9, "192.0.2.9/32", time.Hour), one}}
	c := DefaultConfig()
	c.Listen, c.Clients = "127.0.0.1:0", []ClientConfig{{Name: "fw", KeyFile: keyFile(t, testKey)}}
	r := startWith(t, c, source)
	r.bouncer().wants("", "+ 192.0.2.1", "- 192.0.2.9")
	b := r.bouncer()
	b.wants("?startup=true", "+ 192.0.2.1", "- 192.0.2.9")
	r.refresh(one, two)
	r.bouncer().wants("", "+ 192.0.2.1", "+ 192.0.2.2", "- 192.0.2.9") // another connection: had it arrived?
	r.bouncer().wants("?scopes=range")
}

// What has not arrived is sent again, also to who opens a connection each time.
func TestAnswersThatAreLost(t *testing.T) {
	r := start(t, nil)
	r.bouncer().wants("?startup=true")
	r.bouncer().wants("")
	one := entry(1, "192.0.2.1/32", time.Hour)
	r.refresh(one)
	r.bouncer().wants("", "+ 192.0.2.1")
	r.bouncer().wants("", "+ 192.0.2.1")
	b := r.bouncer()
	b.wants("")
	r.refresh()
	b.wants("", "- 192.0.2.1")
	b.wants("")
}

func TestALaggingClientGetsTheWhole(t *testing.T) {
	one := entry(1, "192.0.2.1/32", time.Hour)
	r := start(t, nil, one)
	b := r.bouncer()
	b.wants("?startup=true", "+ 192.0.2.1")
	b.wants("")
	for i := range maxLog + 1 {
		r.mirror.put(entry(uint64(2+i), "192.0.2.2/32", time.Hour+time.Duration(i)*time.Second))
	}
	b.wants("", "+ 192.0.2.1", "+ 192.0.2.2")
	if n := testutil.ToFloat64(r.metrics.whole.WithLabelValues("fw")); n != 2 {
		t.Errorf("%v whole answers counted", n)
	}
}

func TestFilters(t *testing.T) {
	manual := entry(3, "192.0.2.3/32", time.Hour)
	manual.Rule = "manual"
	r := start(t, nil, entry(1, "192.0.2.1/32", time.Hour), entry(2, "198.51.100.0/24", time.Hour), manual)
	for query, want := range map[string][]string{
		"scopes=ip":                            {"+ 192.0.2.1", "+ 192.0.2.3"},
		"scopes=Range":                         {"+ 198.51.100.0/24"},
		"scopes=country":                       nil,
		"origins=cscli,uppercut&scopes=ip":     {"+ 192.0.2.1", "+ 192.0.2.3"},
		"origins=CAPI":                         nil,
		"scenarios_containing=manual,x":        {"+ 192.0.2.3"},
		"scenarios_not_containing=manual":      {"+ 192.0.2.1", "+ 198.51.100.0/24"},
		"scenarios_containing=burst&scopes=ip": {"+ 192.0.2.1"},
	} {
		r.bouncer().wants("?startup=true&"+query, want...)
	}
}

// A client that cannot block networks gets the addresses behind a block.
func TestAddressesInPlaceOfNetworks(t *testing.T) {
	network := netip.MustParsePrefix("2001:db8:1:2::/64")
	source := &fakeSource{
		entries: []Entry{entry(1, network.String(), time.Hour), entry(2, "2001:db8:1:3::/64", time.Hour), entry(3, "198.51.100.0/24", time.Hour)},
		seen:    map[netip.Prefix][]netip.Addr{network: {netip.MustParseAddr("2001:db8:1:2::7"), netip.MustParseAddr("2001:db8:1:2::8")}},
	}
	c := DefaultConfig()
	c.Listen, c.Clients = "127.0.0.1:0", []ClientConfig{
		{Name: "fw", KeyFile: keyFile(t, testKey), IPv6: "address"}, {Name: "pf", KeyFile: keyFile(t, testKey+"2")},
	}
	r := startWith(t, c, source)
	b := r.bouncer()
	b.wants("?startup=true", "+ 198.51.100.0/24", "+ 2001:db8:1:2::7", "+ 2001:db8:1:2::8")
	pf := r.bouncer()
	pf.key += "2"
	pf.wants("?startup=true", "+ 198.51.100.0/24", "+ 2001:db8:1:2::/64", "+ 2001:db8:1:3::/64")
	r.refresh()
	b.wants("", "- 198.51.100.0/24", "- 2001:db8:1:2::7", "- 2001:db8:1:2::8")
}

func TestAddressesIn(t *testing.T) {
	p := netip.MustParsePrefix("2001:db8:1:2::/64")
	got := AddressesIn(p, []string{
		"ruleset=check_rcpt, relay=[IPv6:2001:db8:1:2:0:0:0:7], reject=553 2001:db8:1:3::1",
		"relay=x.example [2001:DB8:1:2::8] (may be forged), 2001:db8:1:2::7. ::ffff:192.0.2.1 20010db8",
	})
	want := []netip.Addr{netip.MustParseAddr("2001:db8:1:2::7"), netip.MustParseAddr("2001:db8:1:2::8")}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("2001:db8:1:2::%x", i+1)
	}
	if n := len(AddressesIn(p, many)); n != maxSeen {
		t.Errorf("%d addresses", n)
	}
}

// What ends within a second is not given: 0s would block for ever.
func TestDurations(t *testing.T) {
	source := start(t, nil, entry(1, "192.0.2.1/32", time.Hour), entry(2, "192.0.2.2/32", 0))
	source.mirror.put(entry(3, "192.0.2.3/32", 900*time.Millisecond))
	b := source.bouncer()
	_, body := b.do("GET", "/v1/decisions/stream?startup=true")
	var answer struct{ New []decision }
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.New) != 2 {
		t.Fatalf("%v in %s", err, body)
	}
	for i, want := range []string{"59m5", "87600h0m0s"} {
		if !strings.HasPrefix(answer.New[i].Duration, want) {
			t.Errorf("%s lasts %s", answer.New[i].Value, answer.New[i].Duration)
		}
	}
}

func TestDecisions(t *testing.T) {
	r := start(t, nil, entry(1, "192.0.2.1/32", time.Hour), entry(2, "192.0.2.0/24", time.Hour), entry(3, "2001:db8::/64", time.Hour))
	b := r.bouncer()
	for query, want := range map[string][]string{
		"?ip=192.0.2.1":                      {"192.0.2.1", "192.0.2.0/24"},
		"?ip=::ffff:192.0.2.7":               {"192.0.2.0/24"},
		"?ip=2001:db8::99&scope=Range":       {"2001:db8::/64"},
		"?ip=198.51.100.1":                   nil,
		"?ip=192.0.2.1&scopes=ip":            {"192.0.2.1"},
		"?ip=192.0.2.1&type=captcha":         nil,
		"?range=192.0.2.0/25":                {"192.0.2.0/24"},
		"?range=192.0.0.0/16&contains=false": {"192.0.2.1", "192.0.2.0/24"},
		"":                                   {"192.0.2.1", "192.0.2.0/24", "2001:db8::/64"},
	} {
		_, body := b.do("GET", "/v1/decisions"+query)
		var got []decision
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		var values []string
		for _, d := range got {
			values = append(values, d.Value)
		}
		if !slices.Equal(values, want) || want == nil && string(body) != "null\n" {
			t.Errorf("%s: %s, want %v", query, body, want)
		}
	}
	for path, status := range map[string]int{
		"GET /v1/decisions?ip=nobody": 400, "HEAD /v1/decisions": 200, "HEAD /v1/decisions?ip=192.0.2.1": 200,
		"POST /v1/usage-metrics": 201, "DELETE /v1/decisions": 405, "GET /v1/alerts": 404, "GET /": 404,
	} {
		method, path, _ := strings.Cut(path, " ")
		if resp, body := b.do(method, path); resp.StatusCode != status {
			t.Errorf("%s %s: %s %s", method, path, resp.Status, body)
		}
	}
}

func TestLists(t *testing.T) {
	odd := entry(2, "2001:db8::/64", 0)
	odd.Rule = "odd\n192.0.2.66\""
	r := start(t, nil, entry(1, "192.0.2.1/32", time.Hour), odd)
	b := r.bouncer()
	until := time.Unix(0, r.mirror.records[0].until).UTC().Format(time.RFC3339)
	for path, want := range map[string]string{
		"/lists/blocked.txt?comments=off":          "192.0.2.1\n2001:db8::/64\n",
		"/lists/blocked.txt?comments=off&family=4": "192.0.2.1\n",
		"/lists/blocked.txt?comments=off&family=6": "2001:db8::/64\n",
		"/lists/blocked.txt":                       "# blocked by uppercut; address or network, rule, end\n192.0.2.1 # burst " + until + "\n2001:db8::/64 # odd_192.0.2.66_ forever\n",
		"/lists/blocked.json":                      `{"blocked":[` + "\n" + `{"prefix":"192.0.2.1/32","rule":"burst","until":"` + until + `"},` + "\n" + `{"prefix":"2001:db8::/64","rule":"odd_192.0.2.66_"}` + "\n]}\n",
	} {
		if _, body := b.do("GET", path); string(body) != want {
			t.Errorf("%s: %q, want %q", path, body, want)
		}
	}
	resp, body := b.do("GET", "/lists/blocked.json")
	if !json.Valid(body) || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", resp.Header)
	}
	tag := resp.Header.Get("ETag")
	if resp, body := b.do("GET", "/lists/blocked.json", "If-None-Match", `"x", `+tag); resp.StatusCode != 304 || len(body) > 0 {
		t.Errorf("%s %s", resp.Status, body)
	}
	r.refresh(odd)
	if resp, _ := b.do("GET", "/lists/blocked.json", "If-None-Match", tag); resp.StatusCode != 200 || resp.Header.Get("ETag") == tag {
		t.Errorf("%s after a change", resp.Status)
	}
}

func TestWhoMayHaveTheList(t *testing.T) {
	r := start(t, func(c *Config) {
		c.Clients = append(c.Clients, ClientConfig{
			Name: "far", KeyFile: keyFile(t, testKey+"far"), Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		})
	}, entry(1, "192.0.2.1/32", time.Hour))
	for key, status := range map[string]int{testKey: 200, testKey + "far": 403, "": 403, "0123456789abcdef": 403} {
		b := r.bouncer()
		b.key = key
		for _, path := range []string{"/v1/decisions", "/v1/decisions/stream", "/lists/blocked.txt", "/lists/blocked.json"} {
			if resp, body := b.do("GET", path); resp.StatusCode != status || status != 200 && bytes.Contains(body, []byte("192")) {
				t.Errorf("%s with key %q: %s %s", path, key, resp.Status, body)
			}
		}
	}
	req, _ := http.NewRequest("GET", r.url+"/lists/blocked.txt", http.NoBody)
	req.SetBasicAuth("anything", testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("basic authentication: %v %v", resp, err)
	}
	resp.Body.Close()
	if n := testutil.ToFloat64(r.metrics.requests.WithLabelValues(nobody, outcomeDenied)); n != 12 {
		t.Errorf("%v denied", n)
	}
	// A reload takes effect at once.
	c := r.config
	c.Clients = []ClientConfig{{Name: "other", KeyFile: keyFile(t, testKey+"other")}}
	use, err := r.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	use()
	if resp, _ := r.bouncer().do("GET", "/v1/decisions"); resp.StatusCode != 403 {
		t.Errorf("a client that is none any more: %s", resp.Status)
	}
}

// A client that asks too often is told to wait; others are not.
func TestFloods(t *testing.T) {
	r := start(t, func(c *Config) {
		c.Clients = append(c.Clients, ClientConfig{Name: "other", KeyFile: keyFile(t, testKey+"2")})
	}, entry(1, "192.0.2.1/32", time.Hour))
	b := r.bouncer()
	for range wholeBurst {
		b.wants("?startup=true", "+ 192.0.2.1")
	}
	resp, _ := b.do("GET", "/v1/decisions/stream?startup=true")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s", resp.Status)
	}
	limited := false
	for range 2 * requestBurst {
		resp, _ := b.do("GET", "/v1/decisions?ip=192.0.2.1")
		limited = limited || resp.StatusCode == 429
	}
	if !limited {
		t.Error("no limit")
	}
	other := r.bouncer()
	other.key += "2"
	other.wants("?startup=true", "+ 192.0.2.1")
}

// A client that takes nothing holds up neither the list nor others.
func TestALazyClient(t *testing.T) {
	r := start(t, nil)
	for i := range 200_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		r.mirror.put(Entry{ID: uint64(i + 1), Prefix: netip.PrefixFrom(a, 32), Rule: "burst"})
	}
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/decisions/stream?startup=true HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n\r\n", testKey)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.mirror.put(entry(1<<40, "192.0.2.1/32", time.Hour))
	if _, body := r.bouncer().do("GET", "/v1/decisions?ip=192.0.2.1"); !bytes.Contains(body, []byte("192.0.2.1")) {
		t.Errorf("%s", body)
	}
	// The same client with the same view waits for its own answer.
	if resp, _ := r.bouncer().do("GET", "/v1/decisions/stream"); resp.StatusCode != 429 {
		t.Errorf("%s", resp.Status)
	}
}

func TestMirrorForgets(t *testing.T) {
	m, now := newMirror(), time.Unix(1_800_000_000, 0)
	until := func(d time.Duration) Entry {
		return Entry{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Until: now.Add(d)}
	}
	m.put(until(time.Minute))
	m.sweep(now.Add(time.Minute - 1))
	if m.len() != 1 {
		t.Error("taken out before its end")
	}
	m.sweep(now.Add(time.Minute))
	if m.len() != 0 || len(m.departures()) != 1 {
		t.Error("not taken out at its end")
	}
	m.sweep(now.Add(time.Minute + goneFor - 1))
	if len(m.departures()) != 1 {
		t.Error("forgotten within the hour")
	}
	m.sweep(now.Add(time.Minute + goneFor))
	if len(m.departures()) != 0 {
		t.Error("remembered after the hour")
	}
	m.put(until(48 * time.Hour))
	m.remove(until(0).Prefix, now)
	m.sweep(now.Add(48*time.Hour - 1))
	if len(m.departures()) != 1 {
		t.Error("forgotten while clients may still have it")
	}
}
