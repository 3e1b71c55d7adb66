package console

import (
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// AuditSearch says which entries of the audit log to list.
type AuditSearch struct {
	// Text is an address, a prefix or the beginning of an address: entries
	// that name what overlaps it. "" matches all.
	Text string
	// Action and Author match exactly; "" matches all.
	Action, Author string
	// Limit is the size of a page, 1 to 1000; 0 is 100.
	Limit int
	// After is AuditPage.Next of the page before; "" begins.
	After string
}

// AuditPage is a part of the audit log, newest first.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	// Next is where the next page begins, "" on the last.
	Next string `json:"next,omitempty"`
}

// findEntries reads the log, newest first, as far as the page needs it.
func findEntries(log iter.Seq2[AuditEntry, error], s AuditSearch) (AuditPage, error) {
	page := AuditPage{Entries: []AuditEntry{}}
	match, err := s.matcher()
	if err != nil {
		return page, err
	}
	limit, err := pageSize(s.Limit)
	if err != nil {
		return page, err
	}
	for e, err := range log {
		if err != nil {
			return page, err
		}
		if !match(&e) {
			continue
		}
		if len(page.Entries) == limit {
			page.Next = page.Entries[limit-1].Time.UTC().Format(time.RFC3339Nano)
			break
		}
		page.Entries = append(page.Entries, e)
	}
	return page, nil
}

func (s AuditSearch) matcher() (func(*AuditEntry) bool, error) {
	var within netip.Prefix
	var before time.Time
	var err error
	if s.Text != "" {
		if within, err = parseSearch(s.Text); err != nil {
			return nil, err
		}
	}
	if s.After != "" {
		if before, err = time.Parse(time.RFC3339Nano, s.After); err != nil {
			return nil, invalid("after: %q is not where a page begins", s.After)
		}
	}
	return func(e *AuditEntry) bool {
		return (before.IsZero() || e.Time.Before(before)) &&
			(s.Action == "" || s.Action == e.Action) &&
			(s.Author == "" || s.Author == e.Author) &&
			(!within.IsValid() || slices.ContainsFunc(e.Prefixes, within.Overlaps))
	}, nil
}

// auditLog serves a page of the audit log.
func (c *Console) auditLog(r *http.Request) (any, error) {
	s, err := auditSearchOf(r)
	if err != nil {
		return nil, err
	}
	return findEntries(c.appliance.Audit(r.Context()), s)
}

func auditSearchOf(r *http.Request) (AuditSearch, error) {
	q := r.URL.Query()
	limit, err := limitOf(r)
	return AuditSearch{
		Text: q.Get("search"), Action: q.Get("action"), Author: q.Get("author"), Limit: limit, After: q.Get("after"),
	}, err
}

// auditView is the audit log on the page.
type auditView struct {
	Search AuditSearch
	AuditPage
	NextURL string
	Actions []string // suggestions for the search
}

func (c *Console) drawAudit(w http.ResponseWriter, r *http.Request) error {
	s, err := auditSearchOf(r)
	if err != nil {
		return err
	}
	found, err := findEntries(c.appliance.Audit(r.Context()), s)
	if err != nil {
		return err
	}
	v := auditView{Search: s, AuditPage: found, Actions: Actions()}
	if found.Next != "" {
		v.NextURL = nextURL(r, found.Next)
	}
	c.show(w, r, http.StatusOK, "audit", "Audit log", v)
	return nil
}

// nextURL is where the next page of a list is.
func nextURL(r *http.Request, after string) string {
	q := r.URL.Query()
	q.Set("after", after)
	return r.URL.Path + "?" + q.Encode()
}

// undoneWords says why there was nothing done, by action.
var undoneWords = map[string]string{"unblock": "not blocked", "disallow": "not listed"}

// Result says in words what was not done of what was asked, "" if all was.
func (e *AuditEntry) Result() string {
	if e.Undone == 0 {
		return ""
	}
	words, ok := undoneWords[e.Action]
	if !ok {
		words = "refused"
	}
	if e.Undone < e.Count {
		words = fmt.Sprintf("%d of them %s", e.Undone, words)
	}
	return words
}
