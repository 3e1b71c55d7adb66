package console

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The page sizes of a block list.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Search says which blocks to list.
type Search struct {
	// Text is an address, a prefix or the beginning of an address: blocks
	// that overlap it. "" matches all.
	Text string
	// Reason, Host and Rule match exactly; "" matches all.
	Reason, Host, Rule string
	// Limit is the size of a page, 1 to 1000; 0 is 100.
	Limit int
	// After is BlockPage.Next of the page before; "" begins.
	After string
}

// BlockPage is a part of the list, newest first.
type BlockPage struct {
	Blocks []Block `json:"blocks"`
	// Matching is the number of all blocks that the search finds.
	Matching int `json:"matching"`
	// NotEnforced says why they are not dropped, "" if they are.
	NotEnforced string `json:"not_enforced,omitempty"`
	// Next is where the next page begins, "" on the last.
	Next string `json:"next,omitempty"`
}

// Query is a Search that makes sense, for the Appliance.
type Query struct {
	// Within finds the blocks that overlap it; the zero Prefix finds all.
	Within netip.Prefix
	// Reason, Host and Rule match exactly; "" matches all.
	Reason, Host, Rule string
	// After leaves out this place in the list and what comes before it; the
	// zero Place begins.
	After Place
	// Limit is how many blocks are wanted, at least 1.
	Limit int
}

// Place is where a block stands in the list: newest first and, of equal age, in
// order of prefix. It stays right when blocks come and go.
type Place struct {
	At     time.Time
	Prefix netip.Prefix
}

// find asks for a page.
func find(ctx context.Context, a Reader, s Search) (BlockPage, error) {
	q, err := s.query()
	if err != nil {
		return BlockPage{}, err
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there is another page
	found, matching, err := a.FindBlocks(ctx, q)
	page := BlockPage{Blocks: orEmpty(found), Matching: matching, NotEnforced: a.NotEnforced()}
	if len(found) > limit {
		page.Blocks = found[:limit]
		last := found[limit-1]
		page.Next = Place{last.At, last.Prefix}.String()
	}
	return page, err
}

func (s Search) query() (Query, error) {
	q := Query{Reason: s.Reason, Host: s.Host, Rule: s.Rule}
	var err error
	if s.Text != "" {
		if q.Within, err = parseSearch(s.Text); err != nil {
			return q, err
		}
	}
	if q.After, err = parsePlace(s.After); err != nil {
		return q, err
	}
	q.Limit, err = pageSize(s.Limit)
	return q, err
}

// pageSize is the size of a page that was asked for; 0 leaves it to us.
func pageSize(asked int) (int, error) {
	if asked == 0 {
		return defaultPage, nil
	}
	if asked < 1 || asked > maxPage {
		return 0, invalid("limit must be 1 to %d", maxPage)
	}
	return asked, nil
}

func parsePlace(s string) (Place, error) {
	if s == "" {
		return Place{}, nil
	}
	ns, prefix, _ := strings.Cut(s, "_")
	at, err := strconv.ParseInt(ns, 10, 64)
	p, perr := netip.ParsePrefix(prefix)
	if err != nil || perr != nil {
		return Place{}, invalid("%q is not where a page begins", s)
	}
	return Place{time.Unix(0, at), p}, nil
}

func (p Place) String() string { return fmt.Sprintf("%d_%s", p.At.UnixNano(), p.Prefix) }
