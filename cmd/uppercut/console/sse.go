package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// liveInterval is how often a live page looks for news.
	liveInterval = 2 * time.Second
	// maxLive bounds the pages that follow; the others are as readable, but
	// stand still.
	maxLive = 64
)

// liveParts are the templates that a live overview draws again. Each is the
// content of the element that has its name as id.
var liveParts = []string{"state", "tiles", "charts", "most", "next", "events", "rejected"}

// serveLive sends the parts of the overview that have changed, as server-sent
// events (HTML Living Standard, section 9.2): JSON with an element's id and its
// new content.
func (c *Console) serveLive(w http.ResponseWriter, r *http.Request) error {
	if open := c.liveCount.Add(1); open > maxLive {
		c.liveCount.Add(-1)
		return fmt.Errorf("%w: %d live pages are open already", ErrUnavailable, maxLive)
	}
	c.metrics.live.Inc()
	defer func() { c.liveCount.Add(-1); c.metrics.live.Dec() }()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s := liveStream{console: c, w: w, r: r, control: http.NewResponseController(w), sent: make(map[string][sha256.Size]byte)}
	tick := time.NewTicker(liveInterval)
	defer tick.Stop()
	for c.mayStillFollow(r) && s.sendNews() == nil {
		select {
		case <-r.Context().Done():
			return nil
		case <-c.closing:
			return nil
		case <-tick.C:
		}
	}
	return nil // the page is gone: nobody to tell
}

// mayStillFollow reports whether who follows a page would get it today: users
// are taken out of the web configuration file, and passwords change.
func (c *Console) mayStillFollow(r *http.Request) bool {
	then := callerOf(r)
	switch {
	case then.local:
		return true
	case then.name == "":
		return !c.users.required()
	default:
		return c.webCaller(r).name == then.name
	}
}

// liveStream is one page that follows.
type liveStream struct {
	console *Console
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	sent    map[string][sha256.Size]byte // what the page shows, by part
}

func (s *liveStream) sendNews() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	v, err := s.console.overview(s.r.Context(), callerOf(s.r).trusted, choicesOf(s.r))
	if err != nil {
		return err
	}
	for _, part := range liveParts {
		var html bytes.Buffer
		if err := templates["overview"].ExecuteTemplate(&html, part, v); err != nil {
			return err
		}
		text := neutral(shownTo(callerOf(s.r), html.Bytes()))
		sum := sha256.Sum256(text)
		if s.sent[part] == sum {
			continue
		}
		s.sent[part] = sum
		if err := s.send(part, text); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprint(s.w, ": still here\n\n"); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *liveStream) send(part string, html []byte) error {
	data, err := json.Marshal(map[string]string{"id": part, "html": string(html)})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.w, "event: part\ndata: %s\n\n", data)
	return err
}
