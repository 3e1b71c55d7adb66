package console

import (
	"context"
	"path/filepath"
	"sync"
	"time"
)

func (c *Console) currentStatus(ctx context.Context) (Status, error) {
	s, err := c.appliance.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	h := c.currentHealth()
	s.Ready, s.Checks = h.Ready, h.Checks
	s.Rules, s.Refused = orEmpty(s.Rules), orEmpty(s.Refused)
	s.Pace = c.history.pace(time.Now())
	return s, nil
}

// statusLife is how long pages show the same status: many that follow must not
// have everything counted for each of them.
const statusLife = time.Second

// recentStatus is a status of the last second, or of now if somebody has acted
// since.
type recentStatus struct {
	mu     sync.Mutex
	status Status
	at     time.Time
}

func (c *Console) pageStatus(ctx context.Context) (Status, error) {
	c.recent.mu.Lock()
	defer c.recent.mu.Unlock()
	if time.Since(c.recent.at) < statusLife {
		return c.recent.status, nil
	}
	s, err := c.currentStatus(ctx)
	if err == nil {
		c.recent.status, c.recent.at = s, time.Now()
	}
	return s, err
}

// forget has the next page ask again.
func (r *recentStatus) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Time{}
}

func (c *Console) currentHealth() Health {
	h := Health{Ready: true, Checks: []Check{}}
	for _, check := range c.ready.Checks() {
		found := Check{Name: check.Name, OK: check.OK()}
		switch {
		case !found.OK:
			h.Ready, found.Problem = false, check.Err.Error()
		case check.Err != nil:
			found.Warning = check.Err.Error()
		}
		h.Checks = append(h.Checks, found)
	}
	return h
}

// The sizes of a list of the most.
const (
	defaultTop = 10
	// MaxTop is how long such a list may be.
	MaxTop = 1000
)

func (c *Console) topBy(ctx context.Context, by string, limit int) (Top, error) {
	if limit == 0 {
		limit = defaultTop
	}
	if limit < 1 || limit > MaxTop {
		return Top{}, invalid("limit must be 1 to %d", MaxTop)
	}
	t := Top{By: by}
	var err error
	switch by {
	case "", "source":
		t.By = "source"
		t.Items, err = c.appliance.TopSources(ctx, limit)
	case "reason":
		t.Items = c.history.top(rejectionsByReason, limit)
	case "host":
		t.Items = c.history.top(rejectionsByHost, limit)
	default:
		return Top{}, invalid("by: %q is not source, reason or host", by)
	}
	t.Items = orEmpty(t.Items)
	return t, err
}

// sampleInterval is how often the history looks at the counters.
const sampleInterval = 5 * time.Second

func (c *Console) keepHistory(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	saved := time.Now()
	for {
		now := time.Now()
		if err := c.history.sample(now, c.gatherer); err != nil {
			c.logger.Warn("history has a gap", "error", err)
		}
		if now.Sub(saved) >= slotWidth {
			c.saveHistory()
			saved = now
		}
		select {
		case <-ctx.Done():
			c.saveHistory()
			return
		case <-tick.C:
		}
	}
}

// saveHistory writes the history to its file, if there is a state directory.
func (c *Console) saveHistory() {
	if c.stateDir == "" {
		return
	}
	if err := c.history.save(filepath.Join(c.stateDir, historyFile)); err != nil {
		c.logger.Warn("cannot save the history", "error", err)
	}
}

// loadHistory reads what the last run saved.
func (c *Console) loadHistory() {
	if c.stateDir == "" {
		return
	}
	if err := c.history.load(filepath.Join(c.stateDir, historyFile), time.Now()); err != nil {
		c.logger.Warn("cannot restore the history of the last run", "error", err)
	}
}

// newestBlocks are the newest blocks in force as events, for a page that has heard
// of nothing since the start.
func (c *Console) newestBlocks(ctx context.Context) (events []Event, err error) {
	found, _, err := c.appliance.FindBlocks(ctx, Query{Limit: shownEvents})
	for _, b := range found {
		e := Event{Time: b.At, Kind: EventBlock, Prefix: b.Prefix, Rule: b.Rule, Reason: b.Reason, Text: b.Note}
		if len(b.Hosts) > 0 {
			e.Host = b.Hosts[0]
		}
		events = append(events, e)
	}
	return events, err
}
