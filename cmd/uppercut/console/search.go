package console

import (
	"cmp"
	"container/heap"
	"fmt"
	"iter"
	"net/netip"
	"slices"
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
	// Next is where the next page begins, "" on the last.
	Next string `json:"next,omitempty"`
}

// find walks all once and keeps no more than a page.
func find(all iter.Seq[*Block], s Search) (BlockPage, error) {
	match, err := s.matcher()
	if err != nil {
		return BlockPage{}, err
	}
	after, err := parseCursor(s.After)
	if err != nil {
		return BlockPage{}, err
	}
	limit, err := pageSize(s.Limit)
	if err != nil {
		return BlockPage{}, err
	}
	page := BlockPage{Blocks: []Block{}}
	keep := make(pageHeap, 0, limit+1)
	for b := range all {
		if !match(b) {
			continue
		}
		page.Matching++
		if after.precedes(b) {
			keep.offer(b, limit+1)
		}
	}
	slices.SortFunc(keep, func(a, b Block) int { return byNewest(&a, &b) })
	if len(keep) > limit {
		keep = keep[:limit]
		page.Next = cursorOf(&keep[limit-1]).String()
	}
	page.Blocks = append(page.Blocks, keep...)
	return page, nil
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

func (s Search) matcher() (func(*Block) bool, error) {
	var within netip.Prefix
	if s.Text != "" {
		var err error
		if within, err = parseSearch(s.Text); err != nil {
			return nil, err
		}
	}
	return func(b *Block) bool {
		return (!within.IsValid() || within.Overlaps(b.Prefix)) &&
			(s.Rule == "" || s.Rule == b.Rule) &&
			(s.Reason == "" || s.Reason == b.Reason) &&
			(s.Host == "" || slices.Contains(b.Hosts, s.Host))
	}, nil
}

func byNewest(a, b *Block) int { return cursorOf(a).compare(cursorOf(b)) }

// pageHeap keeps the newest; its root is the oldest of them.
type pageHeap []Block

func (h pageHeap) Len() int           { return len(h) }
func (h pageHeap) Less(i, j int) bool { return byNewest(&h[i], &h[j]) > 0 }
func (h pageHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *pageHeap) Push(x any)        { *h = append(*h, x.(Block)) }
func (h *pageHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h *pageHeap) offer(b *Block, size int) {
	if len(*h) < size {
		heap.Push(h, *b)
	} else if byNewest(b, &(*h)[0]) < 0 {
		(*h)[0] = *b
		heap.Fix(h, 0)
	}
}

// cursor is a place in the list, which is ordered by time, newest first, and
// then by prefix. It stays right when blocks come and go.
type cursor struct {
	at     time.Time
	prefix netip.Prefix
}

func cursorOf(b *Block) cursor { return cursor{b.At, b.Prefix} }

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	ns, prefix, _ := strings.Cut(s, "_")
	at, err := strconv.ParseInt(ns, 10, 64)
	p, perr := netip.ParsePrefix(prefix)
	if err != nil || perr != nil {
		return cursor{}, fmt.Errorf("%w: %q is not where a page begins", ErrInvalid, s)
	}
	return cursor{time.Unix(0, at), p}, nil
}

func (c cursor) String() string { return fmt.Sprintf("%d_%s", c.at.UnixNano(), c.prefix) }

func (c cursor) compare(d cursor) int {
	return cmp.Or(d.at.Compare(c.at), c.prefix.Addr().Compare(d.prefix.Addr()), cmp.Compare(c.prefix.Bits(), d.prefix.Bits()))
}

// precedes says whether b comes behind the cursor; all do behind the zero one.
func (c cursor) precedes(b *Block) bool {
	return !c.prefix.IsValid() || c.compare(cursorOf(b)) < 0
}
