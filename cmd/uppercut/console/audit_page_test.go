package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// entries makes n entries, newest first.
func entries(n int) *fake {
	f := newFake()
	for i := range n {
		f.audit = append(f.audit, AuditEntry{
			Time: noon.Add(-time.Duration(i) * time.Nanosecond), Action: []string{"block", "unblock"}[i%2],
			Author: []string{"anna", "boris", "root"}[i%3], Count: 1,
			Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(113 + i%2), byte(i)}), 32)},
		})
	}
	return f
}

func TestAuditSearch(t *testing.T) {
	f := entries(12)
	for _, tc := range []struct {
		search AuditSearch
		want   []int // numbers of the entries
	}{
		{AuditSearch{Limit: 2}, []int{0, 1}},
		{AuditSearch{Action: "unblock", Limit: 3}, []int{1, 3, 5}},
		{AuditSearch{Author: "root"}, []int{2, 5, 8, 11}},
		{AuditSearch{Author: "root", Action: "block"}, []int{2, 8}},
		{AuditSearch{Text: "203.0.114."}, []int{1, 3, 5, 7, 9, 11}},
		{AuditSearch{Text: "203.0.113.4"}, []int{4}},
		{AuditSearch{Author: "nobody"}, nil},
	} {
		page, err := findEntries(f.Audit(t.Context()), tc.search)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, e := range page.Entries {
			got = append(got, slices.IndexFunc(f.audit, func(x AuditEntry) bool { return x.Time.Equal(e.Time) }))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v, want %v", tc.search, got, tc.want)
		}
	}
}

// Pages follow one another without a gap, also when entries are added.
func TestAuditPages(t *testing.T) {
	f := entries(10)
	var seen []time.Time
	s := AuditSearch{Limit: 4}
	for pages := 0; ; pages++ {
		page, err := findEntries(f.Audit(t.Context()), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			seen = append(seen, e.Time)
		}
		if s.After = page.Next; s.After == "" {
			if pages != 2 {
				t.Errorf("%d pages before the last, want 2", pages)
			}
			break
		}
		f.audit = slices.Insert(f.audit, 0, AuditEntry{Time: noon.Add(time.Duration(pages+1) * time.Second)})
	}
	if len(seen) != 10 || !slices.IsSortedFunc(seen, func(a, b time.Time) int { return b.Compare(a) }) {
		t.Errorf("%d entries seen: %v", len(seen), seen)
	}
}

func TestAuditMistakes(t *testing.T) {
	f := entries(1)
	for _, s := range []AuditSearch{{Limit: -1}, {Limit: maxPage + 1}, {After: "yesterday"}, {Text: "mx1"}} {
		if _, err := findEntries(f.Audit(t.Context()), s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", s, err)
		}
	}
	f.fail = errors.New("ledger is damaged")
	if _, err := findEntries(f.Audit(t.Context()), AuditSearch{}); !errors.Is(err, f.fail) {
		t.Errorf("%v, want what the log says", err)
	}
}

func TestAuditOnThePage(t *testing.T) {
	f := entries(130)
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	get := func(who caller, path string) (int, string) {
		w := httptest.NewRecorder()
		mux := http.NewServeMux()
		c.addPages(mux)
		mux.ServeHTTP(w, withCaller(httptest.NewRequest("GET", path, nil), who))
		return w.Code, w.Body.String()
	}
	anna := caller{name: "anna", trusted: true}
	code, page := get(anna, "/audit?author=anna&limit=2")
	if code != http.StatusOK || strings.Count(page, "<tr>") != 3 || strings.Contains(page, "<td data-label=\"Who\">boris") {
		t.Errorf("%d: two entries by anna are wanted:\n%s", code, page)
	}
	next := fmt.Sprintf("/audit?after=%s&amp;author=anna&amp;limit=2", strings.ReplaceAll(f.audit[3].Time.Format(time.RFC3339Nano), ":", "%3A"))
	if !strings.Contains(page, next) {
		t.Errorf("no link to the next page, %s:\n%s", next, page)
	}
	if code, _ := get(caller{}, "/audit"); code != http.StatusForbidden {
		t.Errorf("anybody may read the audit log: %d", code)
	}
	if code, _ := get(anna, "/audit?search=mx1"); code != http.StatusBadRequest {
		t.Errorf("a search that cannot be: %d", code)
	}
}

func TestAuditOverTheSocket(t *testing.T) {
	f := entries(3)
	r := start(t, Config{}, f)
	page, err := r.dial(t).Audit(t.Context(), AuditSearch{Text: "203.0.113.", Action: "block", Author: "anna", Limit: 5})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Prefixes[0] != f.audit[0].Prefixes[0] {
		t.Errorf("%+v, %v", page, err)
	}
}
