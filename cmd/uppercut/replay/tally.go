package replay

import (
	"sync"

	"uppercut/detector"
	"uppercut/detector/offence"
)

// clerk keeps a report on a goroutine of its own, so that the judge, who has
// the most to do, need not.
type clerk struct {
	report *report
	// page collects what happened until it is worth handing over.
	page  []happening
	pages chan []happening
	blank chan []happening
	wait  sync.WaitGroup
}

// pageSize is how many happenings are handed over at once.
const pageSize = 512

func newClerk(r *report) *clerk {
	c := &clerk{report: r, pages: make(chan []happening, 4), blank: make(chan []happening, 4)}
	c.page = make([]happening, 0, pageSize)
	c.wait.Go(c.work)
	return c
}

func (c *clerk) work() {
	for page := range c.pages {
		c.report.sources.lookUp(page)
		for i := range page {
			c.report.tally(&page[i])
		}
		select {
		case c.blank <- page[:0]:
		default:
		}
	}
}

// event notes what line l proved.
func (c *clerk) event(l *detector.Line, e *offence.Event) {
	h, ok := c.report.happening(l, e)
	if !ok {
		return
	}
	if c.page = append(c.page, h); len(c.page) == pageSize {
		c.pages <- c.page
		c.page = c.nextPage()
	}
}

func (c *clerk) nextPage() []happening {
	select {
	case page := <-c.blank:
		return page
	default:
		return make([]happening, 0, pageSize)
	}
}

// close returns when everything is counted.
func (c *clerk) close() {
	c.pages <- c.page
	close(c.pages)
	c.wait.Wait()
}
